import type { Metrics } from '../environment/environment.ts';
import type { EngineProcessStatus, LlmService } from '../llm-service/llm-service.ts';

/** What a node tells of the processes that its engines live in. */
export function exposeEngines(
  models: readonly { readonly name: string; readonly llm: LlmService }[],
  metrics: Metrics,
): void {
  const each = (value: (status: EngineProcessStatus) => number) => () =>
    models.flatMap(({ name, llm }) =>
      llm.process === undefined ? [] : [{ labels: { model: name }, value: value(llm.process) }],
    );
  metrics.gauge(
    { name: 'discedge_engine_up', help: "1 while the model's engine process takes turns, else 0", labels: ['model'] },
    each(({ isUp }) => (isUp ? 1 : 0)),
  );
  metrics.gauge(
    {
      name: 'discedge_engine_restarts',
      help: "Times that the model's engine process has been started again since the node's start",
      labels: ['model'],
    },
    each(({ restarts }) => restarts),
  );
}

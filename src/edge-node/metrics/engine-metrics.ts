import type { Metrics } from '../../environment/environment.ts';
import type { EngineProcessStatus, KeptStateStatus, LlmService } from '../../llm-service/llm-service.ts';

/** What is told of the KV state that a model's engine keeps: each a gauge, as its engine counts. */
const KEPT: readonly { readonly name: string; readonly help: string; readonly of: keyof KeptStateStatus }[] = [
  { name: 'bytes', help: 'Bytes of KV state kept in files', of: 'bytes' },
  { name: 'sessions', help: 'Sessions whose KV state is kept in a file', of: 'files' },
  { name: 'saves', help: "KV states written to a file since the node's start", of: 'saves' },
  { name: 'restores', help: "KV states brought back from a file since the node's start", of: 'restores' },
  {
    name: 'refused',
    help: "Files of KV state that were damaged, or another model's, build's or session's, since the node's start",
    of: 'refused',
  },
  {
    name: 'dropped',
    help: "KV states given up, or not kept at all, for want of room, since the node's start",
    of: 'dropped',
  },
];

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
  for (const { name, help, of } of KEPT) {
    metrics.gauge({ name: `discedge_kv_kept_${name}`, help, labels: ['model'] }, () =>
      models.flatMap(({ name: model, llm: { keptStates } }) =>
        keptStates === undefined ? [] : [{ labels: { model }, value: keptStates.status()[of] }],
      ),
    );
  }
}

import { METRICS } from './numbers/metrics.ts';
import { type PlannedPart, syncMetric } from './source/planned-part.ts';
import type { ReportSource } from './source/report-source.ts';

/** What a reader must not take from the numbers: what is true of every run of this kind, and what these rows say. */
export function limitsOf(sources: readonly ReportSource[], parts: readonly PlannedPart[]): string[] {
  const turns = sources.flatMap((source) => source.turns);
  const replies = new Set(parts.flatMap(({ panels }) => panels.flatMap(({ replySources }) => replySources)));
  const networks = sources.flatMap((source) => source.parts.flatMap((part) => Object.values(part.networks)));
  const failed = turns.filter(({ error }) => error !== '').length;
  const machines = new Set(
    sources.flatMap(({ facts }) => facts.filter(([name]) => name === 'machine').map(([, v]) => v)),
  );
  return [
    `How other machines, models or conversations compare: this is ${machines.size === 1 ? 'one machine' : `${machines.size} machines`}, and one model a run.`,
    "The paper's devices and prototype: its numbers stand beside ours for their direction and size; times differ with hardware, llama.cpp and network.",
    ...(networks.length > 0
      ? [
          'Nodes on machines of their own: nodes, clients and LLM Services of a run share one processor, so one can slow another.',
        ]
      : []),
    ...(networks.some(({ kind }) => kind === 'loopback')
      ? ['A real network, where a part ran on loopback: delay is none, bandwidth is without bound.']
      : []),
    ...(networks.some(({ kind }) => kind === 'namespaces')
      ? [
          'A radio link, where delay, loss and bandwidth were set between network namespaces: they were constant or drawn evenly.',
        ]
      : []),
    ...(replies.has('random-weights')
      ? [
          'The quality of replies, or bytes that go by their words: a model with random weights wrote them. Their cost and number of ids are real.',
        ]
      : []),
    ...(replies.has('transcript')
      ? [
          'Times of a model, where replies were written beforehand: response times and tokens per second leave those turns out.',
        ]
      : []),
    ...(parts.some(({ panels }) => hasSyncs(panels) && syncMetric(panels) === METRICS.sync_payload_bytes)
      ? ['Bytes on the wire, where nodes shared an interface: payload alone was counted, without TLS, TCP and IP.']
      : []),
    ...(turns.some(({ labels }) => labels.setting.startsWith('tokenizer-'))
      ? ['A slow tokenizer: the one of llama.cpp was held up, and the processor was free meanwhile.']
      : []),
    ...(failed > 0 ? [`${failed} of ${turns.length} turns, which failed: they are left out of every number.`] : []),
  ];
}

function hasSyncs(panels: PlannedPart['panels']): boolean {
  return panels.some(({ arms }) => arms.some(({ syncs }) => syncs.length > 0));
}

import type { ServedModel } from '../../context-manager/model-directory.ts';
import type { WarmerStatus } from '../../context-manager/warmer/warmer.ts';
import type { LabelledValue, Metrics } from '../../environment/environment.ts';

/** What is told of each model's warming: gauges, as its warmer and its engine count; no user, session or node is a label. */
export function exposeWarming(models: readonly ServedModel[], metrics: Metrics): void {
  const gauge = (
    name: string,
    help: string,
    of: (status: WarmerStatus) => number | undefined | Readonly<Record<string, number>>,
    label?: string,
  ) =>
    metrics.gauge(
      { name: `discedge_warming_${name}`, help, labels: label === undefined ? ['model'] : ['model', label] },
      () =>
        models.flatMap(({ name: model, contextManager: { warmer } }): LabelledValue[] => {
          const value = warmer && of(warmer.status);
          if (value === undefined) return [];
          if (typeof value === 'number') return [{ labels: { model }, value }];
          return Object.entries(value).map(([kind, count]) => ({
            labels: { model, [label as string]: kind },
            value: count,
          }));
        }),
    );
  gauge(
    'tokens',
    "Ids since the node's start: warmed ahead of need; of those used by a turn, wasted, or still held",
    ({ warmedTokens: warmed, usedTokens: used, wastedTokens: wasted, heldTokens: held }) => ({
      ...{ warmed, used, wasted, held },
    }),
    'kind',
  );
  gauge(
    'handovers',
    "Turns since the node's start whose session came from another node, by what they found: its context warm, kept from an earlier turn here, or cold",
    ({ handovers }) => handovers,
    'found',
  );
  gauge('ended', "Warmings since the node's start, by how they ended", ({ ends }) => ends, 'end');
  gauge('queued', 'Sessions that wait to be warmed', ({ queued }) => queued);
  gauge(
    'dropped',
    "Sessions given up for newer ones before they were warmed, since the node's start",
    ({ dropped }) => dropped,
  );
  gauge(
    'preemptions',
    "Times that warming stood aside for a turn since the node's start",
    ({ preemptions }) => preemptions,
  );
  gauge('held_bytes', 'KV state that was warmed and waits to be used', ({ heldBytes }) => heldBytes);
}

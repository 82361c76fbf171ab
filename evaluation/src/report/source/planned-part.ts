import { isMeasured, METRICS, type Metric } from '../numbers/metrics.ts';
import type { Panel } from './panels.ts';
import type { ReportSource } from './report-source.ts';

/** What a part of an experiment is about, by what its rows hold. */
export type PartKind = 'load' | 'conditions' | 'roaming' | 'turns';

/** Settings that are ways to keep sessions consistent; others are conditions that are held against each other. */
const CONSISTENCY_SETTINGS = ['ours', 'paper', 'any', 'default', 'strong', 'available'];

export interface PlannedPart {
  readonly part: string;
  readonly about: string;
  readonly kind: PartKind;
  /** Whether the paper's numbers may stand beside its own. */
  readonly isPapers: boolean;
  readonly panels: readonly Panel[];
  /** Of the runs that the part was played in. */
  readonly caution: string;
}

/** Panels by their parts, in the order in which the sources name them. */
export function partsOf(sources: readonly ReportSource[], panels: readonly Panel[]): PlannedPart[] {
  const named = sources.flatMap(({ parts }) => parts.map(({ part }) => part));
  const names = [...new Set(named)].filter((name) => panels.some(({ part }) => part === name));
  return names.map((name) => {
    const facts = sources.flatMap(({ parts }) => parts).find(({ part }) => part === name);
    const { about = '', isPapers = false, settings = [] } = facts ?? {};
    const own = inOrder(
      panels.filter(({ part }) => part === name),
      settings,
    );
    const from = sources.filter(({ parts }) => parts.some(({ part }) => part === name));
    const caution = cautionOf(from);
    return { part: name, about, isPapers, kind: kindOf(own), panels: own, caution };
  });
}

/** Plays come in a drawn order; panels go by run, then by LLM Service, then by the settings as the part names them. */
function inOrder(panels: readonly Panel[], settings: readonly string[]): Panel[] {
  const origins = [...new Set(panels.map(({ origin }) => origin))];
  const services = [...new Set(panels.map(({ llmService }) => llmService))].sort();
  const ranks = ({ origin, llmService, setting }: Panel) => [
    origins.indexOf(origin),
    services.indexOf(llmService),
    settings.indexOf(setting),
  ];
  const order = (a: readonly number[], b: readonly number[]) =>
    a.map((rank, place) => rank - (b[place] as number)).find((difference) => difference !== 0) ?? 0;
  return [...panels].sort((a, b) => order(ranks(a), ranks(b)));
}

/** What figures of these runs say below. */
export function cautionOf(sources: readonly ReportSource[]): string {
  return [...new Set(sources.map(({ caution }) => caution))].filter((text) => text !== '').join(' ');
}

function kindOf(panels: readonly Panel[]): PartKind {
  const arms = panels.flatMap((panel) => panel.arms);
  if (arms.some(({ loads }) => loads.length > 0)) return 'load';
  const settings = new Set(panels.map(({ setting }) => setting));
  const known = [...settings].every((setting) => CONSISTENCY_SETTINGS.some((name) => setting.startsWith(name)));
  if (!known) return 'conditions';
  return arms.some(({ turns }) => turns.some(({ moved }) => moved)) ? 'roaming' : 'turns';
}

/** Bytes as a wire carries them, where every variant was measured so; else what is inside the encryption. */
export function syncMetric(panels: readonly Panel[]): Metric {
  const arms = panels.flatMap((panel) => panel.arms).filter(({ syncs }) => syncs.length > 0);
  return arms.every((arm) => isMeasured(METRICS.sync_bytes, [arm])) ? METRICS.sync_bytes : METRICS.sync_payload_bytes;
}

import type {
  ExperimentTurn,
  LoadRow,
  PlayLabels,
  ReplySource,
  SyncRow,
} from '../../experiments/rows/experiment-rows.ts';
import { llmServiceLabel, settingLabel } from '../labels.ts';
import type { ReportSource } from './report-source.ts';

/** The rows of one variant in one panel. */
export interface Arm {
  readonly variant: string;
  /** Of sessions that were broken off, too: good for what is shown by turn. */
  readonly turns: readonly ExperimentTurn[];
  /** Of sessions that came to the panel's last turn: later turns cost more, and a part of a session is not like a whole. */
  readonly wholeSessions: readonly ExperimentTurn[];
  readonly syncs: readonly SyncRow[];
  readonly loads: readonly LoadRow[];
}

/** What may be compared with each other: all is equal but the variant. */
export interface Panel {
  readonly key: string;
  readonly part: string;
  readonly origin: string;
  readonly model: string;
  readonly llmService: string;
  readonly setting: string;
  readonly replySources: readonly ReplySource[];
  /** In what the other panels of the part differ from it; a sole panel is named by its LLM Service. */
  readonly label: string;
  /** The same among panels of its run alone. */
  readonly labelInRun: string;
  /** Names its run where panels of the part come from several; else empty. */
  readonly runLabel: string;
  readonly arms: readonly Arm[];
  readonly seed: number;
}

/** Rows of all sources, put side by side; parts, panels and variants in the order in which they first come. */
export function panelsOf(sources: readonly ReportSource[]): Panel[] {
  const drafts = new Map<string, Draft>();
  for (const { turns, syncs, loads, origin, model, seed } of sources) {
    const draftOf = (labels: PlayLabels) => {
      const { part, llm_service: llmService, setting } = labels;
      const key = [part, origin, llmService, setting].join('\n');
      const draft = drafts.get(key) ?? new Draft({ key, part, origin, model, llmService, setting, seed });
      drafts.set(key, draft);
      return draft.arm(labels);
    };
    for (const row of turns) draftOf(row.labels).turns.push(row);
    for (const row of syncs) draftOf(row.labels).syncs.push(row);
    for (const row of loads) draftOf(row.labels).loads.push(row);
  }
  const all = withoutAny([...drafts.values()]);
  return all.map((draft) =>
    draft.panel(
      labelsOf(
        draft.facts,
        all.map(({ facts }) => facts).filter(({ part }) => part === draft.facts.part),
      ),
    ),
  );
}

/** What figures are about; other variants are what it is shown against. */
const SUBJECTS = ['responses', 'tokenized', 'warmed', 'delta'] as const;

/** The arm that a figure is about; the first one where none of the known ones is there. */
export function subjectOf(arms: readonly Arm[]): Arm | undefined {
  return arms.find(({ variant }) => SUBJECTS.some((name) => name === variant)) ?? arms[0];
}

export function baselinesOf(arms: readonly Arm[]): Arm[] {
  const subject = subjectOf(arms);
  return arms.filter((arm) => arm !== subject);
}

export function turnNumbers(arms: readonly Arm[]): number[] {
  const numbers = arms.flatMap(({ turns, syncs }) => [
    ...turns.map(({ turn }) => turn),
    ...syncs.flatMap(({ turn }) => (turn === null ? [] : [turn])),
  ]);
  return [...new Set(numbers)].sort((a, b) => a - b);
}

/** The setting of variants that no setting concerns: they are compared with each of the part. */
const ANY_SETTING = 'any';

function withoutAny(drafts: readonly Draft[]): Draft[] {
  return drafts.filter((draft) => {
    const { part, origin, llmService, setting } = draft.facts;
    if (setting !== ANY_SETTING) return true;
    const others = drafts.filter(
      ({ facts }) =>
        facts.setting !== ANY_SETTING &&
        facts.part === part &&
        facts.origin === origin &&
        facts.llmService === llmService,
    );
    for (const other of others) other.takeArmsOf(draft);
    return others.length === 0;
  });
}

type PanelFacts = Pick<Panel, 'key' | 'part' | 'origin' | 'model' | 'llmService' | 'setting' | 'seed'>;

class Draft {
  readonly facts: PanelFacts;
  readonly #arms = new Map<string, { turns: ExperimentTurn[]; syncs: SyncRow[]; loads: LoadRow[] }>();
  readonly #replySources = new Set<ReplySource>();

  constructor(facts: PanelFacts) {
    this.facts = facts;
  }

  arm({ variant, reply_source }: PlayLabels): { turns: ExperimentTurn[]; syncs: SyncRow[]; loads: LoadRow[] } {
    this.#replySources.add(reply_source);
    const arm = this.#arms.get(variant) ?? { turns: [], syncs: [], loads: [] };
    this.#arms.set(variant, arm);
    return arm;
  }

  takeArmsOf(other: Draft): void {
    for (const [variant, rows] of other.#arms) if (!this.#arms.has(variant)) this.#arms.set(variant, rows);
    for (const source of other.#replySources) this.#replySources.add(source);
  }

  panel(labels: PanelLabels): Panel {
    const last = Math.max(...[...this.#arms.values()].flatMap(({ turns }) => turns.map(({ turn }) => turn)));
    const arms = [...this.#arms].map(([variant, rows]) => ({
      variant,
      ...rows,
      wholeSessions: reaching(last, rows.turns),
    }));
    return { ...this.facts, ...labels, replySources: [...this.#replySources], arms: arms.sort(subjectFirst) };
  }
}

function reaching(last: number, turns: readonly ExperimentTurn[]): ExperimentTurn[] {
  const whole = new Set(turns.filter(({ turn }) => turn === last).map(sessionOf));
  return turns.filter((row) => whole.has(sessionOf(row)));
}

/** Levels of load and repeats of a scenario run again use the same numbers: a session is all three. */
export function sessionOf({ run, labels, user }: ExperimentTurn): string {
  return `${run}/${labels.repeat}/${user}`;
}

/** Subjects, then what they are usually shown against first. */
const VARIANT_ORDER: readonly string[] = [...SUBJECTS, 'raw', 'whole-context', 'client-side', 'chat', 'llama-server'];

/** Plays come in a drawn order; figures and tables keep one of their own. */
function subjectFirst(a: Arm, b: Arm): number {
  const rank = ({ variant }: Arm) => {
    const place = VARIANT_ORDER.indexOf(variant);
    return place < 0 ? VARIANT_ORDER.length : place;
  };
  return rank(a) - rank(b) || (a.variant < b.variant ? -1 : 1);
}

type PanelLabels = Pick<Panel, 'label' | 'labelInRun' | 'runLabel'>;

function labelsOf({ part, llmService, setting, origin, model }: PanelFacts, all: readonly PanelFacts[]): PanelLabels {
  const differing = (of: (facts: PanelFacts) => string) => new Set(all.map(of)).size;
  const differ = (of: (facts: PanelFacts) => string) => differing(of) > 1;
  // A model's name says more than a run's, where it says enough.
  const run = differing((facts) => facts.model) === differing((facts) => facts.origin) ? model : origin;
  const runLabel = differ((facts) => facts.origin) ? run : '';
  const words = [llmServiceLabel(llmService), ...(differ((facts) => facts.setting) ? [settingLabel(setting)] : [])];
  const textOf = (some: readonly string[]) =>
    some.filter((word) => word !== '').join(', ') || part.replaceAll('-', ' ');
  return { label: textOf([...words, runLabel]), labelInRun: textOf(words), runLabel };
}

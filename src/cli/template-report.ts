import type { TemplateReport } from '../doctor/template-reports.ts';
import { printable, styled, table } from './terminal.ts';

const TRAITS = ['plain', 'system', 'thinking', 'tools'] as const;
type Trait = (typeof TRAITS)[number];

/** One row for each template, and the reasons below. */
export function terminalReport(reports: readonly TemplateReport[]): string {
  const counted = reports.some(({ ids }) => ids !== undefined);
  const header = ['TEMPLATE', 'PLAIN', 'SYSTEM', 'THINKING', 'TOOLS', 'REASONING ENDS WITH', 'SYSTEM MESSAGE'];
  const rows = reports.map((report) => [
    printable(labelOf(report)),
    ...(report.refused === undefined
      ? [...TRAITS.map((trait) => classOf(report, trait)), shown(report.reasoningEnd), systemOf(report)]
      : ['refused', ...Array(5).fill('-')]),
    ...(counted ? idCells(report) : []),
  ]);
  const reasons = reports.flatMap((report) =>
    reasonsOf(report).map((reason) => printable(`${labelOf(report)}${reason}`)),
  );
  return [
    table(counted ? [...header, ...ID_HEADER.map((title) => title.toUpperCase())] : header, rows),
    ...(reasons.length === 0 ? [] : ['', styled('bold', 'WHY'), ...reasons]),
    ...(counted ? ['', 'AGAIN: ids of the context that each of six turns evaluates again, at most.'] : []),
    '',
  ].join('\n');
}

/** A Markdown table without paths, with the reasons in its last column. */
export function markdownReport(reports: readonly TemplateReport[]): string {
  const counted = reports.some(({ ids }) => ids !== undefined);
  const header = ['model', ...TRAITS, 'reasoning ends with', ...(counted ? ID_HEADER : []), 'why'];
  const rows = reports.map((report) => [
    cell(modelOf(report)),
    ...(report.refused === undefined
      ? [...TRAITS.map((trait) => classOf(report, trait)), code(report.reasoningEnd)]
      : ['refused', '–', '–', '–', '–']),
    ...(counted ? idCells(report).map(cell) : []),
    cell(markdownReasons(report)),
  ]);
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return `${[line(header), line(header.map(() => '---')), ...rows.map(line)].join('\n')}\n`;
}

const ID_HEADER = ['end token', 'BOS', 'again'];

function idCells({ ids }: TemplateReport): string[] {
  if (ids === undefined) return ['-', '-', '-'];
  const { endToken, endsBy, bos, rewritten } = ids;
  const most = TRAITS.flatMap((trait) => {
    const counts = rewritten[trait];
    return counts === undefined ? [] : [`${trait} ${Math.max(...counts)}`];
  });
  const end = shown(endToken) + (endsBy === 'next-message' ? ' (next message)' : '');
  return [end, bos, most.join(', ')];
}

function classOf({ classes }: TemplateReport, wanted: Trait): string {
  const found = classes.find(({ trait }) => trait === wanted);
  if (found === undefined) return '–';
  return found.class === 'follow' ? `follow ${found.reach}` : found.class;
}

function reasonsOf({ refused, classes }: TemplateReport): string[] {
  if (refused !== undefined) return [`: ${refused}`];
  return classes.flatMap(({ trait, why }) => (why === undefined ? [] : [`, ${trait}: ${why}`]));
}

/** A reason that several traits share is said once. */
function markdownReasons({ refused, classes }: TemplateReport): string {
  if (refused !== undefined) return refused;
  const traits = new Map<string, Trait[]>();
  for (const { trait, why } of classes) if (why !== undefined) traits.set(why, [...(traits.get(why) ?? []), trait]);
  return [...traits].map(([why, of]) => `${of.join(', ')}: ${why}`).join('; ');
}

function systemOf({ keepsSystem, classes }: TemplateReport): string {
  if (classes.some((found) => found.trait === 'system' && found.class === 'refused')) return '-';
  return keepsSystem ? 'survives drop-oldest' : 'goes with turn 1';
}

function labelOf({ file, name }: TemplateReport): string {
  return name === 'default' ? file : `${file} (${name})`;
}

/** The file's name without folder and ending; a name that every model's file has is its folder's. */
function modelOf({ file, name }: TemplateReport): string {
  const [base = file, folder] = file.split(/[\\/]/).reverse();
  const isCommon = /^(tokenizer_config\.json|chat_template\.(json|jinja))$/.test(base);
  const model = isCommon && folder !== undefined ? folder : base.replace(/\.(jinja2?|json|gguf)$/i, '');
  return name === 'default' ? model : `${model} (${name})`;
}

function shown(text: string | undefined): string {
  return text === undefined ? '-' : printable(text.replaceAll('\n', '⏎'));
}

function code(text: string | undefined): string {
  return text === undefined ? '–' : `\`${cell(shown(text))}\``;
}

function cell(text: string): string {
  return printable(text).replaceAll('|', '\\|').replaceAll('\n', ' ');
}

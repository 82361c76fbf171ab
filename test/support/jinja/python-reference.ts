import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const SCRIPT = fileURLToPath(new URL('reference.py', import.meta.url));

export interface RenderingCase {
  readonly template: string;
  readonly variables: Readonly<Record<string, unknown>>;
  /** What `strftime_now` reads, in ms since 1970. */
  readonly now: number;
}

/** Whether `python3` with Jinja2 is on this machine. */
export const pythonHasJinja = spawnSync('python3', ['-c', 'import jinja2.sandbox']).status === 0;

/** What Python's Jinja2 renders, set up as transformers sets it up; `null` where it raises. */
export function renderInPython(cases: readonly RenderingCase[]): (string | null)[] {
  const { status, stdout, stderr } = spawnSync('python3', [SCRIPT], {
    input: JSON.stringify(cases),
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
  if (status !== 0) throw new Error(`reference.py ended with ${status}: ${stderr}`);
  return (JSON.parse(stdout) as { text?: string }[]).map(({ text }) => text ?? null);
}

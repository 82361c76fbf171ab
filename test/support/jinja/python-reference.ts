import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
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
    input: lineOf(cases),
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
  if (status !== 0) throw new Error(`reference.py ended with ${status}: ${stderr}`);
  return textsOf(stdout);
}

/** As {@link renderInPython}, one case, by a Python that stays: to start one takes longer than to render a conversation. */
export function renderOneInPython(one: RenderingCase): Promise<string | null> {
  lasting ??= new LastingPython();
  return lasting.render(one);
}

let lasting: LastingPython | undefined;

/** It ends with the process that has started it, when the pipe to it closes. */
class LastingPython {
  readonly #process = spawn('python3', [SCRIPT], { stdio: ['pipe', 'pipe', 'inherit'] });
  readonly #lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();

  async render(one: RenderingCase): Promise<string | null> {
    this.#process.stdin.write(lineOf([one]));
    const { value, done } = await this.#lines.next();
    if (done) throw new Error('reference.py has ended');
    return textsOf(value)[0] as string | null;
  }
}

const lineOf = (cases: readonly RenderingCase[]) => `${JSON.stringify(cases)}\n`;

const textsOf = (line: string) => (JSON.parse(line) as { text?: string }[]).map(({ text }) => text ?? null);

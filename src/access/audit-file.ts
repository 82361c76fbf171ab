import { appendFile, chmod, rename, stat } from 'node:fs/promises';
import { DiscedgeError } from '../domain/errors.ts';
import type { Environment } from '../environment/environment.ts';
import type { AuditAct, AuditDetails, AuditLog } from './audit-log.ts';

/** Some 50,000 acts; then it is moved to FILE.1, in the place of the one before. */
const FILE_BYTES_MAX = 10 * 1024 * 1024;
/** Lines that wait for a slow disk. Of more it is counted how many are lost. */
const WAITING_MAX = 1_000;
/** Its owner's alone. */
const MODE = 0o600;

/** Administrative acts in a file, a line of JSON each. */
export class AuditFile implements AuditLog {
  readonly #path: string;
  readonly #environment: Pick<Environment, 'clock' | 'logger'>;
  readonly #bytesMax: number;
  #waiting: string[] = [];
  #lost = 0;
  #writing: Promise<void> | undefined;
  #isTold = false;

  private constructor(path: string, bytesMax: number, environment: Pick<Environment, 'clock' | 'logger'>) {
    this.#path = path;
    this.#bytesMax = bytesMax;
    this.#environment = environment;
  }

  /** Throws `config_invalid` where nothing can be written there. */
  static async open(
    { path, bytesMax = FILE_BYTES_MAX }: { readonly path: string; readonly bytesMax?: number },
    environment: Pick<Environment, 'clock' | 'logger'>,
  ): Promise<AuditFile> {
    try {
      await appendFile(path, '', { mode: MODE });
      await chmod(path, MODE);
    } catch (error) {
      const { message } = error as Error;
      throw new DiscedgeError('config_invalid', `the audit log cannot be written: ${message}`, { cause: error });
    }
    return new AuditFile(path, bytesMax, environment);
  }

  note(act: AuditAct, details: AuditDetails): void {
    if (this.#waiting.length >= WAITING_MAX) {
      this.#lost++;
      return;
    }
    const at = new Date(this.#environment.clock.now()).toISOString();
    this.#waiting.push(`${JSON.stringify({ at, act, ...details })}\n`);
    this.#writing ??= this.#write();
  }

  /** Resolves when what was noted is in the file, or could not be written. */
  async flush(): Promise<void> {
    await this.#writing;
  }

  /** Never rejects. */
  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      const lines = this.#waiting.splice(0);
      const lost = this.#lost;
      this.#lost = 0;
      // What failed may be there in part: the next line is one of its own.
      const text = lost > 0 ? `\n${lines.join('')}${JSON.stringify({ lost })}\n` : lines.join('');
      try {
        await this.#makeRoom();
        await appendFile(this.#path, text, { mode: MODE });
        this.#isTold = false;
      } catch (error) {
        this.#lost += lost + lines.length;
        if (!this.#isTold) this.#environment.logger.error('audit_log_not_written', {}, error);
        this.#isTold = true;
      }
    }
    this.#writing = undefined;
  }

  async #makeRoom(): Promise<void> {
    // Somebody may have moved it away.
    const size = (await stat(this.#path).catch(() => undefined))?.size ?? 0;
    if (size >= this.#bytesMax) await rename(this.#path, `${this.#path}.1`);
  }
}

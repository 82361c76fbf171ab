import { DiscedgeClientError } from './errors.ts';
import { NodeRing } from './nodes/node-ring.ts';
import { SessionDirectory } from './session-directory.ts';
import type { Coming, SessionState } from './session-options.ts';
import { lineThrough, type StoredTurn } from './stored-session.ts';
import type { Transport } from './transport.ts';
import type { UnsettledTurn } from './turn/unsettled-turn.ts';

/** How long a node that the session has left is waited for; nothing it may still hold was acknowledged. */
const LEFT_NODE_WAIT_MS = 3000;

interface Known {
  readonly transport: Transport;
  readonly userId: string | undefined;
  readonly sessionId: string;
}

/** A session as single nodes hold it: what one of them says is about that node only. */
export class SessionAtNodes {
  readonly #session: Known;
  readonly #now: () => SessionState;

  constructor(session: Known, now: () => SessionState) {
    this.#session = session;
    this.#now = now;
  }

  /** Ends whatever turn of the session runs there; see {@link SessionDirectory.cancel}. */
  cancel(node: string): Promise<boolean> {
    return this.#directoryAt(node).cancel(this.#session.sessionId);
  }

  /** See {@link SessionDirectory.coming}. */
  coming(node: string): Promise<Coming> {
    return this.#directoryAt(node).coming(this.#session.sessionId);
  }

  /** Whether this turn was stopped there. Where the answer to that was lost, what the node has stored tells. */
  async stop(node: string, turn: UnsettledTurn): Promise<boolean> {
    const stopped = await this.#directoryAt(node).stop(this.#session.sessionId);
    if (stopped !== 'unknown') return stopped === 'stopped';
    const line = await this.#line(node);
    return line.every(({ turn: number }) => number !== turn.body.turn);
  }

  /** The line of the session that the node holds once it no longer runs the turn; none where stopping it made certain of it. */
  async lineWithout(node: string, turn: UnsettledTurn): Promise<readonly StoredTurn[]> {
    if (turn.nodes.includes(node) && (await this.stop(node, turn))) turn.cancelledAt(node);
    return turn.nodes.length === 0 ? [] : this.#line(node);
  }

  /** Empty where the node holds none. */
  async #line(node: string): Promise<readonly StoredTurn[]> {
    try {
      return lineThrough(await this.#directoryAt(node).show(this.#session.sessionId), this.#now().contextId);
    } catch (error) {
      if (error instanceof DiscedgeClientError && error.code === 'session_not_found') return [];
      throw error;
    }
  }

  #directoryAt(node: string): SessionDirectory {
    const { transport, userId } = this.#session;
    const { node: current, model } = this.#now();
    return new SessionDirectory({
      transport: node === current ? transport : transport.impatient(LEFT_NODE_WAIT_MS),
      ring: new NodeRing([node]),
      userId,
      model,
    });
  }
}

/** What those answer that can be asked. Throws the last one's error when none can. */
export async function askAll<T>(nodes: readonly string[], ask: (node: string) => Promise<T>): Promise<readonly T[]> {
  const results = await Promise.allSettled(nodes.map(ask));
  const answers = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const last = results.at(-1);
  if (answers.length === 0 && last?.status === 'rejected') throw last.reason;
  return answers;
}

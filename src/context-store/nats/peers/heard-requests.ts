import type { Msg, NatsConnection } from '@nats-io/transport-node';
import type { Logger } from '../../../environment/environment.ts';
import { type Hello, parseMessage } from '../../replication/peers/peer-protocol.ts';
import { answerTo, type PeerRequestsParts } from '../../replication/peers/peer-requests.ts';
import type { LimitedNode } from '../../replication/peers/reading-rights.ts';
import { isInbox } from '../names.ts';

/** Answers what a peer asks of this node over its server; `asking` where the server has seen that it may not read everything. */
export function hearRequest(parts: PeerRequestsParts, nats: NatsConnection, message: Msg, asking?: LimitedNode): void {
  answerTo(parts, message.data, { answerBytesMax: nats.info?.max_payload, ...(asking && { asking }) }).then(
    (data) => data && respond(message, data),
    (error) => parts.logger.warn('peer_request_failed', {}, error),
  );
}

export interface KnockParts {
  readonly onKnock: (hello: Hello) => Promise<void>;
  readonly logger: Logger;
}

/** A node that its server does not know yet may say only this. The answer is that the server lets it in. */
export function hearKnock({ onKnock, logger }: KnockParts, message: Msg): void {
  const request = parseMessage('request', message.data);
  if (request?.kind !== 'hello') return;
  onKnock(request).catch((error) => logger.warn('peer_request_failed', { kind: 'knock' }, error));
}

/**
 * The connection can be gone by the time an answer is ready; whoever asked asks again. Nothing is sent but to an inbox:
 * this node may do everything at its server, and a peer must not have it done by naming another subject.
 */
function respond(message: Msg, data: Uint8Array): void {
  if (!isInbox(message.reply)) return;
  try {
    message.respond(data);
  } catch {}
}

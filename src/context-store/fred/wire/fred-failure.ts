import { type ServiceError, status } from '@grpc/grpc-js';
import { DiscedgeError } from '../../../domain/errors.ts';

/**
 * Why a call to a FReD node came to nothing. `unreachable`: nobody answers there, and it is not known whether the call was
 * carried out. `late`: no answer within the call's time; it may still be carried out. `certificate`: the other side is not of
 * this authority, or does not take this node's certificate. `forbidden`: the common name has no such role in the
 * keygroup, or there is no such keygroup; FReD does not tell which. `absent`: there is no such item. `invalid`: FReD would never
 * take it, and it was not sent. `too-large`: a message above a limit. `failed`: all else, which FReD seldom explains. `closed`: by
 * this side.
 */
export type FredFailureKind =
  | 'unreachable'
  | 'late'
  | 'certificate'
  | 'forbidden'
  | 'absent'
  | 'invalid'
  | 'too-large'
  | 'failed'
  | 'closed';

/** `store_unavailable`: a FReD node did not do what it was asked. */
export class FredFailure extends DiscedgeError {
  readonly kind: FredFailureKind;

  constructor(kind: FredFailureKind, message: string, cause?: unknown) {
    super('store_unavailable', message, { cause });
    this.name = 'FredFailure';
    this.kind = kind;
  }
}

/** FReD's texts are long where they carry a stack. */
const TEXT_MAX = 200;
/** What grpc-js adds where it has nothing to add. */
const EMPTY_NOTE = /\.?\s*Resolution note:\s*$/;
const NO_ROLE = /^user \S+ cannot /;
const NO_ITEM = /^item \S+ not found in keygroup /;
/** TLS alerts of the other side, and Node.js' codes and texts for a certificate that it refuses itself. */
const CERTIFICATE =
  /\bcertificate\b|alert number 4[2-8]\b|SELF_SIGNED|UNABLE_TO_(?:VERIFY|GET_ISSUER)|ERR_TLS_CERT|altnames/i;

/** What grpc-js said of the call `method` to the node at `host`, in FReD's terms. */
export function fredFailure({ method, host }: { method: string; host: string }, error: ServiceError): FredFailure {
  const text = firstLine(error.details);
  return new FredFailure(kindOf(error.code, text), `FReD at ${host} did not ${method}: ${text}`, error);
}

function kindOf(code: status, text: string): FredFailureKind {
  if (code === status.UNAVAILABLE) return CERTIFICATE.test(text) ? 'certificate' : 'unreachable';
  // A node that ends cuts its calls off in one of these ways, as its connection goes or just before.
  if (code === status.CANCELLED || code === status.INTERNAL) return 'unreachable';
  if (code === status.RESOURCE_EXHAUSTED) return 'too-large';
  if (code === status.UNKNOWN && NO_ROLE.test(text)) return 'forbidden';
  if (code === status.UNKNOWN && NO_ITEM.test(text)) return 'absent';
  if (code === status.UNKNOWN && /^x509: /.test(text)) return 'certificate';
  return 'failed';
}

function firstLine(details: string): string {
  const line = (details.split('\n', 1)[0] ?? '').replace(EMPTY_NOTE, '').trim();
  return line === '' ? 'it gives no reason' : line.slice(0, TEXT_MAX);
}

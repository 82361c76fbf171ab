import { errors, PermissionViolationError, RequestError, TimeoutError } from '@nats-io/transport-node';
import type { NodeId } from '../../domain/identifiers.ts';
import { failureText } from '../replication/failure-text.ts';

/** Node.js's codes for a certificate that is signed by nobody whom this node trusts. */
const UNKNOWN_AUTHORITY = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
]);

/** Why a nats-server cannot be reached, so that whoever set the node up knows what to look at. */
export function connectionFailure(error: unknown, { hasCertificates }: { readonly hasCertificates: boolean }): string {
  if (!(error instanceof Error)) return failureText(error);
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (UNKNOWN_AUTHORITY.has(code)) {
    return hasCertificates
      ? "its certificate is not of this node's authority (ca.crt)"
      : 'it wants certificates, and this node has none (certs-dir)';
  }
  if (code === 'CERT_HAS_EXPIRED') return 'its certificate has expired; make a new one with "discedge certs node"';
  if (error.message.includes("does not support 'tls'")) return 'it has no certificates, and this node wants them';
  if (error instanceof TimeoutError) return 'nothing there answers as a nats-server does';
  return failureText(error);
}

/** Whether the server said that this node may not do what it tried; a request has that as the cause of its own error. */
export function isForbidden(error: unknown): boolean {
  return (
    error instanceof PermissionViolationError ||
    (error instanceof Error && error.cause instanceof PermissionViolationError)
  );
}

/** Why a node whose nats-server is reached does not answer a greeting. */
export function greetingFailure(error: unknown, peer: NodeId): string {
  if (isForbidden(error))
    return `the server there lets this node only knock: it is not ${peer}'s, or ${peer} is down, excludes this node or has no room for it`;
  if (error instanceof errors.NoRespondersError || (error instanceof RequestError && error.isNoResponders()))
    return `nobody listens for ${peer} at the server there: ${peer} is down, or the server is another node's`;
  if (error instanceof TimeoutError) return `${peer} does not answer`;
  return failureText(error);
}

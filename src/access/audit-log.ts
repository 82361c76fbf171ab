/** An administrative act: what an operator has to be able to tell afterwards. */
export const AUDIT_ACTS = [
  'node.start',
  'key.known',
  'key.revoked',
  'access.refused',
  'user.erase',
  'user.export',
  'user.import',
  'user.lifetime',
  'user.preferences',
  'session.delete',
  'session.export',
  'session.import',
  'session.move',
  'response.delete',
  'completion.delete',
  'conversation.delete',
  'item.delete',
] as const;
export type AuditAct = (typeof AUDIT_ACTS)[number];

/** Names and numbers, and never what anybody said. */
export type AuditDetails = Readonly<Record<string, string | number | undefined>>;

/** Where administrative acts are kept. */
export interface AuditLog {
  /** Never throws, and waits for nothing. */
  note(act: AuditAct, details: AuditDetails): void;
}

import { DiscedgeError } from '../../domain/errors.ts';
import type { Role } from '../../domain/record/turn-record.ts';
import { TemplateRefusal } from './template-renderer.ts';

/** Messages in one turn: more than any API takes in a request with all that may have been added before it. */
const MESSAGES_MAX = 32_768;

/** The roles of a turn's messages. Throws `invalid_request` for none, or more than a turn may have. */
export function turnRoles(messages: readonly { readonly role: Role }[]): Role[] {
  if (messages.length > MESSAGES_MAX) {
    throw new DiscedgeError('invalid_request', `a turn can have up to ${MESSAGES_MAX} messages`, { param: 'messages' });
  }
  return rolesOf(messages);
}

/** Throws `invalid_request` for none. */
export function rolesOf(messages: readonly { readonly role: Role }[]): Role[] {
  if (messages.length === 0) throw new DiscedgeError('invalid_request', 'a turn needs at least one message');
  return messages.map((message) => message.role);
}

/** What a template refuses is `invalid_request`, with the roles of what was refused. */
export async function refusalsAreInvalid<T>(roles: readonly Role[], work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof TemplateRefusal)) throw error;
    const what = `the messages (${[...new Set(roles)].join(', ')})`;
    throw new DiscedgeError(
      'invalid_request',
      `the model's chat template does not accept ${what}: it ${error.message}`,
      {
        param: roles.includes('system') ? 'system' : undefined,
        cause: error,
      },
    );
  }
}

import { DiscedgeError } from '../../../../domain/errors.ts';

export function previousNotFound(): DiscedgeError {
  return new DiscedgeError('previous_response_not_found', 'there is no such response to go on after', {
    param: 'previous_response_id',
  });
}

export function conversationNotFound(): DiscedgeError {
  return new DiscedgeError('conversation_not_found', 'there is no such conversation', { param: 'conversation' });
}

import { DiscedgeError } from '../../domain/errors.ts';
import type { Message } from '../../domain/record/turn-record.ts';
import type { TurnRequest } from './turn.ts';

/** Tools and forms other than the free one are refused with `unsupported_parameter`. */
export function refuseForms({ preamble, form }: Pick<TurnRequest, 'preamble' | 'form'>): void {
  const refuse = (param: string): never => {
    throw new DiscedgeError('unsupported_parameter', `${param} is not supported`, { param });
  };
  if ((preamble?.tools.length ?? 0) > 0) refuse('tools');
  if (form?.format !== undefined) refuse('format');
  if (form !== undefined && form.toolChoice !== 'auto' && form.toolChoice !== 'none') refuse('tool_choice');
}

/** `opening`: the messages of the session's first turn. */
export function withInstructions(request: TurnRequest, opening: readonly Message[] | undefined): TurnRequest {
  const { preamble, messages } = request;
  if (preamble === undefined) return request;
  const { instructions } = preamble;
  if (opening === undefined) {
    if (instructions === undefined) return request;
    return { ...request, messages: [{ role: 'system', content: instructions }, ...messages] };
  }
  const system = opening.find(({ role }) => role === 'system')?.content;
  if (system === instructions) return request;
  throw new DiscedgeError('unsupported_parameter', 'instructions other than those of the turn before', {
    param: 'instructions',
  });
}

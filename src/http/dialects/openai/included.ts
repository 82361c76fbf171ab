import { Type } from 'typebox';
import { nearest } from '../../../domain/nearest.ts';
import { invalid, unsupported } from '../../requests/parameters.ts';

/** What OpenAI's clients can ask to be shown with a list or a response that is about what no item here has. */
const SHOWS_NOTHING: readonly string[] = [
  'code_interpreter_call.outputs',
  'computer_call_output.output.image_url',
  'file_search_call.results',
  'message.input_image.image_url',
  'web_search_call.action.sources',
  'web_search_call.results',
];
const REFUSED: Readonly<Record<string, string>> = {
  'message.output_text.logprobs': 'probabilities are not kept',
  'reasoning.encrypted_content': 'reasoning is shown as text',
};

/** The parameter of a URL; its values are looked at by {@link requireIncludable}. */
export const Include = Type.Optional(Type.Unknown());

/**
 * Throws `unsupported_parameter` for the first thing that a query asks to include and that is not shown here, `invalid_request`
 * for one that nobody knows. What no item has changes nothing.
 */
export function requireIncludable(query: Readonly<Record<string, unknown>>): void {
  for (const value of [query.include, query['include[]']].flat()) {
    const wanted = String(value ?? '');
    if (value === undefined || SHOWS_NOTHING.includes(wanted)) continue;
    const why = Object.hasOwn(REFUSED, wanted) ? REFUSED[wanted] : undefined;
    if (why !== undefined) throw unsupported('include', `include ${wanted} is not supported: ${why}`);
    const meant = nearest(wanted, [...SHOWS_NOTHING, ...Object.keys(REFUSED)]);
    throw invalid('include', `unknown include ${wanted}${meant === undefined ? '' : `; did you mean ${meant}?`}`);
  }
}

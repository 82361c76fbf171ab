import type { CallSyntax } from '../classes/call-syntax.ts';

/**
 * How calls are found in what a model writes: the same as it was shown of them, but for white space. `object`: a JSON object,
 * or a list of such, with name and arguments. `named`: a name and then JSON. `pairs`: a name, and names and values between tags.
 */
export type CallMarks =
  | {
      readonly form: 'object';
      /** Empty where a call is nothing but JSON. */
      readonly opener: string;
      readonly closer: string;
      readonly nameKey: string;
      readonly argumentsKey: string;
    }
  | { readonly form: 'named'; readonly opener: string; readonly beforeArguments: string; readonly closer: string }
  | {
      readonly form: 'pairs';
      readonly opener: string;
      readonly beforeName: string;
      readonly beforeValue: string;
      readonly afterValue: string;
      /** Between two calls, where these stand between one opener and one closer. */
      readonly separator: string | undefined;
      readonly closer: string;
    };

/** `undefined`: calls of the syntax cannot be told from text. */
export function callMarks({ head, middle, tail, join, arguments: given }: CallSyntax): CallMarks | undefined {
  if (given.form === 'pairs') {
    const opener = head.trim();
    if (opener === '') return undefined;
    const separator = join?.includes(opener) ? undefined : join?.trim();
    return { ...given, opener, separator, closer: tail.trim() };
  }
  const object = /(?:\[\s*)?\{[^{}]*"(\w+)"\s*:\s*"$/.exec(head);
  const between = /^"\s*,\s*"(\w+)"\s*:\s*$/.exec(middle);
  if (object !== null && between !== null) {
    const [nameKey, argumentsKey] = [object[1] as string, between[1] as string];
    const opener = head.slice(0, object.index).trim();
    // Other fields of the call, and the end of what it stands in.
    const closer = tail.replace(/^[^}]*\}\s*\]?/, '').trim();
    return { form: 'object', opener, closer, nameKey, argumentsKey };
  }
  const opener = head.trim();
  if (opener === '') return undefined;
  const tags = middle.match(/<[^<>]+>|\[[^[\]]+\]/g);
  return { form: 'named', opener, beforeArguments: tags?.at(-1) ?? middle.trim(), closer: tail.trim() };
}

import { checkGrammar } from '../grammar/grammar-check.ts';

/** Texts, classes of characters, comments, and the marks that an alternative begins or ends at. */
const TOKEN = /"(?:[^"\\]|\\.)*"|\[(?:[^\]\\]|\\.)*\]|#[^\n]*|[A-Za-z][\w-]*[ \t]*::=|[|()]|\s+|[^\s"[#|()]+/gsu;

/**
 * GBNF as vLLM's grammars (XGrammar) are written: the same, but for an alternative that is empty, which has to say so. Throws
 * `invalid_request` for what is not GBNF, where vLLM would break off in the middle.
 */
export function asXgrammar(gbnf: string): string {
  checkGrammar(gbnf);
  let text = '';
  let isEmpty = false;
  for (const [token] of gbnf.matchAll(TOKEN)) {
    const isRule = token.endsWith('::=');
    if (isEmpty && (isRule || token === '|' || token === ')')) text += '"" ';
    if (isRule && text !== '' && !text.endsWith('\n')) text += '\n';
    text += token;
    const isSpace = token.trim() === '' || token.startsWith('#');
    if (isRule || token === '|' || token === '(') isEmpty = true;
    else if (!isSpace) isEmpty = false;
  }
  return isEmpty ? `${text} ""` : text;
}

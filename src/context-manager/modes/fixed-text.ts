import type { LlmService } from '../../llm-service/llm-service.ts';

type Tokenizer = Pick<LlmService, 'tokenize'>;

/** A text that is the same in every turn: a model is asked once how many ids it has. */
export class FixedText {
  readonly #text: string;
  readonly #lengths = new WeakMap<Tokenizer, Promise<number>>();

  constructor(text: string) {
    this.#text = text;
  }

  /** Throws what `tokenize` throws; then it is asked again. */
  tokens(llm: Tokenizer): Promise<number> {
    const known = this.#lengths.get(llm);
    if (known !== undefined) return known;
    const asked = llm.tokenize(this.#text, { parseSpecial: false }).then(({ length }) => length);
    this.#lengths.set(llm, asked);
    asked.catch(() => this.#lengths.delete(llm));
    return asked;
  }
}

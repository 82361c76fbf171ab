/** What a reply has to be, whatever it says. */
export interface ReplyForm {
  /** Whether it calls tools: as the model likes, not at all, at least one, or this one. */
  readonly toolChoice: 'auto' | 'none' | 'required' | { readonly name: string };
  /** Whether one reply may have several calls. */
  readonly parallelToolCalls: boolean;
  /** What the text of its answer keeps to; `undefined`: to nothing. */
  readonly format: ReplyFormat | undefined;
}

export type ReplyFormat =
  | { readonly type: 'json_object' }
  | {
      readonly type: 'json_schema';
      readonly name?: string;
      readonly schema: Readonly<Record<string, unknown>>;
      readonly strict?: boolean;
    };

export const FREE_FORM: ReplyForm = { toolChoice: 'auto', parallelToolCalls: true, format: undefined };

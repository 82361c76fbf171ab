/** What stands before the conversation in the prompt of one turn. */
export interface Preamble {
  /** A system message of this prompt alone; a system message among the session's own messages stands beside it. */
  readonly instructions: string | undefined;
  /** What the model may call, in the order in which it is told of them. */
  readonly tools: readonly ToolDefinition[];
}

export interface ToolDefinition {
  /** 1 to 128 letters, digits, `_`, `-`, `.` and `:`; no two of a preamble have the same. */
  readonly name: string;
  readonly description?: string;
  /** A JSON schema of an object; absent: none are taken. */
  readonly parameters?: Readonly<Record<string, unknown>>;
  /** Whether arguments have to keep to the schema. */
  readonly strict?: boolean;
}

export const NO_PREAMBLE: Preamble = { instructions: undefined, tools: [] };

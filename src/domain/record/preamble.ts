import { type ByteReader, type ByteWriter, MalformedBytes, pick } from '../bytes.ts';
import { isDeeperThan } from '../json/json-depth.ts';
import type { TokenSequence } from '../token-sequence.ts';
import { CURRENT_TOKEN_CODEC, tokenCodecById } from './token-codec.ts';

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

/** As a record keeps it: with the exact ids of the instructions, or where a record keeps messages, their text. */
export interface KeptPreamble {
  readonly instructions: TokenSequence | string | undefined;
  readonly tools: readonly ToolDefinition[];
}

export const NO_PREAMBLE: Preamble = { instructions: undefined, tools: [] };

/** What OpenAI's API allows. */
export const TOOLS_MAX = 128;
/** Of their JSON: as much as a context window of 128k ids holds. */
export const TOOLS_BYTES_MAX = 512 * 1024;
export const TOOL_NAME = /^[A-Za-z0-9_.:-]{1,128}$/;
/** Levels of objects and lists in the parameters of a tool. */
const PARAMETERS_DEPTH_MAX = 64;

/** Why no turn may have these; `undefined` when one may. */
export function toolsFault(tools: readonly ToolDefinition[]): string | undefined {
  if (tools.length > TOOLS_MAX) return `${tools.length} tools, and ${TOOLS_MAX} is the limit`;
  const names = new Set<string>();
  for (const { name, description, parameters, strict } of tools) {
    if (typeof name !== 'string' || !TOOL_NAME.test(name)) return 'a malformed name of a tool';
    if (names.has(name)) return `two tools of the name ${name}`;
    names.add(name);
    if (description !== undefined && typeof description !== 'string') return `no text as description of ${name}`;
    if (strict !== undefined && typeof strict !== 'boolean') return `strict is no boolean in ${name}`;
    if (parameters === undefined) continue;
    if (typeof parameters !== 'object' || parameters === null || Array.isArray(parameters)) {
      return `parameters of ${name} are no JSON schema of an object`;
    }
    if (isDeeperThan(parameters, PARAMETERS_DEPTH_MAX)) return `parameters of ${name} are nested too deep`;
  }
  const bytes = Buffer.byteLength(JSON.stringify(tools));
  return bytes > TOOLS_BYTES_MAX ? `tools of ${bytes} bytes, and ${TOOLS_BYTES_MAX} is the limit` : undefined;
}

const INSTRUCTIONS = ['none', 'text', 'ids'] as const;

export function writePreamble(preamble: KeptPreamble | undefined, writer: ByteWriter): void {
  writer.byte(preamble === undefined ? 0 : 1);
  if (preamble === undefined) return;
  const { instructions, tools } = preamble;
  const kind = instructions === undefined ? 'none' : typeof instructions === 'string' ? 'text' : 'ids';
  writer.byte(INSTRUCTIONS.indexOf(kind));
  if (typeof instructions === 'string') writer.text(instructions);
  else if (instructions !== undefined) {
    writer.byte(CURRENT_TOKEN_CODEC.id);
    writer.varint(instructions.length);
    CURRENT_TOKEN_CODEC.write(instructions, writer);
  }
  writer.text(JSON.stringify(tools));
}

export function readPreamble(reader: ByteReader): { readonly preamble?: KeptPreamble } {
  if (!pick([false, true], reader.byte(), 'preamble')) return {};
  const kind = pick(INSTRUCTIONS, reader.byte(), 'instructions');
  const instructions = readInstructions(kind, reader);
  return { preamble: { instructions, tools: toolsFrom(reader.text(reader.remaining)) } };
}

function readInstructions(kind: (typeof INSTRUCTIONS)[number], reader: ByteReader): KeptPreamble['instructions'] {
  if (kind === 'none') return undefined;
  if (kind === 'text') return reader.text(reader.remaining);
  const codec = tokenCodecById(reader.byte());
  return codec.read(reader, reader.varint());
}

function toolsFrom(json: string): readonly ToolDefinition[] {
  if (json.length > TOOLS_BYTES_MAX) throw new MalformedBytes('tools that are too long');
  try {
    const tools: unknown = JSON.parse(json);
    // Only as it was written has it the hash that names it.
    if (Array.isArray(tools) && JSON.stringify(tools) === json) return tools as readonly ToolDefinition[];
  } catch (cause) {
    throw new MalformedBytes('tools that are no JSON', { cause });
  }
  throw new MalformedBytes('tools that are no list');
}

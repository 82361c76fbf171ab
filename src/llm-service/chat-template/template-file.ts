import { open, readFile, stat } from 'node:fs/promises';
import { DiscedgeError } from '../../domain/errors.ts';
import { isHeaderWholeAt } from '../gguf-header.ts';
import { loadLlamaLibrary } from '../llama-library.ts';

/** A chat template that a file holds. */
export interface NamedTemplate {
  /** `default` for the one that is used unless another is asked for; others are such as `tool_use` and `rag`. */
  readonly name: string;
  readonly source: string;
}

export const DEFAULT_TEMPLATE = 'default';

/** The largest tokenizer_config.json known has a few MB: it lists thousands of added tokens. */
const FILE_BYTES_MAX = 64 * 1024 * 1024;

/**
 * The chat templates of a Jinja file, of a `tokenizer_config.json` or `chat_template.json` as transformers writes them,
 * or of a GGUF model's metadata, the default first. Which of them it is shows in the content, not in the name. Empty: the
 * model has none. Throws `config_invalid` for a file that cannot be read or is none of these, `package_missing` where a
 * GGUF is given and node-llama-cpp is not installed.
 */
export async function readTemplateFile(path: string): Promise<NamedTemplate[]> {
  const templates = (await isGguf(path)) ? await ofGguf(path) : ofText(await textOf(path), path);
  return templates.sort((a, b) => Number(b.name === DEFAULT_TEMPLATE) - Number(a.name === DEFAULT_TEMPLATE));
}

async function isGguf(path: string): Promise<boolean> {
  const file = await open(path).catch((cause: Error) => unreadable(path, cause.message, cause));
  try {
    const { buffer, bytesRead } = await file
      .read(Buffer.alloc(4), 0, 4, 0)
      .catch((cause: Error) => unreadable(path, cause.message, cause));
    if (buffer.toString('latin1', 0, bytesRead) === 'GGUF') return true;
    if ((await file.stat()).size > FILE_BYTES_MAX) return unreadable(path, `it is longer than ${FILE_BYTES_MAX} bytes`);
    return false;
  } finally {
    await file.close();
  }
}

async function textOf(path: string): Promise<string> {
  const bytes = await readFile(path).catch((cause: Error) => unreadable(path, cause.message, cause));
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    return unreadable(path, 'it is not UTF-8 text', cause);
  }
}

function ofText(text: string, path: string): NamedTemplate[] {
  const config = jsonObject(text);
  if (config === undefined) return [{ name: DEFAULT_TEMPLATE, source: text }];
  const { chat_template: template } = config;
  if (template === undefined || template === null) return [];
  if (typeof template === 'string') return [{ name: DEFAULT_TEMPLATE, source: template }];
  if (Array.isArray(template) && template.every(isNamed)) {
    return template.map(({ name, template: source }) => ({ name, source }));
  }
  return unreadable(path, 'its chat_template is neither text nor a list of name and template');
}

/** A template may begin as JSON does, with `{`, but then goes on as no JSON does. */
function jsonObject(text: string): Record<string, unknown> | undefined {
  if (!/^\s*\{/.test(text)) return undefined;
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

function isNamed(entry: unknown): entry is { name: string; template: string } {
  const { name, template } = (entry ?? {}) as { name?: unknown; template?: unknown };
  return typeof name === 'string' && typeof template === 'string';
}

const GGUF_KEY = 'chat_template';

async function ofGguf(path: string): Promise<NamedTemplate[]> {
  const { readGgufFileInfo } = await loadLlamaLibrary();
  const damaged = (cause?: unknown) => unreadable(path, 'it is truncated or damaged', cause);
  if (!isHeaderWholeAt(path)) damaged();
  const { metadata, metadataSize } = await readGgufFileInfo(path, { logWarnings: false }).catch(damaged);
  // Behind the end of a file the library reads zeros.
  if (metadataSize > (await stat(path)).size) damaged();
  // `tokenizer.chat_template` and `tokenizer.chat_template.tool_use`: the latter is nested where it is alone.
  const keys: Record<string, unknown> = { ...metadata.tokenizer };
  const nested = typeof keys[GGUF_KEY] === 'object' ? (keys[GGUF_KEY] as Record<string, unknown>) : {};
  for (const [name, value] of Object.entries(nested ?? {})) keys[`${GGUF_KEY}.${name}`] = value;
  return Object.entries(keys).flatMap(([key, value]) => {
    if (typeof value !== 'string' || !(key === GGUF_KEY || key.startsWith(`${GGUF_KEY}.`))) return [];
    return [{ name: key.slice(GGUF_KEY.length + 1) || DEFAULT_TEMPLATE, source: value }];
  });
}

function unreadable(path: string, why: string, cause?: unknown): never {
  throw new DiscedgeError('config_invalid', `chat template ${path} cannot be read: ${why}`, { cause });
}

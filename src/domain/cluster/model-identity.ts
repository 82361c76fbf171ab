import { createHash } from 'node:crypto';
import type { KeygroupId } from '../identifiers.ts';
import type { TokenSequence } from '../token-sequence.ts';

/**
 * What two nodes must have in common to share contexts: the configured model name and what decides the ids.
 * Quantization may differ (DESIGN §5).
 */
export interface ModelIdentity {
  readonly name: string;
  /** Digest of the ids that {@link TOKENIZER_PROBES} give; hex. */
  readonly tokenizerDigest: string;
  /** Digest of the chat template's source; hex. */
  readonly templateDigest: string;
}

/** Longest model name, in UTF-8 bytes: as long as a file's name, and short in the greetings of nodes. */
const MODEL_NAME_BYTES_MAX = 256;

/** What {@link isModelName} asks, after the name of the field. */
export const MODEL_NAME_RULE = `must be at most ${MODEL_NAME_BYTES_MAX} bytes of UTF-8 without control characters`;

/** What a model may be called: requests, metrics and other nodes name it. */
export function isModelName(text: string): boolean {
  return text.isWellFormed() && !/[\u0000-\u001f\u007f]/.test(text) && Buffer.byteLength(text) <= MODEL_NAME_BYTES_MAX;
}

/**
 * Texts whose ids tell tokenizers apart: scripts, digits, white space, code, emoji, combining marks, and control-token
 * look-alikes. Never change one: every node's keygroup would change with it.
 */
export const TOKENIZER_PROBES: readonly string[] = [
  'The quick brown fox jumps over the lazy dog.',
  "I'll say it's 3.14159 and 1,234,567 — 50 % more!",
  '  leading, trailing  and\ttabbed\n\n\nlines  ',
  'def f(x):\n    return {"a": [x ** 2 for _ in range(10)]}',
  'Zażółć gęślą jaźń, Größe, naïve, Ελληνικά, русский',
  '漢字かな交じり文と한국어와 العربية',
  '🤖🚗 e\u0301 \u200b\u00a0\ufeff',
  '<|im_start|>user [INST] </s> <start_of_turn>',
  'supercalifragilisticexpialidocious antidisestablishmentarianism',
  '0123456789 0x7fff 1e-9 v2.10.27',
];

export function digestText(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}

/** `probeIds` are the ids of {@link TOKENIZER_PROBES}, in order, with special-token parsing off. */
export function tokenizerDigest(probeIds: readonly TokenSequence[]): string {
  return digestText(probeIds.map((ids) => ids.join(',')).join(';'));
}

export function keygroupOf(identity: ModelIdentity): KeygroupId {
  const text = JSON.stringify([identity.name, identity.tokenizerDigest, identity.templateDigest]);
  return digestText(text).slice(0, 16) as KeygroupId;
}

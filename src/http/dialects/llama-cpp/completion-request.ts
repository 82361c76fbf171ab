import type { ForwardRequest, ReplyOptions, TurnRequest } from '../../../context-manager/turn/turn.ts';
import type { OverflowPolicy } from '../../../domain/context-window.ts';
import { DiscedgeError } from '../../../domain/errors.ts';
import {
  ANONYMOUS,
  parseContextId,
  parseSessionId,
  parseTurnNumber,
  parseUserId,
} from '../../../domain/identifiers.ts';
import { nearest } from '../../../domain/nearest.ts';
import type { ContextMode, Message } from '../../../domain/record/turn-record.ts';
import type { TokenId, TokenSequence } from '../../../domain/token-sequence.ts';
import type { TurnPlace } from '../../../domain/turn-decision.ts';
import type { AppOptions } from '../../app-parts.ts';
import { CompletionBody } from './completion-schema.ts';

/**
 * Fields that are not sampling parameters. Those of llama.cpp that steer its KV cache are the node's own business here
 * and are dropped, since a client that set them could only break the prefix.
 */
const OWN_FIELDS = new Set([
  ...[
    'prompt',
    'session_id',
    'user_id',
    'turn',
    'context_id',
    'mode',
    'system',
    'consistency',
    'max_wait_ms',
    'write_concern',
    'replicated_wait_ms',
    'ttl_seconds',
    'overflow',
  ],
  ...['stream', 'n_predict', 'max_tokens', 'stop', 'return_tokens', 'model'],
  ...['cache_prompt', 'id_slot', 'n_keep', 'n_discard', 'return_progress', 'timings_per_token', 'response_fields'],
]);

/** Own fields whose names no parameter of llama.cpp resembles, so that something close to one is a slip. */
const UNMISTAKABLE_FIELDS = [
  'session_id',
  'user_id',
  'context_id',
  'system',
  'consistency',
  'max_wait_ms',
  'write_concern',
  'replicated_wait_ms',
  'ttl_seconds',
  'overflow',
];

/** Levels of objects and arrays in a parameter; llama.cpp's own go two or three deep, JSON schemas some more. */
const PARAMETER_DEPTH_MAX = 64;

/** llama.cpp reads null as "the default", so a null is the same as nothing. */
export function withoutNulls(body: unknown): unknown {
  if (body === null || typeof body !== 'object' || Array.isArray(body)) return body;
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null));
}

/** A request of `/completion`: a turn to be taken, or a prompt to be forwarded. */
export type Completion =
  | { readonly kind: 'turn'; readonly request: TurnRequest }
  | { readonly kind: 'forward'; readonly request: ForwardRequest };

/** Checks what a schema cannot say and translates the body. Throws `invalid_request` naming the field. */
export function completionOf(
  body: CompletionBody,
  options: AppOptions,
  { defaultMode }: { readonly defaultMode: ContextMode },
): Completion {
  if ('context' in body) {
    throw invalid(
      'context',
      'the node keeps the context: send session_id and turn, or mode "client-side" with the whole prompt',
    );
  }
  if (body.overflow === 'summarize')
    throw invalid('overflow', 'overflow "summarize" is not available; use "error" or "drop-oldest"');
  const reply: ReplyOptions = {
    maxTokens: maxTokensOf(body),
    stop: stopOf(body),
    sampling: samplingOf(body),
    stream: body.stream ?? false,
  };
  const mode = body.mode ?? defaultMode;
  if (mode === 'client-side') return { kind: 'forward', request: { ...reply, prompt: clientPrompt(body.prompt) } };
  const request: TurnRequest = {
    ...reply,
    userId: body.user_id === undefined || body.user_id === '' ? ANONYMOUS : parseUserId(body.user_id),
    sessionId: body.session_id === undefined || body.session_id === '' ? undefined : parseSessionId(body.session_id),
    place: placeOf(body),
    mode: body.mode === undefined ? undefined : mode,
    messages: messagesOf(body),
    consistency: body.consistency ?? options.defaultConsistency,
    maxWaitMs: Math.min(body.max_wait_ms ?? options.maxWaitMs, options.maxWaitMsLimit),
    writeConcern: body.write_concern ?? options.defaultWriteConcern,
    replicatedWaitMs: Math.min(body.replicated_wait_ms ?? options.replicatedWaitMs, options.maxWaitMsLimit),
    ttlSeconds: ttlOf(body.ttl_seconds, options),
    overflow: (body.overflow as OverflowPolicy | undefined) ?? options.defaultOverflow,
  };
  return { kind: 'turn', request };
}

function placeOf({ turn, context_id }: CompletionBody): TurnPlace {
  const contextId = context_id === undefined ? undefined : parseContextId(context_id);
  if (turn !== undefined) return { turn: parseTurnNumber(turn), contextId };
  return contextId === undefined ? { opens: true } : { after: contextId };
}

function samplingOf(body: CompletionBody): Readonly<Record<string, unknown>> {
  const parameters = Object.entries(body).filter(([name]) => !OWN_FIELDS.has(name));
  for (const [name, value] of parameters) {
    const meant = name in CompletionBody.properties ? undefined : nearest(name, UNMISTAKABLE_FIELDS);
    if (meant !== undefined) throw invalid(name, `unknown field ${name}: did you mean ${meant}?`);
    if (isDeeperThan(value, PARAMETER_DEPTH_MAX))
      throw invalid(name, `${name} is nested more than ${PARAMETER_DEPTH_MAX} levels deep`);
  }
  return Object.fromEntries(parameters);
}

function isDeeperThan(value: unknown, levels: number): boolean {
  if (value === null || typeof value !== 'object') return false;
  return levels === 0 || Object.values(value).some((inner) => isDeeperThan(inner, levels - 1));
}

function messagesOf({ prompt, system }: CompletionBody): Message[] {
  if (typeof prompt !== 'string') {
    throw invalid('prompt', 'prompt is the user\'s message, a string; ids and lists are for mode "client-side"');
  }
  const user: Message = { role: 'user', content: checkedText('prompt', prompt) };
  return system === undefined ? [user] : [{ role: 'system', content: checkedText('system', system) }, user];
}

/** Joins neighbouring ids, so that a prompt of ids is one piece. */
function clientPrompt(prompt: CompletionBody['prompt']): Array<string | TokenSequence> {
  if (typeof prompt === 'string') return [checkedText('prompt', prompt)];
  if (prompt.length > 1 && prompt.every((piece) => typeof piece === 'string')) {
    throw invalid('prompt', 'prompt is a list of texts, which for llama.cpp are several prompts; send one at a time');
  }
  const pieces: Array<string | TokenId[]> = [];
  for (const piece of prompt) {
    const last = pieces.at(-1);
    if (typeof piece === 'string') pieces.push(checkedText('prompt', piece));
    else if (Array.isArray(last)) last.push(piece as TokenId);
    else pieces.push([piece as TokenId]);
  }
  if (pieces.length === 0) throw invalid('prompt', 'prompt is empty');
  return pieces;
}

/** Text that every tokenizer can take: not empty, real Unicode, no NUL (llama.cpp ends strings there). */
function checkedText(param: string, text: string): string {
  if (text === '') throw invalid(param, `${param} is empty`);
  if (!text.isWellFormed()) throw invalid(param, `${param} has half a surrogate pair: it is not Unicode text`);
  if (text.includes('\u0000')) throw invalid(param, `${param} contains a NUL character`);
  return text;
}

function maxTokensOf({ n_predict, max_tokens }: CompletionBody): TurnRequest['maxTokens'] {
  const asked = n_predict ?? max_tokens;
  if (asked === 0) throw invalid('n_predict', 'n_predict must be at least 1, or -1 for as many as the node allows');
  return asked === -1 ? 'most' : asked;
}

/** Throws `invalid_request` for more than this node allows. */
export function ttlOf(seconds: number | undefined, { ttlSecondsMax }: AppOptions): number | undefined {
  if (seconds !== undefined && seconds > ttlSecondsMax)
    throw invalid('ttl_seconds', `ttl_seconds must be at most ${ttlSecondsMax} on this node`);
  return seconds;
}

function stopOf({ stop }: CompletionBody): readonly string[] {
  return (typeof stop === 'string' ? [stop] : (stop ?? [])).filter((word) => word !== '');
}

function invalid(param: string, message: string): DiscedgeError {
  return new DiscedgeError('invalid_request', message, { param });
}

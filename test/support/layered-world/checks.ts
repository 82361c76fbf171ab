import assert from 'node:assert/strict';
import type { ToldLayers } from '../../../src/context-manager/layers/told-layers.ts';
import { SUMMARY_REQUEST, summaryTokensMax } from '../../../src/context-manager/modes/summary-request.ts';
import type { EvaluatedTurn } from '../../../src/context-manager/turn/turn.ts';
import type { DiscedgeError } from '../../../src/domain/errors.ts';
import { LAYER_NAMES } from '../../../src/domain/record/layer-stamps.ts';
import { commonPrefixLength } from '../../../src/domain/token-sequence.ts';
import { bytes, chatmlIds, type ToldTurn } from '../chatml-oracle.ts';
import type { Generation } from '../probed-llm.ts';
import { type Asked, broughtBack, lineOf, standing, systemOf, type Told, WINDOW, words } from './told.ts';

/** Ids that end a reply, or part it from the next message: of the segment after it. */
const LEAD_MAX = 2;

const SUMMARY_TOKENS_MAX = summaryTokensMax({ description: { contextTokens: WINDOW } as never });

const lengthOf = (turns: readonly ToldTurn[], system?: string) => chatmlIds(system, turns).length;

/** What was read, and what that shows. */
export interface Checked {
  readonly read: Pick<Told, 'left' | 'summed' | 'text'>;
  readonly shown: readonly string[];
}

/** Holds a reply against its prompt, and both against what they have to be. `generations`: all that the node's model has answered. */
export function checkReply(
  asked: Asked,
  { generation, generations }: { readonly generation: Generation; readonly generations: readonly Generation[] },
  reply: EvaluatedTurn,
): Checked {
  const { act, base, layers, conversation, said, reserve } = asked;
  const { prompt } = generation;
  const { droppedTurns: left, summarized, retrievedTurns: retrieved = [], usage } = reply;
  const summed = summarized?.turns ?? 0;
  assert.ok(summed > 0 || summarized === undefined);
  const start = left + summed;
  const startBefore = base === undefined ? 0 : base.left + base.summed;
  assert.ok(start === startBefore || (start > startBefore && act.overflow !== 'error'), 'turns came or went unasked');
  assert.ok(retrieved.every((turn) => turn <= start));

  const line = lineOf(base);
  const text = retrieved.length === 0 ? said : `${broughtBack(line, retrieved)}${said}`;
  const turns = [...standing(summed), ...line.slice(start), { text, reply: undefined }];
  const expected = chatmlIds(systemOf(layers, conversation), turns);
  assert.equal(words(prompt), words(expected));
  assert.deepEqual([...prompt], [...expected]);
  assert.ok(prompt.length + reserve <= WINDOW, 'the prompt leaves no room for a reply');
  const { cachedTokens, evaluatedTokens } = usage;
  assert.deepEqual([reply.promptTokens, cachedTokens + evaluatedTokens], [prompt.length, prompt.length]);

  checkLayers(reply.layers, asked);
  const contextTokens = prompt.length - lengthOf([{ text, reply: undefined }]);
  const isContinued = start === startBefore && summed === (base?.summed ?? 0);
  const keepsPrefix = checkCost(reply, { generation, generations }, { ...asked, contextTokens, isContinued });
  const shown = [
    ...(summarized === undefined ? [] : [`summary ${summarized.made}`]),
    ...(start > startBefore ? ['left out'] : []),
    ...(retrieved.length > 0 ? ['brought back'] : []),
    ...(keepsPrefix ? ['prefix kept'] : []),
  ];
  return { read: { left, summed, text }, shown };
}

function checkLayers(told: ToldLayers | undefined, { base, layers }: Asked): void {
  const [first] = LAYER_NAMES.filter((name) => layers[name] !== undefined);
  const parts = LAYER_NAMES.flatMap((name) => {
    const [now, had] = [layers[name], base?.layers[name]];
    if (now === undefined) return had === undefined ? [] : [{ name, tokens: 0, changed: true }];
    const { length: tokens } = bytes(first === name ? now : `\n\n${now}`);
    return [{ name, tokens, changed: base !== undefined && now !== had }];
  });
  assert.deepEqual(told?.parts ?? [], parts);
}

/**
 * What a change of layers is told to cost is what it costs: no less, and no more than there is. Returns whether the prompt was seen to
 * begin with the one before it and its reply, where nothing has come between them.
 */
function checkCost(
  { layers: told, usage }: Pick<EvaluatedTurn, 'layers' | 'usage'>,
  { generation, generations }: { readonly generation: Generation; readonly generations: readonly Generation[] },
  { base, layers, contextTokens, isContinued }: Asked & { contextTokens: number; isContinued: boolean },
): boolean {
  const rewritten = told?.rewrittenTokens ?? 0;
  assert.ok(rewritten <= contextTokens, `${rewritten} ids of ${contextTokens} are told as evaluated again`);
  const isSame = base !== undefined && LAYER_NAMES.every((name) => layers[name] === base.layers[name]);
  if (base === undefined || isSame) assert.equal(rewritten, 0);
  if (base === undefined || !isContinued) return false;
  const before = [...base.generation.prompt, ...base.reply];
  const shared = commonPrefixLength(before, generation.prompt);
  if (!isSame) assert.ok(rewritten + LEAD_MAX >= contextTokens - shared, 'more is evaluated again than is told');
  const { affinity } = generation.request;
  const own = generations.filter(({ request }) => request.affinity === affinity);
  if (!isSame || own.at(-2) !== base.generation || own.at(-1) !== generation) return false;
  assert.ok(usage.cachedTokens >= before.length - 1, 'a prompt does not begin with the one before it and its reply');
  return true;
}

/** It was right to refuse that: it does not fit, or what may be done about it would not help. */
export function checkRefused(
  { act: { overflow }, said, conversation, base, layers, reserve }: Asked,
  { message }: DiscedgeError,
): void {
  const stand = LAYER_NAMES.flatMap((name) => layers[name] ?? []).join('\n\n');
  if (bytes(stand).length > WINDOW / 2) return;
  const asked = { text: said, reply: undefined };
  const system = systemOf(layers, conversation);
  const { left = 0, summed = 0 } = base ?? {};
  const kept = lineOf(base).slice(left + summed);
  const whole = lengthOf([...standing(summed), ...kept, asked], system) + reserve;
  assert.ok(whole > WINDOW, `what fits is refused: ${whole} ids of ${WINDOW}: ${message}`);
  if (overflow === 'error' || base === undefined) return;
  const isSummed = overflow === 'summarize';
  if (isSummed && kept.some((turn) => !canBeSummedUp(turn, systemOf({ deployment: layers.deployment }, conversation))))
    return;
  const room = isSummed ? bytes(SUMMARY_REQUEST).length + SUMMARY_TOKENS_MAX : 0;
  const alone = lengthOf([...standing(isSummed ? 0 : summed), asked], system) + room + reserve;
  assert.ok(alone + LEAD_MAX > WINDOW, `what would fit is refused: ${alone} ids of ${WINDOW}: ${message}`);
}

/** Whether the window holds a turn, what stands for those before it, and the request for a summary. */
function canBeSummedUp(turn: Told, system: string): boolean {
  const asking = { text: SUMMARY_REQUEST, reply: undefined };
  return lengthOf([...standing(1), turn, asking], system) + SUMMARY_TOKENS_MAX <= WINDOW;
}

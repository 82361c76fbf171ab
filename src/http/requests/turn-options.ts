import { type Static, Type } from 'typebox';
import type { TurnRequest } from '../../context-manager/turn/turn.ts';
import { NEXT_NODES_MAX, NODE_ID_CHARS_MAX } from '../../domain/record/next-nodes.ts';
import { CONSISTENCIES, WRITE_CONCERNS } from '../../domain/session/consistency.ts';
import { OVERFLOW_POLICIES } from '../../domain/session/context-window.ts';
import { REASONING_POLICIES } from '../../llm-service/chat-template.ts';
import type { AppOptions } from '../app-parts.ts';
import { LayersAsked, layersLeftOut } from '../layers-told.ts';
import { choice, milliseconds } from './request-fields.ts';
import { allowedTtl } from './time-to-live.ts';

/** What a request may say of how its turn is taken, in every API. */
export const TurnOptions = {
  consistency: Type.Optional(
    choice(CONSISTENCIES, {
      description:
        '`strong`: answered from all earlier turns or refused. `available`: answered from what is here; `based_on_turn` says what that was.',
    }),
  ),
  max_wait_ms: Type.Optional(
    milliseconds({
      description:
        'How long to wait for the turn before this one to arrive from another node. A node that shares its sessions with no other has nothing to wait for.',
    }),
  ),
  write_concern: Type.Optional(
    choice(WRITE_CONCERNS, {
      description:
        '`local`: the turn is on the disk of this node when its reply ends. `replicated`: the end of the reply waits until another node has it too, bounded; the reply says what was reached.',
    }),
  ),
  replicated_wait_ms: Type.Optional(
    milliseconds({
      description:
        'How long the end of the reply may wait for that other node. The turn stands however the wait ends: sent again, it is a replay, and waits anew.',
    }),
  ),
  ttl_seconds: Type.Optional(
    Type.Integer({ minimum: 1, description: 'How long after this turn the session lives on.' }),
  ),
  overflow: Type.Optional(
    choice(OVERFLOW_POLICIES, {
      description:
        'When the context window is full: `error` leaves nothing (more) out, `drop-oldest` leaves out the oldest turns, `summarize` has the model sum them up, ahead of need where the node has time, `retrieve` leaves them out and brings back those that the message is about.',
    }),
  ),
  next_nodes: Type.Optional(
    Type.Array(Type.String({ minLength: 1, maxLength: NODE_ID_CHARS_MAX }), {
      maxItems: NEXT_NODES_MAX,
      description:
        'Ids of nodes where the next turn will probably be sent: they may evaluate the context before it comes. Names of no node are passed over.',
    }),
  ),
  layers: Type.Optional(LayersAsked),
  reasoning: Type.Optional(
    choice(REASONING_POLICIES, {
      description:
        'What becomes of the reasoning in earlier replies: `as-template` does what the chat template does, `keep` leaves it where it was written, `drop` leaves it out.',
    }),
  ),
};

type Said = Static<ReturnType<typeof Type.Object<typeof TurnOptions>>>;
type Taken =
  | 'consistency'
  | 'maxWaitMs'
  | 'writeConcern'
  | 'replicatedWaitMs'
  | 'ttlSeconds'
  | 'overflow'
  | 'reasoning'
  | 'nextNodes'
  | 'withoutLayers';

/** Where a request says nothing, what the node does. Throws `invalid_request` for more than this node allows. */
export function turnOptions(said: Said, options: AppOptions): Pick<TurnRequest, Taken> {
  return {
    consistency: said.consistency ?? options.defaultConsistency,
    maxWaitMs: Math.min(said.max_wait_ms ?? options.maxWaitMs, options.maxWaitMsLimit),
    writeConcern: said.write_concern ?? options.defaultWriteConcern,
    replicatedWaitMs: Math.min(said.replicated_wait_ms ?? options.replicatedWaitMs, options.maxWaitMsLimit),
    ttlSeconds: allowedTtl(said.ttl_seconds, options),
    overflow: said.overflow ?? options.defaultOverflow,
    reasoning: said.reasoning ?? 'as-template',
    ...(said.layers !== undefined && { withoutLayers: layersLeftOut(said.layers) }),
    ...(said.next_nodes && { nextNodes: said.next_nodes }),
  };
}

import { type Static, Type } from 'typebox';
import { CONTEXT_MODES } from '../../domain/record/turn-record.ts';
import { WARMING_POLICIES } from '../../domain/warming-policies.ts';
import { TEMPLATE_CLASSES } from '../../llm-service/chat-template.ts';
import { choice } from '../requests/request-fields.ts';

/* What a node tells of itself and of the nodes it knows, as it goes over the wire. */

const count = (description?: string) => Type.Integer({ minimum: 0, ...(description !== undefined && { description }) });
const names = (description?: string) =>
  Type.Array(Type.String(), { ...(description !== undefined && { description }) });

export const EngineStates = Type.Array(
  Type.Object({
    model: Type.String(),
    is_up: Type.Boolean({ description: 'False from the end of its process until another one has loaded the model.' }),
    pid: Type.Optional(count('Left out while there is none.')),
    restarts: count('Since the start of the node.'),
  }),
  { description: 'The processes that embedded models live in; left out where there are none.' },
);

export const WarmingStates = Type.Array(
  Type.Object({
    model: Type.String(),
    policy: choice(WARMING_POLICIES),
    queued: count('Sessions that wait to be warmed.'),
    dropped: count('Given up for newer ones before they were warmed.'),
    handovers_warm: count('Turns whose session came from another node, and found its context evaluated ahead of need;'),
    handovers_kept: count('found it from an earlier turn here;'),
    handovers_cold: count('found none of it, or little.'),
    tokens_warmed: count('Ids evaluated ahead of need.'),
    tokens_used: count('Of those, found by a turn.'),
    tokens_wasted: count('Dropped or displaced before one did.'),
    tokens_held: count(),
    bytes_held: Type.Optional(count('KV state of those, where the engine knows.')),
    preemptions: count('Times that warming stood aside for a turn.'),
  }),
  { description: 'What is evaluated ahead of need, since the start; left out where nothing is.' },
);

export const HealthReply = Type.Object(
  { status: choice(['ok']), engines: Type.Optional(EngineStates) },
  { title: 'Health' },
);

export const ReadyReply = Type.Object(
  {
    status: choice(['ready']),
    models: names('Those that were asked about.'),
    store: Type.Object({
      sessions: count('Not deleted.'),
      records: count(),
      bytes: count(),
      corrupt_records: count('Damaged ones met since the start.'),
      evicted_sessions: count('Removed since the start to stay below the configured size.'),
      evicted_last_copies: count('Of them, those that no other node was known to hold.'),
    }),
  },
  { title: 'Readiness' },
);

export const PropsReply = Type.Object(
  {
    default_generation_settings: Type.Object({ n_ctx: count('The context window.') }),
    total_slots: count('Turns that the LLM Service works on at once.'),
    model_alias: Type.String(),
    chat_template: Type.String(),
    bos_token: Type.String(),
    eos_token: Type.String(),
    keygroup: Type.String({ description: 'Nodes with the same one may share the sessions of this model.' }),
    tokenizer: Type.Optional(
      Type.String({
        description:
          'In front of a server: where texts become ids, at `llama-server`, `vLLM` or `here`, with which file.',
      }),
    ),
    tokenizer_digest: Type.String(),
    template_digest: Type.String(),
    vocabulary_size: count(),
    default_mode: choice(CONTEXT_MODES),
    modes: Type.Array(choice(CONTEXT_MODES)),
    template_classes: Type.Array(
      Type.Object({
        trait: Type.String({
          description: 'Conversations of this kind: `plain`, with a `system` message, with `thinking`, with `tools`.',
        }),
        class: choice(TEMPLATE_CLASSES, {
          description:
            'How much of a prompt the next one leaves as it was: `append` all of it, `follow` all but the newest exchanges, `rewrite` less; `refused`: cannot be rendered.',
        }),
        reach: Type.Integer({
          minimum: 0,
          description: 'Of how many exchanges, from the newest, ids may change; 0 for `append`.',
        }),
        why: Type.Optional(Type.String()),
      }),
      { description: "How the model's chat template treats what is past." },
    ),
    template_unusable: Type.Optional(
      Type.String({ description: 'Why the node cannot keep contexts with this model.' }),
    ),
    models: names('All that the node serves, the default one first.'),
    node: Type.String(),
    version: Type.String(),
    store: Type.String(),
  },
  { title: 'Props' },
);

export const MetricsReply = {
  description: 'Prometheus text.',
  content: { 'text/plain': { schema: Type.String() } },
};

/** What a node says of itself, told by itself or as another one heard it. */
const DESCRIPTION_FIELDS = {
  incarnation: Type.Optional(Type.String({ description: 'New whenever the disk of the node is new.' })),
  keygroups: Type.Optional(names('Of the models that it serves.')),
  record_version: Type.Optional(Type.Integer({ description: 'The newest version of a record that it reads.' })),
  url: Type.Optional(Type.String({ description: 'Of its HTTP API.' })),
  model: Type.Optional(Type.String({ description: 'The default one.' })),
  models: Type.Optional(names()),
  location: Type.Optional(Type.Object({ latitude: Type.Number(), longitude: Type.Number() })),
  load: Type.Optional(count('Turns being answered.')),
  nats_url: Type.Optional(Type.String({ description: 'Where its records are fetched, over NATS.' })),
  fred_url: Type.Optional(Type.String({ description: 'Where its records are fetched, over FReD.' })),
};

const OwnClock = Type.Object({
  time: Type.String({ description: "The node's time, by which it stamps and expires." }),
  trusted: Type.Boolean({ description: 'While it is not, nothing expires here.' }),
  doubt: Type.Optional(
    choice(['starting', 'behind', 'stepped', 'peers'], {
      description:
        '`starting`: nobody has confirmed it yet. `behind`: the machine has a time that is long over. `stepped`: its clock has jumped. `peers`: most other nodes have another time.',
    }),
  ),
  machine_ahead_ms: Type.Integer({
    description: "How far the machine's clock is ahead of the node's time; negative: behind.",
  }),
});

const PeerClockSeen = Type.Object({
  ahead_ms: Type.Integer({ description: "How far its time is ahead of this node's; negative: behind." }),
  plus_minus_ms: count('Half of the round trip in which it was asked.'),
});

const OwnNode = Type.Object(
  {
    ...DESCRIPTION_FIELDS,
    node: Type.String(),
    state: choice(['self']),
    version: Type.String(),
    engines: Type.Optional(EngineStates),
    warming: Type.Optional(WarmingStates),
    clock: OwnClock,
    nats_connected: Type.Optional(Type.Boolean({ description: 'Whether its own nats-server answers.' })),
    fred_connected: Type.Optional(Type.Boolean({ description: 'Whether its own FReD node takes part.' })),
    not_connected_because: Type.Optional(Type.String()),
    unpublished: Type.Optional(count('Records written here that its own nats-server or FReD node does not have yet.')),
    uncarried: Type.Optional(count('Records written here that are too long to be carried to others.')),
    only_here: Type.Optional(count('Records written here that no other node is known to have.')),
    only_here_unserved: Type.Optional(
      count('Of those, the ones of a model, tokenizer or chat template that no other node serves: none takes them.'),
    ),
  },
  { title: 'OwnNode' },
);

const PeerNode = Type.Object(
  {
    ...DESCRIPTION_FIELDS,
    node: Type.String(),
    state: choice(['unreachable', 'silent', 'refused', 'connected'], {
      description:
        '`silent`: its nats-server or FReD node answers, the node does not. `refused`: it must not take part, `reason` says why.',
    }),
    reason: Type.Optional(Type.String()),
    needs_record_version: Type.Optional(
      Type.Integer({ description: 'Its records wait at one of this version, which this node does not read yet.' }),
    ),
    unlike_models: Type.Optional(
      names(
        'Models that both serve under one name, with another tokenizer or chat template: they share no sessions of these.',
      ),
    ),
    clock: Type.Optional(PeerClockSeen),
    last_seen_ms_ago: Type.Optional(Type.Number({ description: 'Since it last answered.' })),
    lag: count('Records of it that are not here yet.'),
    logs: Type.Array(
      Type.Object({
        keygroup: Type.String(),
        incarnation: Type.String(),
        cursor: count("The peer's records settled here."),
        lag: count("The peer's records not yet settled here, as far as is known."),
        model: Type.Optional(Type.String({ description: "This node's model of that keygroup." })),
      }),
      { description: 'The same by keygroup: those of the models that this node serves, too.' },
    ),
    refused_records: Type.Record(Type.String(), Type.Integer(), {
      description: 'How many were not taken in, and why.',
    }),
    bytes_in: count('Payload since the start.'),
    bytes_out: count(),
  },
  { title: 'PeerNode' },
);

const NodeAddress = Type.Object(
  {
    node: Type.String(),
    state: choice(['self', 'unreachable', 'silent', 'refused', 'connected']),
    url: DESCRIPTION_FIELDS.url,
    location: DESCRIPTION_FIELDS.location,
    model: DESCRIPTION_FIELDS.model,
    models: DESCRIPTION_FIELDS.models,
  },
  { title: 'NodeAddress', description: 'What is told to others than operators.' },
);
export type NodeAddress = Static<typeof NodeAddress>;

export const NodeListReply = Type.Object(
  {
    cluster: Type.Union([Type.String(), Type.Null()], { description: 'Null where the node shares with no other.' }),
    nodes: Type.Array(Type.Union([OwnNode, PeerNode, NodeAddress]), { description: 'This one first.' }),
    refused: Type.Record(Type.String(), Type.String(), {
      description: 'Nodes that wanted to join and may not, and why, by id.',
    }),
  },
  { title: 'NodeList' },
);

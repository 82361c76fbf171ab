import { CONSISTENCIES } from 'discedge/internal/domain/session/consistency';
import { type Static, type TSchema, Type } from 'typebox';

/** A conversation of a day's length; more is a typing error. */
const MESSAGES_MAX = 10_000;
/** Far beyond what one machine's nodes answer at once, and each user holds a connection to each node. */
export const USERS_MAX = 1_024;
export const REPEATS_MAX = 1_000;
const NODES_MAX = 64;
/** An hour: a person who thinks longer has left. */
const THINK_MS_MAX = 3_600_000;

const text = (says: string, bounds: object = {}) => Type.String({ minLength: 1, says, ...bounds });
const whole = (minimum: number, maximum: number, unit: string) =>
  Type.Integer({ minimum, maximum, says: `a whole number of ${unit} from ${minimum} to ${maximum}` });
const choice = <const Values extends readonly string[]>(values: Values) =>
  Type.Unsafe<Values[number]>({ type: 'string', enum: values, says: `one of ${values.join(', ')}` });

const MESSAGE = text('text, in quotes where YAML would read something else');
const MESSAGES = Type.Array(MESSAGE, { minItems: 1, maxItems: MESSAGES_MAX, says: 'a list of messages' });
const THINK_MS = Type.Integer({ minimum: 0, maximum: THINK_MS_MAX });

/** A stretch of the conversation at one node, as the prototype's files have it. */
export const LOCATION_SCHEMA = {
  name: text("the node's name"),
  api_url: text("the node's URL, http://HOST:PORT"),
  messages: MESSAGES,
} as const;

/** A node, where it has to be said which one runs where. */
export const NODE_SCHEMA = { name: LOCATION_SCHEMA.name, api_url: LOCATION_SCHEMA.api_url } as const;

/** What a scenario file may say. The first five keys are the prototype's. scenarios/README.md explains them all. */
export const SCENARIO_SCHEMA = {
  name: text('a name of at most 200 characters', { maxLength: 200 }),
  model_name: text("the model's name"),
  user_id: text("the user's name"),
  messages: MESSAGES,
  locations: Type.Array(Type.Any(), { minItems: 1, maxItems: MESSAGES_MAX, says: 'a list of locations' }),
  description: text('text'),
  system: text('text'),
  nodes: Type.Array(Type.Any(), { minItems: 1, maxItems: NODES_MAX, says: `a list of at most ${NODES_MAX} nodes` }),
  route: Type.Union([choice(['round-robin', 'random']), Type.Array(Type.String(), { minItems: 1 })], {
    says: 'round-robin, random, or a list of node names, one a turn',
  }),
  think_ms: Type.Union([THINK_MS, Type.Tuple([THINK_MS, THINK_MS])], {
    says: `milliseconds from 0 to ${THINK_MS_MAX}, or [least, most]`,
  }),
  users: whole(1, USERS_MAX, 'users'),
  repeats: whole(1, REPEATS_MAX, 'repeats'),
  seed: whole(0, 0x7fff_ffff, 'seed numbers'),
  temperature: Type.Number({ minimum: 0, maximum: 10, says: 'a number from 0 to 10' }),
  max_tokens: whole(1, 1_048_576, 'tokens'),
  consistency: choice(CONSISTENCIES),
  max_wait_ms: whole(0, 600_000, 'milliseconds'),
  client_retries: whole(0, 100, 'retries'),
  stream: Type.Boolean({ says: 'true or false' }),
} as const satisfies Record<string, TSchema>;

export type ScenarioKey = keyof typeof SCENARIO_SCHEMA;
/** What a file says, each key checked by itself. */
export type ScenarioKeys = { readonly [Key in ScenarioKey]?: Static<(typeof SCENARIO_SCHEMA)[Key]> };

/** A node that a scenario speaks of. */
export interface ScenarioNode {
  readonly name: string;
  /** Where the file says that it runs. */
  readonly url: string | undefined;
}

/** One message, and where it is sent. */
export interface ScenarioTurn {
  readonly message: string;
  /** Index into the scenario's nodes; `undefined`: the user's own, users being spread over the nodes. */
  readonly node: number | undefined;
}

export type Route = 'stay' | 'round-robin' | 'random' | 'as-told';

/** A conversation to play, complete with defaults; of every user, in every repeat. */
export interface Scenario {
  readonly name: string;
  /** The model that the nodes must serve; `undefined`: any. */
  readonly modelName: string | undefined;
  readonly userId: string;
  readonly system: string | undefined;
  readonly nodes: readonly ScenarioNode[];
  readonly route: Route;
  readonly turns: readonly ScenarioTurn[];
  /** Pause before each turn but the first, drawn evenly from this range. */
  readonly thinkMs: readonly [least: number, most: number];
  readonly users: number;
  readonly repeats: number;
  /** Whether `{user}` and `{repeat}` in a text stand for their numbers, so that no two sessions have equal prompts. */
  readonly numbered: boolean;
  readonly seed: number;
  readonly temperature: number;
  readonly maxTokens: number;
  /** `undefined`: the node's default; likewise below. */
  readonly consistency: 'strong' | 'available' | undefined;
  readonly maxWaitMs: number | undefined;
  /** How often the client sends a turn again that was refused for the time being. */
  readonly clientRetries: number;
  readonly stream: boolean;
}

/** The paper's seed, temperature and tokens per turn; retries as the client SDK has them by default. */
export const SCENARIO_DEFAULTS = {
  userId: 'anonymous',
  thinkMs: [0, 0],
  users: 1,
  repeats: 1,
  seed: 123,
  temperature: 0,
  maxTokens: 128,
  clientRetries: 4,
  stream: true,
} as const satisfies Partial<Scenario>;

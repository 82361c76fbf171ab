// The checker of the fault runs must itself be able to fail: a history without a fault passes, and for each rule a history
// or a replica that breaks it once is reported under that rule and no other.
import { expect, test } from 'vitest';
import { checkReplicas } from '../../tools/cluster/check-replicas.ts';
import { checkReplies } from '../../tools/cluster/check-replies.ts';
import type {
  AcknowledgedReply,
  HeldRecord,
  HeldSession,
  History,
  Operation,
  Repetition,
  Replica,
} from '../../tools/cluster/history.ts';

/** Turn `turn` of session `s`, answered from all turns before it. */
function reply(turn: number, changes: Partial<AcknowledgedReply> = {}): AcknowledgedReply {
  const seen = Array.from({ length: turn }, (_, i) => `s.${i + 1}`);
  return {
    node: 'e1',
    turn,
    contextId: `h${turn}`,
    atMs: turn,
    isReplicated: false,
    basedOnTurn: turn - 1,
    seen,
    text: `Turn ${turn}`,
    ...changes,
  };
}

function acknowledged(turn: number, changes: Partial<AcknowledgedReply> = {}): Operation {
  const common = { kind: 'turn', session: 's', nonce: `s.${turn}`, consistency: 'strong', isTwinned: false } as const;
  return { ...common, outcome: 'acknowledged', reply: reply(turn, changes) };
}

function unanswered(nonce: string, outcome: 'refused' | 'unknown'): Operation {
  return { kind: 'turn', session: 's', nonce, consistency: 'strong', outcome, isTwinned: false };
}

function repeated(turn: number, changes: Partial<Repetition['reply']> = {}): Repetition {
  return {
    kind: 'repetition',
    session: 's',
    nonce: `s.${turn}`,
    reply: { ...reply(turn), replayed: true, ...changes },
  };
}

const other: Operation = {
  ...unanswered('x.1', 'acknowledged' as 'unknown'),
  session: 'x',
  reply: reply(1, { seen: ['x.1'], contextId: 'hx' }),
};

const goodHistory: History = [
  other,
  acknowledged(1),
  unanswered('s.2', 'unknown'),
  unanswered('s.3', 'refused'),
  // The unknown turn had taken effect.
  acknowledged(4, { turn: 3, basedOnTurn: 2, seen: ['s.1', 's.2', 's.4'], contextId: 'h3' }),
  repeated(4, { turn: 3, basedOnTurn: 2, contextId: 'h3' }),
  {
    ...acknowledged(5, { turn: 2, basedOnTurn: 1, seen: ['s.1', 's.5'], contextId: 'h2b' }),
    consistency: 'available',
  } as Operation,
];

const record = (changes: Partial<HeldRecord> = {}): HeldRecord => ({
  hash: 'h1',
  parent: undefined,
  turn: 1,
  origin: 'e1',
  incarnation: 'i1',
  nonces: ['s.1'],
  ...changes,
});
const second = record({ hash: 'h2', parent: 'h1', turn: 2, nonces: ['s.2'] });
const session = (records: readonly HeldRecord[], changes: Partial<HeldSession> = {}): HeldSession => ({
  deleted: false,
  corrupt: 0,
  records,
  ...changes,
});
const twoTurns: History = [acknowledged(1), acknowledged(2)];
const held = (...sessions: readonly HeldSession[]): ReadonlyMap<string, Replica> =>
  new Map(sessions.map((one, i) => [`e${i + 1}`, new Map([['s', one]])]));
const both = (...records: readonly HeldRecord[]) => held(session(records), session(records));

const rulesOf = (violations: ReadonlyArray<{ readonly rule: string }>) => [
  ...new Set(violations.map(({ rule }) => rule)),
];

test('replies that keep every promise pass', () => {
  expect(checkReplies(goodHistory)).toEqual([]);
});

test('a repeated turn is answered from its twin, where it had been sent to several nodes', () => {
  const twinned = { ...acknowledged(1), isTwinned: true } as Operation;
  expect(checkReplies([twinned, repeated(1, { contextId: 'other' })])).toEqual([]);
  expect(rulesOf(checkReplies([twinned, repeated(1, { text: 'other' })]))).toEqual(['replay differs']);
  const available = { ...twinned, consistency: 'available' } as Operation;
  expect(checkReplies([available, repeated(1, { text: 'other', contextId: 'other' })])).toEqual([]);
});

test.each<[string, string, History]>([
  [
    'an acknowledged turn is left out',
    'stale answer',
    [acknowledged(1), acknowledged(2, { seen: ['s.2'], turn: 1, basedOnTurn: 0 })],
  ],
  [
    'acknowledged turns change places',
    'stale answer',
    [acknowledged(1), acknowledged(2), acknowledged(3, { seen: ['s.2', 's.1', 's.3'] })],
  ],
  [
    'a turn is read twice',
    'turn twice',
    [acknowledged(1), acknowledged(2, { seen: ['s.1', 's.1', 's.2'], turn: 3, basedOnTurn: 2 })],
  ],
  [
    "another session's message is read",
    'foreign message',
    [other, acknowledged(1, { seen: ['x.1', 's.1'], turn: 2, basedOnTurn: 1 })],
  ],
  [
    'a message that nobody has sent is read',
    'foreign message',
    [acknowledged(1, { seen: ['?', 's.1'], turn: 2, basedOnTurn: 1 })],
  ],
  [
    "another message's reply is given",
    'foreign message',
    [unanswered('s.0', 'unknown'), acknowledged(1, { seen: ['s.0'] })],
  ],
  [
    'a refused turn is read',
    'refused turn took effect',
    [unanswered('s.0', 'refused'), acknowledged(1, { seen: ['s.0', 's.1'], turn: 2, basedOnTurn: 1 })],
  ],
  [
    'more turns are claimed than were read',
    'wrong label',
    [{ ...acknowledged(2, { seen: ['s.2'] }), consistency: 'available' } as Operation],
  ],
  ['the turn has another number', 'wrong label', [acknowledged(1, { turn: 2 })]],
  ['a repeated turn has another reply', 'replay differs', [acknowledged(1), repeated(1, { text: 'other' })]],
  ['a repeated turn is a new record', 'replay differs', [acknowledged(1), repeated(1, { contextId: 'other' })]],
  ['a repeated turn is answered anew', 'turn twice', [acknowledged(1), repeated(1, { replayed: false })]],
])('%s: %s', (_, rule, history) => {
  expect(rulesOf(checkReplies(history))).toEqual([rule]);
});

test('replicas that keep every promise pass', () => {
  const branch = record({ hash: 'h2b', parent: 'h1', turn: 2, nonces: ['s.2'], origin: 'e2' });
  expect(checkReplicas([...twoTurns, unanswered('s.3', 'refused')], both(record(), second, branch))).toEqual([]);
  const gone = session([], { deleted: true });
  expect(
    checkReplicas([...twoTurns, { kind: 'deletion', session: 's', isCertain: true, atMs: 0 }], held(gone, gone)),
  ).toEqual([]);
});

test.each<[string, readonly string[], ReadonlyMap<string, Replica>]>([
  ['an acknowledged turn is on no node', ['lost turn'], both(record())],
  [
    'an acknowledged turn is on one node only',
    ['replicas differ', 'lost turn'],
    held(session([record(), second]), session([record()])),
  ],
  ['a whole session is on no node', ['lost turn'], both()],
  ['an acknowledged turn holds another message', ['lost turn'], both(record(), { ...second, nonces: ['s.3'] })],
  [
    'nodes hold different branches',
    ['replicas differ'],
    held(session([record(), second]), session([record(), second, { ...second, hash: 'h2b', origin: 'e2' }])),
  ],
  ['a node has written a turn twice', ['turn twice'], both(record(), second, { ...second, hash: 'h2b' })],
  [
    'a message is twice on one line',
    ['turn twice'],
    both(record(), second, { ...second, hash: 'h3', parent: 'h2', turn: 3 }),
  ],
  [
    'the turn before is missing',
    ['hole'],
    both(record(), second, record({ hash: 'h5', parent: 'h4', turn: 5, nonces: ['s.3'] })),
  ],
  [
    "another session's message is stored",
    ['foreign message'],
    both(record(), second, record({ hash: 'hx', nonces: ['x.1'] })),
  ],
  [
    'a turn without a message is stored',
    ['foreign message'],
    both(record(), second, record({ hash: 'hx', nonces: [] })),
  ],
  [
    'a refused turn is stored',
    ['refused turn took effect'],
    both(record(), second, record({ hash: 'h0', nonces: ['s.0'] })),
  ],
  [
    'a record is damaged',
    ['damaged record'],
    held(session([record(), second], { corrupt: 1 }), session([record(), second])),
  ],
])('%s: %s', (_, rules, replicas) => {
  const history = [unanswered('s.0', 'refused'), unanswered('s.3', 'unknown'), ...twoTurns];
  expect(new Set(rulesOf(checkReplicas(history, replicas)))).toEqual(new Set(rules));
});

test('a wiped disk may have taken what was on no other, and nothing else', () => {
  const wipe = { kind: 'wipe', node: 'e1', atMs: 3 } as const;
  expect(checkReplicas([...twoTurns, wipe], both(record()))).toEqual([]);
  const lost: History[] = [
    [acknowledged(1), acknowledged(2, { isReplicated: true }), wipe],
    [acknowledged(1), acknowledged(2, { node: 'e2' }), wipe],
    [acknowledged(1), acknowledged(2, { atMs: -10_000 }), wipe],
    [acknowledged(1), wipe, acknowledged(2, { atMs: 4 })],
  ];
  for (const history of lost) expect(rulesOf(checkReplicas(history, both(record())))).toEqual(['lost turn']);
  expect(checkReplies([acknowledged(1), wipe, repeated(1, { replayed: false, contextId: 'anew' })])).toEqual([]);
});

test('a session that may have been deleted is there or not, on all nodes alike', () => {
  const history: History = [...twoTurns, { kind: 'deletion', session: 's', isCertain: false, atMs: 0 }];
  const gone = session([], { deleted: true });
  expect(checkReplicas(history, held(gone, gone))).toEqual([]);
  expect(checkReplicas(history, both(record(), second))).toEqual([]);
  expect(rulesOf(checkReplicas(history, held(gone, session([record(), second]))))).toEqual(['replicas differ']);
});

test('a deleted session is back', () => {
  const history: History = [...twoTurns, { kind: 'deletion', session: 's', isCertain: true, atMs: 0 }];
  expect(rulesOf(checkReplicas(history, both(record(), second)))).toEqual(['deleted session is back']);
  expect(rulesOf(checkReplicas(history, both()))).toEqual(['deleted session is back']);
});

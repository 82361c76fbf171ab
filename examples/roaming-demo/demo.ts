/**
 * A delivery robot drives past three edge nodes and talks to whichever is near; one of them dies on the way. Starts the
 * nodes and their nats-servers on this machine, plays the conversation, and takes everything away again.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { DiscedgeClient, type Session } from '../../src/client/client.ts';
import { currentNatsProgram } from '../../tools/real-servers/nats-programs.ts';
import { DemoNode, type Place } from './edge-node.ts';
import { note, printHeading, printReply, printSummary, type TurnFigures } from './screen.ts';

const PLACES: readonly Place[] = [
  { name: 'harbour', location: '53.5436,9.9660' },
  { name: 'market', location: '53.5503,9.9926' },
  { name: 'station', location: '53.5528,10.0067' },
];

type Step = { readonly at: string; readonly says: string } | { readonly dies: string } | { readonly returns: string };

const STORY: readonly Step[] = [
  { at: 'harbour', says: 'My name is Ada.' },
  { at: 'market', says: 'The next waypoint is dock 7.' },
  { at: 'station', says: 'What is my name?' },
  { at: 'harbour', says: 'Go to dock 9 instead.' },
  { dies: 'station' },
  { at: 'market', says: 'What is the next waypoint?' },
  { at: 'harbour', says: 'The code word is pineapple.' },
  { returns: 'station' },
  { at: 'station', says: 'What is the code word?' },
  { at: 'station', says: 'What is my name?' },
];

/** What is waited for on one machine happens within seconds, or something is wrong. */
const WAIT_MS = 60_000;
const LOOK_EVERY_MS = 50;
/** After a turn, how long nothing may come between the nodes before its bytes are counted. */
const QUIET_MS = 150;
/** The robot waits that long for its context at the most, where a node has just come back. */
const TURN_WAIT_MS = 10_000;

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'discedge-demo-'));
  const nodes: DemoNode[] = [];
  const cleanUp = async () => {
    await Promise.all(nodes.map((node) => node.stop()));
    await rm(folder, { recursive: true, force: true });
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void cleanUp().finally(() => process.exit(130)));
  }
  try {
    note('starting them, each with the demo model …');
    const { path: natsProgram } = await currentNatsProgram();
    for (const place of PLACES) nodes.push(await DemoNode.at(place, { folder, natsProgram }));
    await startAll(nodes);
    await play(nodes);
  } finally {
    await cleanUp();
  }
}

async function startAll(nodes: readonly DemoNode[]): Promise<void> {
  const [first, ...others] = nodes as [DemoNode, ...DemoNode[]];
  await start(first, undefined);
  await Promise.all(others.map((node) => start(node, first)));
  note('they get to know each other …');
  await untilConnected(nodes);
  printHeading(nodes);
}

async function start(node: DemoNode, peer: DemoNode | undefined): Promise<void> {
  await node.start(peer);
  note(`${node.name} answers`);
}

async function play(nodes: readonly DemoNode[]): Promise<void> {
  const node = (name: string) => nodes.find((candidate) => candidate.name === name) as DemoNode;
  const client = new DiscedgeClient({ nodes: nodes.map(({ url }) => url) });
  const session = client.session({ turnOptions: { maxWaitMs: TURN_WAIT_MS } });
  const figures: TurnFigures[] = [];
  for (const step of STORY) {
    if ('dies' in step) {
      await node(step.dies).kill();
      note(`kill -9 ${step.dies}: node and nats-server are gone`);
    } else if ('returns' in step) {
      await node(step.returns).start(nodes[0]);
      note(`${step.returns} is back; it has missed two turns`);
    } else {
      figures.push(await takeTurn(session, node(step.at), step.says, nodes));
    }
  }
  printSummary(figures);
}

async function takeTurn(session: Session, at: DemoNode, says: string, nodes: readonly DemoNode[]) {
  const before = await settledBytes(nodes);
  const sentMs = performance.now();
  session.moveTo(at.url);
  const reply = await session.send(says);
  const tookMs = performance.now() - sentMs;
  const betweenNodes = (await settledBytes(nodes)) - before;
  const figures = { at: at.name, says, reply, tookMs, betweenNodes };
  printReply(figures);
  return figures;
}

/** Bytes received by all nodes from each other, once they have stopped changing. */
async function settledBytes(nodes: readonly DemoNode[]): Promise<number> {
  const count = async () => {
    const each = await Promise.all(nodes.map((node) => node.bytesReceived()));
    return each.reduce((sum, bytes) => sum + bytes, 0);
  };
  for (let bytes = await count(); ; ) {
    await pause(QUIET_MS);
    const now = await count();
    if (now === bytes) return bytes;
    bytes = now;
  }
}

async function untilConnected(nodes: readonly DemoNode[]): Promise<void> {
  const giveUpMs = performance.now() + WAIT_MS;
  for (const node of nodes) {
    const others = nodes.filter((other) => other !== node).map(({ name }) => name);
    while (!(await node.isConnectedTo(others))) {
      if (performance.now() > giveUpMs) throw new Error(`${node.name} has not found ${others.join(' and ')}`);
      await pause(LOOK_EVERY_MS);
    }
  }
}

await main();

// A program: opens the store in a data folder (argument 1), which takes over what an earlier version left there, and says so.
import { openReplica } from '../../src/context-store/leveldb/replica.ts';
import type { NodeId } from '../../src/domain/identifiers.ts';
import { nodeEnvironment } from '../../src/environment/node-environment.ts';

const [folder = ''] = process.argv.slice(2);
const environment = nodeEnvironment({ logLevel: 'silent', nodeId: 'node-1' });
const store = await openReplica({ folder, nodeId: 'node-1' as NodeId, bytesMax: 1_000_000_000 }, environment);
await store.close();
console.log('taken over');

// The LevelDB store with encryption against the promises of every context store. Damage is done to the rows as they lie.
import { join } from 'node:path';
import { openLevelStore } from '../../src/context-store/leveldb.ts';
import type { NodeId } from '../../src/domain/identifiers.ts';
import { damageStore } from '../support/damage-store.ts';
import { keyRing } from '../support/key-rings.ts';
import { contextStoreSuite } from './context-store-suite.ts';

contextStoreSuite('leveldb with encryption', {
  open: (folder, environment, bytesMax) =>
    openLevelStore(
      { folder: join(folder, 'data'), nodeId: 'node-1' as NodeId, bytesMax, encryption: keyRing('a') },
      environment,
    ),
  persistent: true,
  damage: (folder, sealed, what) => damageStore(join(folder, 'data'), sealed, what),
});

import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { apiKeyJson, newApiKey } from '../../../src/access/api-key.ts';
import { KeyFolder } from '../../../src/access/key-folder.ts';
import { temporaryFolder } from '../../../tools/node-process.ts';

const folders: Array<{ remove(): void }> = [];
afterEach(() => {
  for (const folder of folders.splice(0)) folder.remove();
});

function newFolder(): string {
  const folder = temporaryFolder();
  folders.push(folder);
  return join(folder.path, 'keys');
}

const newKey = () =>
  newApiKey({ scopes: ['user'], user: undefined }, { random: { bytes: randomBytes }, nowMs: 1_000 }).kept;

describe('a folder of keys', () => {
  it('is empty where there is none', async () => {
    const keys = new KeyFolder(newFolder());
    expect(await keys.reload()).toEqual([]);
    expect(keys.all()).toEqual([]);
    expect(keys.hasAny).toBe(false);
  });

  it('gives what another process put there, and what it revoked', async () => {
    const path = newFolder();
    const [here, there] = [new KeyFolder(path), new KeyFolder(path)];
    const key = newKey();
    expect(await there.put(key)).toBe(true);
    await here.reload();
    expect(here.get(key.id)).toEqual(key);
    await there.put({ ...key, revokedAtMs: 2_000 });
    await here.reload();
    expect(here.get(key.id)?.revokedAtMs).toBe(2_000);
  });

  it('takes back no revocation', async () => {
    const keys = new KeyFolder(newFolder());
    const key = newKey();
    await keys.put({ ...key, revokedAtMs: 2_000 });
    expect(await keys.put(key)).toBe(false);
    expect(keys.get(key.id)?.revokedAtMs).toBe(2_000);
  });

  it('is readable by its owner alone, and has no drafts left', async () => {
    const path = newFolder();
    const keys = new KeyFolder(path);
    const key = newKey();
    await keys.put(key);
    expect(readdirSync(path)).toEqual([`${key.id}.json`]);
    expect(statSync(path).mode & 0o777).toBe(0o700);
    expect(statSync(join(path, `${key.id}.json`)).mode & 0o777).toBe(0o600);
  });

  it('names files that are no keys, and goes on without them', async () => {
    const path = newFolder();
    const keys = new KeyFolder(path);
    const [good, bad, other] = [newKey(), newKey(), newKey()];
    for (const key of [good, bad]) await keys.put(key);
    writeFileSync(join(path, `${bad.id}.json`), '{"id":');
    writeFileSync(join(path, 'copy.json'), JSON.stringify(other));
    const fresh = new KeyFolder(path);
    expect([...(await fresh.reload())].sort()).toEqual([`${bad.id}.json`, 'copy.json'].sort());
    expect(fresh.all()).toEqual([good]);
    expect(fresh.hasAny).toBe(true);
  });

  it('goes on with what it knows of a file that cannot be read, and reads it again', async () => {
    const path = newFolder();
    const [here, there] = [new KeyFolder(path), new KeyFolder(path)];
    const key = newKey();
    await there.put(key);
    await here.reload();
    const file = join(path, `${key.id}.json`);
    rmSync(file);
    mkdirSync(file);
    expect(await here.reload()).toEqual([`${key.id}.json`]);
    expect(here.get(key.id)).toEqual(key);
    rmSync(file, { recursive: true });
    writeFileSync(file, apiKeyJson({ ...key, revokedAtMs: 5 }));
    await here.reload();
    expect(here.get(key.id)?.revokedAtMs).toBe(5);
  });

  it('forgets a key whose file is gone', async () => {
    const path = newFolder();
    const keys = new KeyFolder(path);
    const key = newKey();
    await keys.put(key);
    rmSync(join(path, `${key.id}.json`));
    await keys.reload();
    expect(keys.get(key.id)).toBeUndefined();
  });
});

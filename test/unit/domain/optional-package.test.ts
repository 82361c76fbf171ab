import { describe, expect, it } from 'vitest';
import { fromOptionalPackage } from '../../../src/domain/optional-package.ts';

const WANTED = { name: 'no-such-package', version: '1.2.3', need: '"discedge fly" is a command of' };
const notFound = (what: string) => Object.assign(new Error(what), { code: 'ERR_MODULE_NOT_FOUND' });

describe('an optional package', () => {
  it('is what its import gives where it is installed', async () => {
    expect(await fromOptionalPackage(WANTED, async () => 'loaded')).toBe('loaded');
  });

  it('that is not installed ends with the command that installs it', async () => {
    const cause = notFound("Cannot find package 'no-such-package' imported from file:///main.js");
    await expect(fromOptionalPackage(WANTED, () => Promise.reject(cause))).rejects.toMatchObject({
      code: 'package_missing',
      cause,
      message:
        '"discedge fly" is a command of the package no-such-package, which is not installed beside discedge: ' +
        'npm install no-such-package@1.2.3',
    });
  });

  it.each([
    notFound("Cannot find module '/node_modules/no-such-package/dist/fly.js' imported from file:///main.js"),
    notFound("Cannot find package 'another' imported from /node_modules/no-such-package/dist/fly.js"),
    new Error("Cannot find package 'no-such-package'"),
  ])('that fails for another reason keeps its own error: %s', async (error) => {
    await expect(fromOptionalPackage(WANTED, () => Promise.reject(error))).rejects.toBe(error);
  });
});

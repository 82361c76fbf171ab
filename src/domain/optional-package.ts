import { DiscedgeError } from './errors.ts';

/**
 * What `load` imports from a package that a node can do without. Throws `package_missing`, with the command that
 * installs it, where it is not there; a failure inside of it is passed on as it is.
 */
export async function fromOptionalPackage<T>(
  { name, version, need }: { readonly name: string; readonly version: string; readonly need: string },
  load: () => Promise<T>,
): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    if (!isNotInstalled(name, cause)) throw cause;
    throw new DiscedgeError(
      'package_missing',
      `${need} the package ${name}, which is not installed beside discedge: npm install ${name}@${version}`,
      { cause },
    );
  }
}

/** As Node.js says it: the same code without the package's name is a file that is missing inside of a package. */
function isNotInstalled(name: string, error: unknown): boolean {
  if (!(error instanceof Error) || (error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') return false;
  return error.message.startsWith(`Cannot find package '${name}'`);
}

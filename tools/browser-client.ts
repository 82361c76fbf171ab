import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const CLIENT = fileURLToPath(new URL('../src/client/client.ts', import.meta.url));

export interface BrowserClient {
  /** One module, minified. */
  readonly code: string;
  readonly bytes: number;
  readonly gzipBytes: number;
}

/** The client SDK as a page gets it. Throws where it imports anything that a browser does not have. */
export async function browserClient(): Promise<BrowserClient> {
  const { outputFiles } = await build({
    ...{ entryPoints: [CLIENT], bundle: true, minify: true, write: false },
    ...{ format: 'esm', platform: 'browser', target: 'es2022', logLevel: 'silent' },
  });
  const code = outputFiles[0]?.text ?? '';
  return { code, bytes: Buffer.byteLength(code), gzipBytes: gzipSync(code, { level: 9 }).length };
}

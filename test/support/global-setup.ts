import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { isBuildStale } from '../../tools/build-when-changed.ts';
import { ensureServers } from '../../tools/real-servers/install.ts';

/**
 * Builds the command line that tests start as a process, where the lane before has not done so, and fetches the real servers
 * once, before any test file asks for one, so that no test's time limit includes it.
 */
export default async function globalSetup(): Promise<void> {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  if (isBuildStale(root)) execFileSync('npm', ['run', 'build', '--silent'], { cwd: root, stdio: 'inherit' });
  await ensureServers(['llama-server', 'nats-server']);
}

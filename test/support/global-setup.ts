import { ensureServers } from './real-servers/install.ts';

/** Fetches the real servers once, before any test file asks for one, so that no test's time limit includes it. */
export default async function globalSetup(): Promise<void> {
  await ensureServers(['llama-server', 'nats-server']);
}

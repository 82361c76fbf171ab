import type { Command } from 'commander';
import { loadConfig } from '../../config/config.ts';
import type { Check } from '../../doctor/check.ts';
import { examine } from '../../doctor/doctor.ts';
import { authorityOption } from '../connection.ts';
import { EXIT_FAILURE } from '../failure.ts';
import { addSettingOptions, settingFlags } from '../setting-options.ts';
import { printable, styled } from '../terminal.ts';
import { trustingFetch } from '../trusting-fetch.ts';

/** The settings whose effect on this machine is examined. */
const EXAMINED = [
  'listen',
  'tls',
  'tlsCertFile',
  'tlsKeyFile',
  'tlsClientCaFile',
  'nodeId',
  'dataDir',
  'store',
  'storeBytesMax',
  'encryptionKey',
  'encryptionKeyCommand',
  'encryptionOff',
  'cluster',
  'peers',
  'natsListen',
  'natsProgram',
  'certsDir',
  'model',
  'chatTemplateFile',
  'llm',
  'llmKind',
  'llmApiKey',
  'contextTokens',
  'parallel',
  'threads',
  'gpu',
  'flashAttention',
] as const;

export function define(command: Command): void {
  addSettingOptions(command, EXAMINED)
    .option('-u, --url <URL...>', 'also examine these running edge nodes')
    .addOption(authorityOption())
    .option('--json', 'print JSON')
    .action(doctor);
}

async function doctor(options: Readonly<Record<string, unknown>>): Promise<void> {
  const config = loadConfig({ flags: settingFlags(options), file: options.config as string | undefined });
  const { url: urls = [], ca } = options as { readonly url?: readonly string[]; readonly ca?: string };
  const checks = await examine(config, { urls, fetch: ca === undefined ? fetch : trustingFetch(ca) }, Date.now());
  process.stdout.write(options.json ? `${JSON.stringify({ checks })}\n` : readable(checks));
  if (checks.some(({ outcome }) => outcome === 'missing')) process.exitCode = EXIT_FAILURE;
}

const MARKS = { ok: ['green', 'ok'], warn: ['yellow', 'warn'], missing: ['red', 'missing'] } as const;

function readable(checks: readonly Check[]): string {
  const width = Math.max(...checks.map(({ name }) => name.length));
  const lines = checks.flatMap(({ name, outcome, found, fix }) => {
    const [colour, word] = MARKS[outcome];
    const line = `${styled(colour, word.padEnd(7))}  ${name.padEnd(width)}  ${printable(found)}`;
    return fix === undefined ? [line] : [line, `${' '.repeat(width + 11)}${styled('dim', `→ ${fix}`)}`];
  });
  const missing = checks.filter(({ outcome }) => outcome === 'missing').length;
  const verdict = missing === 0 ? 'Everything that is needed is here.' : `${missing} missing.`;
  return `${lines.join('\n')}\n\n${verdict}\n`;
}

import type { Command } from 'commander';
import { loadConfig } from '../../config/config.ts';
import { startedByNpm } from '../../config/process-environment.ts';
import { isLoopbackHost } from '../../domain/loopback.ts';
import { downloadProgress } from '../download-progress.ts';
import { letYoungGenerationGrow } from '../heap.ts';
import { paragraph } from '../help-layout.ts';
import { describeNode } from '../node-description.ts';
import { addSettingOptions, settingFlags } from '../setting-options.ts';
import { stopRequested } from '../stop-request.ts';

export function define(command: Command): void {
  addSettingOptions(command)
    .addHelpText(
      'after',
      paragraph(
        'Each setting can also be given as an environment variable (DISCEDGE_MAX_WAIT_MS for --max-wait-ms) or in the ' +
          'configuration file (max-wait-ms). Flags win over the environment, and that over the file.\n' +
          'Docs: docs/configuration.md',
      ),
    )
    .action(serve);
}

async function serve(options: Readonly<Record<string, unknown>>): Promise<void> {
  const config = loadConfig({ flags: settingFlags(options), file: options.config as string | undefined });
  const stop = stopRequested({ startedByNpm: startedByNpm() });
  const { startEdgeNode } = await import('../../edge-node/edge-node.ts');
  const node = await startEdgeNode(config, { signal: stop.signal, onModelProgress: downloadProgress() }).catch(
    (error) => {
      if (stop.signal.aborted) return undefined;
      throw error;
    },
  );
  if (node === undefined) return;
  letYoungGenerationGrow();
  process.stdout.write(describeNode(node, config));
  if (!isLoopbackHost(config.listen.host) && !node.description.asksWhoCalls) {
    process.stderr.write(
      `discedge: ${config.listen.host} can be reached from other machines, and the node asks nobody who they are; ` +
        '"discedge keys create" makes a key, and then everyone is asked\n',
    );
  }
  await stop.requested;
  await node.close();
}

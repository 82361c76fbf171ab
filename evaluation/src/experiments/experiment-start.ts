import { execFile } from 'node:child_process';
import { cpus, totalmem } from 'node:os';
import { promisify } from 'node:util';
import { type ConfigSources, loadConfig } from 'discedge/internal/config/config';
import { VERSION } from 'discedge/internal/edge-node/version';
import { loadLlamaLibrary } from 'discedge/internal/llm-service/llama-library';
import { commit, machine } from '../nodes/machine.ts';
import { ROW_FORMAT } from '../scenario/run-row.ts';
import type { ExperimentModel } from './experiment-model.ts';
import { partsOf } from './parts/experiment-parts.ts';
import { estimatedMs } from './plays/estimate.ts';
import type { ExperimentChoices, PlaySpec } from './plays/play.ts';
import { EXPERIMENT_FORMAT, type ExperimentName, type ExperimentStart } from './rows/experiment-rows.ts';
import { llamaServerVersion } from './site/own-llama-server.ts';

interface Asked {
  readonly experiment: ExperimentName;
  readonly choices: ExperimentChoices;
  readonly model: ExperimentModel;
  readonly settings: ConfigSources;
  readonly llamaServer: string;
}

/** What runs and where, before anything is played. */
export async function experimentStart(
  { experiment, choices, model, settings, llamaServer }: Asked,
  { run, at }: { readonly run: string; readonly at: string },
): Promise<ExperimentStart> {
  const parts = partsOf(experiment, choices, model);
  const plays = parts.flatMap((part) => part.plays);
  const { repeats, seed, quick, slots } = choices;
  const { threads, gpu, prefillChunkTokens, flashAttention } = loadConfig(settings);
  return {
    kind: 'experiment_start',
    experiment_format: EXPERIMENT_FORMAT,
    turn_format: ROW_FORMAT,
    experiment,
    run,
    at,
    quick,
    version: VERSION,
    commit: commit(),
    machine: machine(),
    cores: cpus().length,
    memory_bytes: totalmem(),
    model: {
      name: model.name,
      file: model.file,
      bytes: model.bytes,
      quantization: model.quantization,
      reply_source: model.replySource,
    },
    llm_services: await versionsOf(plays, llamaServer),
    nats_server: await natsVersion(settings),
    seed,
    temperature: 0,
    repeats,
    parts: parts.map(({ plays: _, ...facts }) => facts),
    settings: { threads, slots, gpu, prefillChunkTokens, flashAttention },
    plays_planned: plays.length * repeats,
    estimated_s: Math.round((repeats * plays.reduce((sum, play) => sum + estimatedMs(play, model), 0)) / 1000),
  };
}

async function versionsOf(plays: readonly PlaySpec[], llamaServer: string): Promise<ExperimentStart['llm_services']> {
  const names = [...new Set(plays.map(({ site }) => site.llmService))];
  const library = await loadLlamaLibrary();
  return Promise.all(
    names.map(async (name) => {
      if (name === 'llama-server') return { name, version: await llamaServerVersion(llamaServer) };
      return { name, version: `node-llama-cpp ${await library.getModuleVersion()}` };
    }),
  );
}

/** Empty where there is none: plays that need it say so when they start. */
async function natsVersion(settings: ConfigSources): Promise<string> {
  const { replication } = loadConfig({ ...settings, flags: { ...settings.flags, store: 'nats' } });
  if (replication === undefined || !('server' in replication)) return '';
  const { server } = replication;
  if ('url' in server) return '';
  const { stdout } = await promisify(execFile)(server.program, ['--version']).catch(() => ({ stdout: '' }));
  return /v?(\d+\.\d+\.\d+\S*)/.exec(stdout)?.[1] ?? '';
}

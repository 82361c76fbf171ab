// What an engine process runs: llama.cpp for one model, and nothing else. Started by launch-engine.ts, ended by kill -9.
import { type EmbeddedOptions, startEmbedded } from '../../llm-service/embedded.ts';
import { runEngine } from './run-engine.ts';

await runEngine<EmbeddedOptions>((options, environment, told) => startEmbedded({ ...options, ...told }, environment));

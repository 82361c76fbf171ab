import { fork } from 'node:child_process';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { environmentWith } from '../../config/process-environment.ts';
import type { EngineProcess } from '../../llm-service/engine-process/engine-link.ts';
import type { FromEngine } from '../../llm-service/engine-process/messages.ts';

/**
 * Starts a program that speaks an engine process's messages; the first that it gets is `options`. It ends when this process
 * does, however that ends. Throws what the system says when there is no memory for another process.
 */
export function launchEngine(program: URL, options: object): EngineProcess {
  const child = fork(program, [], {
    serialization: 'advanced',
    // As this process runs: built, or from source by way of a loader. Nothing else, such as a debugger's port, is inherited.
    execArgv: program.pathname.endsWith('.ts') ? ['--import', typeScriptLoader()] : [],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: environmentWith({}),
  });
  const ended = new Promise<string>((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
  // What cannot be sent any more went to a process that is gone, and `ended` says so.
  const send = (message: object) => void child.send(message, () => {});
  send(options);
  return {
    pid: child.pid,
    send,
    onMessage: (listener) =>
      void child.on('message', (messages) => (messages as readonly FromEngine[]).forEach(listener)),
    ended,
    kill: () => void child.kill('SIGKILL'),
  };
}

/** The working directory of a node may be anywhere. */
function typeScriptLoader(): string {
  return pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
}

export const EMBEDDED_PROGRAM = new URL(`./program${import.meta.url.slice(-3)}`, import.meta.url);
export const VOCABULARY_PROGRAM = new URL(`./vocabulary-program${import.meta.url.slice(-3)}`, import.meta.url);

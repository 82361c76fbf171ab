#!/usr/bin/env node
import { holdHeap } from './heap.ts';
import { runCli } from './program.ts';

// `discedge … | head` closes the pipe early; that is the reader's right, not a failure.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
}

holdHeap();
await runCli(process.argv.slice(2));

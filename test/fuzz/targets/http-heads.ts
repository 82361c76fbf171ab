import { connect } from 'node:net';
import { startTestNode } from '../../../tools/test-node.ts';
import type { OpenTarget } from '../fuzz-target.ts';

const ANSWER_MS = 20_000;
const JSON_TYPE = 'content-type: application/json';

/** Bytes on a connection, which need not be HTTP: what is answered is HTTP, no crash, and the connection ends when it has to. */
export const open: OpenTarget = async () => {
  const node = await startTestNode({ maxWaitMs: 1, replyTokensDefault: 4, replyTokensMax: 8 });
  const { port } = node.node.address;
  return {
    seeds: [
      'GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n',
      `POST /completion HTTP/1.1\r\nhost: localhost\r\n${JSON_TYPE}\r\ncontent-length: 14\r\n\r\n{"prompt":"x"}`,
      `POST /v1/responses HTTP/1.1\r\nhost: a\r\n${JSON_TYPE}\r\ntransfer-encoding: chunked\r\n\r\nd\r\n{"input":"x"}\r\n0\r\n\r\n`,
      'GET /v1/responses HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n',
      'GET /sessions/%41?user_id=%C3%A9&limit=1 HTTP/1.0\r\nauthorization: Bearer dsc_x_y\r\n\r\nGET / HTTP/1.1\r\n\r\n',
    ],
    words: [
      ...[
        '\r\n',
        '\r\n\r\n',
        ': ',
        'content-length: 5',
        'transfer-encoding: chunked',
        'expect: 100-continue',
        'upgrade: h2c',
        '0\r\n\r\n',
      ],
      ...[
        'connection: close',
        'host: evil.example',
        'origin: http://a',
        'x-api-key: ',
        'HTTP/1.0',
        'HTTP/2.0',
        '%',
        '%00',
        '..',
        '//',
        '?',
      ],
    ],
    keeps: true,
    async check(input) {
      const answer = await new Promise<string>((resolve, reject) => {
        const pieces: Buffer[] = [];
        const socket = connect({ port, host: '127.0.0.1' }, () => socket.end(input));
        socket.setTimeout(ANSWER_MS, () => socket.destroy(new Error('the connection stays open')));
        socket.on('data', (piece) => pieces.push(piece));
        socket.on('error', (error) => (error.message.includes('stays open') ? reject(error) : resolve('')));
        socket.on('close', () => resolve(Buffer.concat(pieces).toString('latin1')));
      });
      if (/^HTTP\/1\.1 500/m.test(answer)) throw new Error('500');
      if (answer !== '' && !answer.startsWith('HTTP/1.1 ')) throw new Error('an answer that is no HTTP');
    },
    close: () => node.close(),
  };
};

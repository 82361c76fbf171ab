// Tries to make one HTTP reply mean different things by where its bytes are cut, and to have bytes taken for a reply, or for
// its end, that are none.
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { HttpReply, NotHttp } from '../../../src/llm-service/http/http-reply.ts';

const HEAD = 'HTTP/1.1 200 OK\r\n';

/** What a reply says whose bytes come in these pieces, before the connection is closed. */
function read(pieces: readonly Buffer[]) {
  const reply = new HttpReply();
  const body = pieces.flatMap((piece) => reply.push(piece));
  const { status, isComplete, isKept } = reply;
  return { status, isComplete, isKept, body: Buffer.concat(body).toString('latin1'), reply };
}
const readText = (text: string) => read([Buffer.from(text, 'latin1')]);

const byteText = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)) });
const framedBody = fc.oneof(
  byteText.map((body) => ({ body, text: `Content-Length: ${body.length}\r\n\r\n${body}` })),
  fc
    .tuple(
      fc.array(byteText.filter((chunk) => chunk !== '')),
      fc.constantFrom('', ';name=value', ' ; name="a b"'),
      fc.constantFrom('', 'x-checksum: 1\r\n'),
    )
    .map(([chunks, extension, trailer]) => ({
      body: chunks.join(''),
      text: `transfer-encoding: Chunked\r\n\r\n${chunks.map((chunk) => `${chunk.length.toString(16)}${extension}\r\n${chunk}\r\n`).join('')}0\r\n${trailer}\r\n`,
    })),
);

test('a reply is the same wherever its bytes are cut', () => {
  fc.assert(
    fc.property(
      framedBody,
      fc.constantFrom('', 'HTTP/1.1 100 Continue\r\n\r\n', 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n'),
      fc.array(fc.nat({ max: 400 })),
      ({ body, text }, interim, cuts) => {
        const bytes = Buffer.from(`${interim}${HEAD}server: llama.cpp\r\n${text}`, 'latin1');
        const places = [0, ...cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b), bytes.length];
        const pieces = places.slice(1).map((place, i) => bytes.subarray(places[i], place));
        expect(read(pieces)).toMatchObject({ status: 200, isComplete: true, isKept: true, body });
        const bare = Array.from(bytes, (_, i) => bytes.subarray(i, i + 1));
        expect(read(bare)).toMatchObject({ status: 200, isComplete: true, isKept: true, body });
        // Less than all of it is not whole, and a closed connection does not make it so.
        const { isComplete, reply } = read(bare.slice(0, -1));
        expect(isComplete).toBe(false);
        expect(() => expect(reply.close()).toBe(true)).toThrow();
      },
    ),
  );
});

describe('a body ends', () => {
  it('with its connection where nothing else is said, and that serves no other request', () => {
    const { reply, ...told } = readText(`${HEAD}\r\nhello`);
    expect(told).toMatchObject({ status: 200, isComplete: false, body: 'hello' });
    expect(reply.close()).toBe(true);
    expect(reply).toMatchObject({ isComplete: true, isKept: false });
  });

  it('before it begins where there is none', () => {
    for (const head of ['HTTP/1.1 204 No Content\r\n', 'HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n'])
      expect(readText(`${head}\r\n`)).toMatchObject({ isComplete: true, isKept: true, body: '' });
    expect(readText(`${HEAD}content-length: 0\r\n\r\n`)).toMatchObject({ isComplete: true, isKept: true });
  });

  it('and the connection with it where the server says so, or speaks HTTP/1.0', () => {
    const length = 'content-length: 1\r\n\r\na';
    for (const text of [
      `${HEAD}Connection: Close\r\n${length}`,
      `${HEAD}connection: te\r\nconnection: close\r\n${length}`,
      `HTTP/1.0 200 OK\r\n${length}`,
    ])
      expect(readText(text)).toMatchObject({ isComplete: true, isKept: false, body: 'a' });
    expect(readText(`${HEAD}connection: keep-alive\r\n${length}`)).toMatchObject({ isKept: true });
  });
});

describe('what is not HTTP', () => {
  const refused = (text: string) => expect(() => readText(text).reply.close(), text).toThrow(NotHttp);

  it('is refused with its first bytes', () => {
    for (const text of ['S', 'SSH-2.0', 'hello, this is not HTTP', 'HTTP/2 200\r\n\r\n', '\r\n'])
      expect(() => readText(text), text).toThrow(NotHttp);
  });

  it('in its head', () => {
    for (const line of ['HTTP/1.1 OK', 'HTTP/1.1 20', 'HTTP/1.1 2000 OK', 'HTTP/1.2 200 OK', 'HTTP/1.1 101 Upgrade'])
      refused(`${line}\r\n\r\n`);
    refused('HTTP/1.1 200 OK\r\n');
    for (const header of ['no colon', ': no name', ' folded: line']) refused(`${HEAD}${header}\r\n\r\n`);
    refused(`${HEAD}x: ${'y'.repeat(20_000)}`);
    refused(`${HEAD}x: ${'y'.repeat(20_000)}\r\n\r\n`);
  });

  it('where it contradicts itself on how the body ends', () => {
    for (const header of [
      'content-length: -1',
      'content-length: 1e3',
      'content-length: 0x10',
      'content-length: ',
      'content-length: 1, 1',
      'content-length: 1\r\ncontent-length: 2',
      'content-length: 99999999999999999',
      'content-length: 5\r\ntransfer-encoding: chunked',
      'transfer-encoding: gzip',
      'transfer-encoding: chunked\r\ntransfer-encoding: chunked',
    ])
      refused(`${HEAD}${header}\r\n\r\n`);
  });

  it('in its chunks', () => {
    const chunked = `${HEAD}transfer-encoding: chunked\r\n\r\n`;
    for (const body of ['\r\n', '-1\r\n', '0x1\r\n', '1\n', '1\r\nab\r\n', '123456789\r\n', `1;${'x'.repeat(5_000)}`])
      refused(chunked + body);
    refused(`${chunked}0\r\nx: ${'y'.repeat(5_000)}`);
  });

  it('behind its end', () => {
    refused(`${HEAD}content-length: 1\r\n\r\nab`);
    refused(`${HEAD}transfer-encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1`);
  });
});

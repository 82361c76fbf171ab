import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { Compile } from 'typebox/compile';
import type { WebSocket } from 'ws';
import { DiscedgeError, type ErrorCode } from '../../../../domain/errors.ts';
import { whoCalls } from '../../../access/request-access.ts';
import type { AppParts } from '../../../app-parts.ts';
import { Backlog } from '../../../connections/backlog.ts';
import { answerOnSocket } from '../../../connections/broken-requests.ts';
import { OpenSockets } from '../../../connections/open-sockets.ts';
import { onUpgrade } from '../../../connections/upgrades.ts';
import { depthFault } from '../../../requests/json-depth.ts';
import type { TypedApp } from '../../../typed-app.ts';
import { openAiErrorFields, openAiErrors } from '../error-envelope.ts';
import { CreateBody } from './create-body.ts';
import { responseStream } from './response-stream.ts';
import type { ResponseState } from './response-view.ts';
import type { Responses } from './responses.ts';

/** Requests that wait behind the one that is answered, on one connection. */
const WAITING_MAX = 32;
const TOO_MUCH = 1009;
const POLICY_VIOLATION = 1008;
const NOT_LET_IN: ReadonlySet<ErrorCode> = new Set(['unauthorized', 'forbidden']);

const createBody = Compile(CreateBody);

/**
 * Responses over a WebSocket, as the Open Responses specification has it: each `response.create` is one response, one after the
 * other, in the events of a stream. With `generate: false` what it says is evaluated and kept, and nothing is answered.
 */
export function responsesSocket(app: TypedApp, parts: AppParts, responses: Responses): void {
  const { corsOrigins, bodyBytesMax } = parts.options;
  const { clock, random } = parts.node.environment;
  const path = `${app.prefix}/responses`;
  const answerFault = (error: DiscedgeError, socket: Duplex) =>
    answerOnSocket(error, socket as Socket, { errors: openAiErrors, random });
  const sockets = new OpenSockets(clock, { messageBytesMax: bodyBytesMax, onBadHandshake: answerFault });
  /** A page of another origin may open a socket without asking: only those that may call the node are let in. */
  const isLetIn = ({ headers }: IncomingMessage) =>
    headers.origin === undefined || corsOrigins.includes('*') || corsOrigins.includes(headers.origin);
  onUpgrade(app.server, (request, socket, head) => {
    const isMeant = request.url?.split('?')[0] === path && request.headers.upgrade?.toLowerCase() === 'websocket';
    if (!isMeant || !isLetIn(request)) return false;
    const refuse = (error: unknown) => answerFault(asError(error), socket);
    whoCalls(request, parts.access)
      .then((principal) => {
        if (socket.destroyed) return;
        parts.accounts.of(principal).admit();
        const { fault } = sockets;
        if (fault === undefined) sockets.open(request, socket, head, (client) => serve(client, request));
        else refuse(fault);
      })
      .catch(refuse);
    return true;
  });
  app.addHook('preClose', () => sockets.close());

  /** What it returns resolves when all that has come is answered. */
  function serve(client: WebSocket, request: IncomingMessage): () => Promise<void> {
    const gone = new AbortController();
    const backlog = new Backlog(app.unread);
    let waiting = 0;
    let last = Promise.resolve();
    const send = (event: object | string) => {
      if (client.readyState !== client.OPEN) return;
      const unread = client.bufferedAmount;
      client.send(typeof event === 'string' ? event : JSON.stringify(event));
      // The turn is kept.
      if (backlog.isTooMuch(unread, client.bufferedAmount, clock.monotonic())) client.terminate();
    };
    const fail = (error: unknown) => {
      const fault = asError(error);
      send(errorEvent(fault));
      if (NOT_LET_IN.has(fault.code)) client.close(POLICY_VIOLATION);
    };
    client.on('close', () => {
      gone.abort(new Error('the client closed the connection'));
      backlog.end();
    });
    client.on('error', () => client.close(TOO_MUCH));
    client.on('message', (data, isBinary) => {
      if (waiting >= WAITING_MAX) {
        fail(new DiscedgeError('session_busy', `${waiting} requests already wait on this connection`));
        return;
      }
      waiting++;
      last = last
        .then(() => answer(isBinary ? undefined : String(data), { request, gone: gone.signal, send }))
        .catch(fail)
        .finally(() => waiting--);
    });
    return () => last;
  }

  async function answer(
    message: string | undefined,
    { request, gone, send }: { request: IncomingMessage; gone: AbortSignal; send: (event: object | string) => void },
  ): Promise<void> {
    // Asked each time: a key may have been revoked, or expired, since the connection was opened.
    const principal = await whoCalls(request, parts.access);
    const account = parts.accounts.of(principal);
    account.admit();
    const { body, generates } = requestOf(message);
    if (gone.aborted) return;
    const planned = await responses.planner.plan(
      body,
      { principal, headers: { ...request.headers, 'x-stainless-retry-count': undefined } },
      gone,
    );
    const stream = responseStream({
      begun: () => ({ state: planned.state, ids: planned.items }),
      summarized: () => planned.asked.summarized,
    });
    const pass = (events: readonly { data: object | string }[]) => {
      for (const { data } of events) send(data);
    };
    const observer = { gone, account, part: (piece: Parameters<typeof stream.part>[0]) => pass(stream.part(piece)) };
    const state: ResponseState = await (generates
      ? responses.run(planned, observer)
      : responses.prepare(planned, observer));
    pass(stream.end(state, { requestBytes: 0 }));
  }

  function asError(error: unknown): DiscedgeError {
    if (error instanceof DiscedgeError) return error;
    parts.node.environment.logger.error('request_crashed', { route: path }, error);
    return new DiscedgeError('internal_error', "internal error; see the node's log");
  }
}

function requestOf(message: string | undefined): { body: CreateBody; generates: boolean } {
  const { type, generate = true, ...fields } = withoutNulls(parsed(message));
  if (type !== 'response.create') throw invalid('type', 'type must be response.create');
  if (typeof generate !== 'boolean') throw invalid('generate', 'generate must be a boolean');
  if (fields.background === true)
    throw new DiscedgeError('unsupported_parameter', 'a socket has no background', { param: 'background' });
  if (!createBody.Check(fields)) {
    const [first] = createBody.Errors(fields);
    const param = first?.instancePath.slice(1).replaceAll('/', '.') ?? '';
    throw invalid(param, `${param || 'the message'} ${first?.message ?? 'is not what it has to be'}`);
  }
  return { body: { ...fields, stream: true }, generates: generate };
}

function parsed(message: string | undefined): object {
  const value = jsonOf(message ?? '');
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    throw new DiscedgeError('invalid_request', 'a message has to be a JSON object, as text');
  const fault = depthFault(value);
  if (fault !== undefined) throw fault;
  return value;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function withoutNulls(fields: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
}

function errorEvent(error: DiscedgeError): object {
  return { type: 'error', status: error.status, error: openAiErrorFields(error) };
}

function invalid(param: string, message: string): DiscedgeError {
  return new DiscedgeError('invalid_request', message, { param: param || undefined });
}

// Somebody has given a node a wrong peer address, a foreign certificate, no certificate, or another node's id, and looks at
// the log and at /nodes. Tries to leave them with a riddle, with silence, or with a log full of the same line. Errors are
// those that the client library was seen to give; a connection is a double that fails as told.
import { errors, PermissionViolationError, RequestError, TimeoutError } from '@nats-io/transport-node';
import { describe, expect, test } from 'vitest';
import { connectionFailure, greetingFailure } from '../../../src/context-store/nats/failure-text.ts';
import type { ConnectionUser } from '../../../src/context-store/nats/nats-connection.ts';
import { PeerLink, type PeerLinkOptions } from '../../../src/context-store/nats/peers/peer-link.ts';
import type { NodeId } from '../../../src/domain/identifiers.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

const coded = (code: string, message = 'as the library says it') => Object.assign(new Error(message), { code });

describe('a server that is not reached', () => {
  test.each([
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', true, /not of this node's authority/],
    ['SELF_SIGNED_CERT_IN_CHAIN', true, /not of this node's authority/],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', false, /wants certificates, and this node has none \(certs-dir\)/],
    ['CERT_HAS_EXPIRED', true, /has expired.*discedge certs node/],
    ['ERR_TLS_CERT_ALTNAME_INVALID', true, /^as the library says it$/],
  ])('%s, certificates here: %s', (code, hasCertificates, expected) => {
    expect(connectionFailure(coded(code), { hasCertificates })).toMatch(expected);
  });

  test('has no certificates', () => {
    const error = new errors.ConnectionError("server does not support 'tls'");
    expect(connectionFailure(error, { hasCertificates: true })).toMatch(/no certificates, and this node wants them/);
  });

  test('is something else', () => {
    expect(connectionFailure(new TimeoutError(), { hasCertificates: false })).toMatch(/as a nats-server does/);
  });

  test('is at several addresses, and not there', () => {
    const refused = ['::1', '127.0.0.1'].map((address) => new Error(`connect ECONNREFUSED ${address}:4222`));
    expect(connectionFailure(new AggregateError(refused, ''), { hasCertificates: false })).toBe(
      'connect ECONNREFUSED ::1:4222; connect ECONNREFUSED 127.0.0.1:4222',
    );
    expect(connectionFailure(coded('ECONNRESET', ''), { hasCertificates: false })).toBe('ECONNRESET');
    expect(connectionFailure(new Error('', { cause: new Error('why') }), { hasCertificates: false })).toBe('why');
  });

  test('is not there', () => {
    const error = new errors.ConnectionError('connection refused');
    expect(connectionFailure(error, { hasCertificates: false })).toBe('connection refused');
  });
});

describe('a node that does not answer at a server that does', () => {
  const e2 = 'e2' as NodeId;
  test.each([
    [
      new RequestError('no responders', { cause: new errors.NoRespondersError('bf.e2') }),
      /e2 is down, or .* another node's/,
    ],
    [new errors.NoRespondersError('bf.e2'), /e2 is down, or .* another node's/],
    [new PermissionViolationError('Permissions Violation', 'subscription', '_e1.X'), /only knock: it is not e2's/],
    [
      new RequestError('x', { cause: new PermissionViolationError('Permissions Violation', 'publish', 'bf.e2') }),
      /only knock: it is not e2's/,
    ],
    [new TimeoutError(), /^e2 does not answer$/],
    [new Error('its answer is not that of a node'), /^its answer is not that of a node$/],
  ])('%s', (error, expected) => {
    expect(greetingFailure(error, e2)).toMatch(expected);
  });
});

describe('the log', () => {
  function link() {
    const environment = virtualEnvironment();
    let user: ConnectionUser | undefined;
    const connection = {
      join(joined: ConnectionUser) {
        user = joined;
      },
      start() {},
    };
    const options = {
      nodeId: 'e2',
      route: { connection, url: 'nats://127.0.0.1:1', isThroughHub: false },
      onChange() {},
    };
    new PeerLink(options as unknown as PeerLinkOptions, environment).start();
    return { environment, down: (reason: string) => user?.onDown?.(reason) };
  }

  test('says why a peer was never reached, once', () => {
    const { environment, down } = link();
    for (let again = 0; again < 100; again++) down('connection refused');
    expect(environment.logLines).toEqual([
      expect.objectContaining({
        level: 'warn',
        event: 'peer_not_connected',
        fields: { peer: 'e2', state: 'unreachable', reason: 'connection refused' },
      }),
    ]);
  });

  test('says when the reason has changed, and not for ever', () => {
    const { environment, down } = link();
    for (let again = 0; again < 100; again++) down(`reason ${again}`);
    const { length } = environment.logLines;
    expect(length).toBeGreaterThan(1);
    expect(length).toBeLessThan(10);
  });
});

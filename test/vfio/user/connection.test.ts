import { describe, expect, test } from 'vitest';
import { VfioError } from '../../../src/support/errors.ts';
import { native } from '../../../src/support/native.ts';
import { Connection, checkedTimeout } from '../../../src/vfio/user/connection.ts';
import { SocketExchange } from '../../../src/vfio/user/exchange.ts';
import { checkEmpty, encodeResetCommand } from '../../../src/vfio/user/protocol.ts';
import { readRegion, writeRegion } from '../../../src/vfio/user/register-access.ts';
import { hex } from './bytes.ts';
import {
  type Answer,
  errorReply,
  openFds,
  type Request,
  ScriptedServer,
  thrownBy,
} from './scripted-server.ts';

type Good = { bytes: Uint8Array; fds: number[] };

const PATH = '/run/vf.sock';

function connectTo(server: ScriptedServer): Connection {
  return new Connection(server, PATH, 5000);
}

function reset(connection: Connection): void {
  connection.request('reset', 13, encodeResetCommand, checkEmpty);
}

function patched(at: number, value: number): (request: Request, good: Good) => Answer {
  return (_, good) => {
    good.bytes[at] = value;
    return good;
  };
}

function resized(sizeBytes: number): (request: Request, good: Good) => Answer {
  return (_, good) => {
    const bytes = new Uint8Array(sizeBytes);
    bytes.set(good.bytes.subarray(0, sizeBytes));
    bytes[4] = sizeBytes;
    return { bytes, fds: good.fds };
  };
}

const withFd = (_: Request, good: Good): Answer => ({
  bytes: good.bytes,
  fds: [native().eventfd(0, 0), native().eventfd(0, 0)],
});

const errorWithFd = (request: Request): Answer => ({
  bytes: errorReply(request, 22).bytes,
  fds: [native().eventfd(0, 0)],
});

describe.each([
  ['a request', (c: Connection) => reset(c), 'reset', 16],
  [
    'a register read',
    (c: Connection) => readRegion(c, 0, 'BAR0', 0x3190, 4),
    'read BAR0+0x3190',
    36,
  ],
  ['a register write', (c: Connection) => writeRegion(c, 0, 'BAR0', 4, 4, 1), 'write BAR0+0x4', 32],
] as const)('%s loses the connection when the reply', (_, run, operation, size) => {
  const cases: [string, (request: Request, good: Good) => Answer, number, string][] = [
    ['is shorter than its payload', resized(size === 16 ? 15 : size - 1), 71, 'expected'],
    ['is longer than its payload', resized(size + 1), 71, 'expected'],
    ['claims another size than came', patched(4, size + 4), 71, 'whole message'],
    ['has another id', patched(0, 0x77), 71, 'message id'],
    ['answers another command', patched(2, 3), 71, 'DMA_UNMAP'],
    ['is a command of the server', patched(8, 0), 71, 'flags'],
    ['has an unknown flag', patched(8, 0x41), 71, 'flags'],
    ['brings fds nobody asked for', withFd, 71, 'file descriptors'],
    ['is an error with fds', errorWithFd, 71, 'file descriptors'],
    ['does not come in time', () => -110, 110, 'within 5000 ms'],
    ['ends half way', () => -104, 104, 'end of the stream'],
    ['is larger than any', () => -90, 90, 'at most 8192 bytes'],
    ['is no message', () => -71, 71, 'size of 16'],
    ['cannot be asked for', () => -32, 32, 'the connection broke'],
  ];
  test.each(cases)('%s', (_name, twist, errno, why) => {
    const before = openFds();
    const server = new ScriptedServer();
    server.twist = twist;
    const connection = connectTo(server);
    let ends = 0;
    connection.onEnd = () => void ends++;
    const error = thrownBy(() => run(connection));
    expect(error.operation).toBe(operation);
    expect(error.path).toBe(PATH);
    expect(error.errno).toBe(errno);
    expect(error.message).toContain(why);
    expect(connection.usable).toBe(false);
    expect([server.closed, ends]).toEqual([1, 1]);
    expect(openFds()).toBe(before);
    // It stays lost, nothing more is sent, and the first cause is told again.
    server.twist = (_request, good) => good;
    const later = thrownBy(() => reset(connection));
    expect(later.message).toContain('connection lost earlier');
    expect(later.message).toContain(why);
    expect(server.requests).toHaveLength(1);
    connection.close();
    expect([server.closed, ends]).toEqual([1, 1]);
  });
});

test.each([
  ['offset', 16],
  ['upper half of the offset', 20],
  ['region', 24],
  ['count', 28],
])('a register reply for another %s loses the connection', (_, at) => {
  const server = new ScriptedServer();
  server.twist = patched(at, 0x55);
  const reading = connectTo(server);
  const error = thrownBy(() => readRegion(reading, 0, 'BAR0', 8, 4));
  expect(error.message).toContain('expected 4 bytes at 0x8 of region 0');
  expect(reading.usable).toBe(false);
  const writing = connectTo(server);
  expect(() => writeRegion(writing, 0, 'BAR0', 8, 4, 1)).toThrow(VfioError);
  expect(writing.usable).toBe(false);
});

test('an error reply throws its errno and loses nothing', () => {
  const server = new ScriptedServer();
  const connection = connectTo(server);
  server.twist = (request) => errorReply(request, 22);
  const refused = thrownBy(() => reset(connection));
  expect(refused.errno).toBe(22);
  expect(refused.message).toBe('reset (/run/vf.sock): EINVAL: refused DEVICE_RESET');
  expect(thrownBy(() => readRegion(connection, 0, 'BAR0', 0, 4)).errno).toBe(22);
  expect(thrownBy(() => writeRegion(connection, 0, 'BAR0', 0, 4, 0)).errno).toBe(22);
  server.twist = (request) => errorReply(request, 0);
  expect(thrownBy(() => reset(connection)).message).toContain('without an errno');
  server.twist = (_, good) => good;
  expect(() => reset(connection)).not.toThrow();
  expect(server.closed).toBe(0);
});

test('after close every request says so, and a second close does nothing', () => {
  const server = new ScriptedServer();
  const connection = connectTo(server);
  connection.close();
  connection.close();
  expect(server.closed).toBe(1);
  expect(thrownBy(() => reset(connection)).message).toContain('the device is closed');
  expect(() => readRegion(connection, 0, 'BAR0', 0, 4)).toThrow(VfioError);
  expect(server.requests).toHaveLength(0);
});

test('register accesses have the bytes of the specification', () => {
  const server = new ScriptedServer();
  const connection = connectTo(server);
  server.registers.set(0x3190, 0xdeadbeef);
  expect(readRegion(connection, 0, 'BAR0', 0x3190, 4)).toBe(0xdeadbeef);
  expect(server.requests[0]?.bytes).toEqual(
    hex('01000900 20000000 00000000 00000000 90310000 00000000 00000000 04000000'),
  );
  writeRegion(connection, 7, 'config', 4, 2, 0x0406);
  expect(server.requests[1]?.bytes).toEqual(
    hex('02000a00 22000000 00000000 00000000 04000000 00000000 07000000 02000000 0604'),
  );
  expect(readRegion(connection, 7, 'config', 4, 2)).toBe(0x0406);
});

test('a short read has no bytes of the read before it', () => {
  const server = new ScriptedServer();
  const connection = connectTo(server);
  server.registers.set(0x0, 0xffffffff);
  expect(readRegion(connection, 0, 'BAR0', 0, 4)).toBe(0xffffffff);
  expect(readRegion(connection, 7, 'config', 0x10, 2)).toBe(0);
});

test('message ids go round after 65536 requests and differ from one to the next', () => {
  const connection = connectTo(new ScriptedServer());
  const seen = new Set<number>();
  for (let i = 0; i < 65_536; i++) seen.add(connection.nextId());
  expect(seen.size).toBe(65_536);
  expect(seen.has(65_536)).toBe(false);
});

test('a timeout that is no positive integer is refused', () => {
  for (const bad of [0, -1, 1.5, Number.NaN, 2 ** 31]) {
    expect(() => checkedTimeout(bad)).toThrow(RangeError);
  }
  expect(checkedTimeout(undefined)).toBe(5000);
  expect(checkedTimeout(1)).toBe(1);
});

describe('over a socket', () => {
  const RESET_REPLY = '01000d00 10000000 01000000 00000000';

  /** Runs with a connection whose peer has already said `bytes`, in pieces, and hung up if told to. */
  function withPeer(
    pieces: readonly string[],
    hangUp: boolean,
    run: (connection: Connection, peer: number) => void,
  ): void {
    const pair = new Int32Array(2);
    expect(native().socketpair(pair)).toBe(0);
    const [ours, peer] = pair as unknown as [number, number];
    for (const piece of pieces) {
      const bytes = hex(piece);
      expect(native().sendMsg(peer, bytes, 0, bytes.length, null, 0)).toBe(bytes.length);
    }
    if (hangUp) native().shutdown(peer, 1);
    const connection = new Connection(new SocketExchange(ours), PATH, 20);
    try {
      run(connection, peer);
    } finally {
      connection.close();
      native().close(peer);
    }
  }

  test.each([
    ['a peer that says nothing times out', [], false, 110],
    ['a peer that stops inside the header times out', ['01000d00'], false, 110],
    ['a peer that hangs up unasked is the end of the stream', [], true, 104],
    ['a peer that hangs up inside the header', ['01000d00 1000'], true, 104],
    [
      'a peer that hangs up inside the payload',
      ['01000d00 14000000 01000000 00000000 00'],
      true,
      104,
    ],
    ['a size below the header', ['01000d00 0f000000 01000000 00000000'], false, 71],
    ['a size beyond the buffer', ['01000d00 01200000 01000000 00000000'], false, 90],
    ['a reply to somebody else', ['02000d00 10000000 01000000 00000000'], false, 71],
  ])('%s', (_, pieces, hangUp, errno) => {
    const before = openFds();
    withPeer(pieces, hangUp, (connection) => {
      expect(thrownBy(() => reset(connection)).errno).toBe(errno);
      expect(connection.usable).toBe(false);
    });
    expect(openFds()).toBe(before);
  });

  test('a peer that has gone is an error, not a signal', () => {
    const pair = new Int32Array(2);
    native().socketpair(pair);
    native().close(pair[1]);
    const connection = new Connection(new SocketExchange(pair[0]), PATH, 20);
    expect([32, 104]).toContain(thrownBy(() => reset(connection)).errno);
  });

  test('a reply that comes in pieces is put together, and the request is what was sent', () => {
    withPeer([RESET_REPLY.slice(0, 9), RESET_REPLY.slice(9)], false, (connection, peer) => {
      reset(connection);
      const got = new Uint8Array(64);
      expect(native().recvMsg(peer, got, 0, 64, null)).toBe(16);
      expect(got.subarray(0, 16)).toEqual(hex('01000d00 10000000 00000000 00000000'));
    });
  });

  test('a second reply to one request is taken as foreign at the next', () => {
    withPeer([RESET_REPLY, RESET_REPLY], false, (connection) => {
      reset(connection);
      const error = thrownBy(() => reset(connection));
      expect(error.message).toContain('message id: expected 2, got 1');
      expect(connection.usable).toBe(false);
    });
  });

  test('fds that come with a malformed reply are closed', () => {
    const before = openFds();
    withPeer([], false, (connection, peer) => {
      const bytes = hex('63000d00 10000000 01000000 00000000');
      const fd = native().eventfd(0, 0);
      native().sendMsg(peer, bytes, 0, 16, Int32Array.of(fd, fd), 2);
      native().close(fd);
      expect(thrownBy(() => reset(connection)).message).toContain('message id');
    });
    expect(openFds()).toBe(before);
  });

  test('more fds than this client said it takes are closed', () => {
    const before = openFds();
    withPeer([], false, (connection, peer) => {
      const fd = native().eventfd(0, 0);
      const fds = new Int32Array(9).fill(fd);
      native().sendMsg(peer, hex(RESET_REPLY), 0, 16, fds, 9);
      native().close(fd);
      expect(thrownBy(() => reset(connection)).errno).toBe(90);
    });
    expect(openFds()).toBe(before);
  });
});

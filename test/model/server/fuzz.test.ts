// Twenty thousand messages, most of them nearly right, from a fixed seed: the server goes on, no
// fd stays open, and the next client is served.

import { expect, test } from 'vitest';
import { native } from '../../../src/support/native.ts';
import { makeFixture, memfd, message, openFds, RawClient, words } from './fixture.ts';

const MESSAGES = 100_000;

/** xorshift32: values 0..2**32-1. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return Math.floor(((state >>> 0) / 2 ** 32) * below);
  };
}

test('a hundred thousand random messages neither stop the server nor leave an fd behind', () => {
  const model = makeFixture({ ports: [{ vfs: 1, wire: 'gen' }, { vfs: 1 }] });
  const path = model.path(0, 0);
  const random = generator(0x82599);
  const pick = <T>(...values: T[]): T => values[random(values.length)];
  const page = () => BigInt(random(64)) * 4096n;
  const wild = () =>
    pick(0n, 4096n, 1n << 63n, (1n << 64n) - 4096n, BigInt(random(2 ** 32)), page());
  const argsz = (right: number) => pick(right, right, right, 0, 0xffff_ffff, random(64));
  const region = () => pick(0, 0, 0, 3, 7, 7, random(12));
  const count = () => pick(4, 4, 4, 8, 1, 2, random(300));
  const memory = memfd(64 * 4096);
  const small = memfd(4096);
  const eventfd = native().eventfd(0, 0);
  const before = openFds();

  const payloads: Record<number, () => Uint8Array> = {
    1: () => words(0),
    2: () =>
      words(argsz(32), pick(3, 1, 2, random(8)), page(), pick(page(), wild()), page() + 4096n),
    3: () => words(argsz(24), pick(0, 0, 2, 1), pick(page(), 0n, wild()), pick(page(), wild())),
    4: () => words(argsz(16), 0, 0, 0),
    5: () => words(argsz(32), 0, random(10), 0, 0n, 0n),
    7: () => words(argsz(16), 0, random(6), 0),
    8: () => words(argsz(20), pick(0x24, 0x21, 0x22, 0x0c, random(64)), 2, random(4), random(4)),
    9: () => words(BigInt(pick(random(0x1000) * 4, random(0x5000))), region(), count()),
    10: () => {
      const bytes = count();
      const at = BigInt(pick(random(0x1000) * 4, random(256)));
      const data = Buffer.alloc(pick(bytes, bytes, bytes, 4));
      for (let i = 0; i < data.length; i++) data[i] = random(256);
      return Buffer.concat([words(at, region(), bytes), data]);
    },
    13: () => new Uint8Array(0),
    15: () =>
      words(pick(1n, 1n, 2n), BigInt(random(0x1000) * 4), region(), 4, BigInt(random(2 ** 32))),
  };
  const commands = Object.keys(payloads).map(Number);

  const payload = (command: number): Uint8Array => {
    const right = payloads[command]?.() ?? new Uint8Array(random(64));
    switch (random(12)) {
      case 0:
        return right.subarray(0, random(right.length + 1));
      case 1:
        return Buffer.concat([right, new Uint8Array(random(64))]);
      case 2: {
        const changed = Buffer.from(right);
        if (changed.length > 0) changed[random(changed.length)] ^= 1 << random(8);
        return changed;
      }
      default:
        return right;
    }
  };

  const reply = new Uint8Array(20_000);
  const arrived = new Int32Array(32);
  let client: RawClient | undefined;
  let connects = 0;
  let hungUp = false;
  const drain = (from: RawClient): void => {
    for (;;) {
      const result = native().recvMsg(from.fd, reply, 0, reply.length, arrived);
      for (let i = 1; i <= arrived[0]; i++) native().close(arrived[i]);
      if (result > 0) continue;
      hungUp = result !== -11;
      return;
    }
  };

  for (let i = 0; i < MESSAGES; i++) {
    if (client === undefined) {
      client = new RawClient(model, path);
      if (random(8) !== 0) client.hello();
      connects++;
    }
    const command = random(20) === 0 ? random(70) : pick(...commands);
    const flags = random(20) === 0 ? random(64) : 0;
    const body = payload(command);
    const size = random(200) === 0 ? random(2 ** 32) : 16 + body.length;
    const fds = command === 2 || command === 8 || random(20) === 0 ? random(3) : 0;
    const given = Array.from({ length: fds }, () =>
      pick(memory, memory, small, eventfd, client!.fd),
    );
    client.sendBytes(message(random(65_536), command, body, flags, size), given);
    model.serve();
    if (i % 16 === 0) model.nic.step(4);
    drain(client);
    if (hungUp || random(300) === 0) {
      client.close();
      client = undefined;
    }
  }
  client?.close();
  model.serve();
  model.serve();
  expect(connects).toBeGreaterThan(50);
  expect(model.server.counters.messages).toBeGreaterThan(MESSAGES / 2);
  expect(model.server.counters.refused).toBeLessThan(model.server.counters.messages);
  expect([model.server.connections, model.server.mappedFiles]).toEqual([0, 0]);
  expect(openFds()).toBe(before);
  const next = new RawClient(model, path);
  expect(next.hello().flags).toBe(1);
  expect(next.errno(4, words(16, 0, 0, 0))).toBe(0);
  next.close();
  for (const fd of [memory, small, eventfd]) native().close(fd);
  model.dispose();
});

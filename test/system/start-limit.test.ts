// Commands whose server does not answer: a signal ends them at once, whatever they wait for.

import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Processes } from './processes.ts';

let processes: Processes;
let server: Server;
let address = '';
/** Called when a client has sent its first request. */
let onRequest = (): void => {};

beforeAll(async () => {
  processes = new Processes();
  const path = join(processes.folder, 'silent.sock');
  address = `vfio-user:${path}`;
  server = createServer((socket) => {
    socket.on('data', () => onRequest());
    socket.on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
});
afterAll(() => {
  server.close();
  processes.close();
});

describe('a start against a server that does not answer', () => {
  test.each([
    ['SIGINT', ['l2fwd', 'model:0.0']],
    ['SIGTERM', ['pktgen']],
    ['SIGHUP', ['dump']],
  ] as const)('ends at %s to ixy %j', async (signal, argv) => {
    const asked = new Promise<void>((resolve) => {
      onRequest = resolve;
    });
    const program = processes.ixy(...argv, address);
    await asked;
    const before = performance.now();
    expect((await program.kill(signal)).signal).toBe(signal);
    expect(performance.now() - before).toBeLessThan(1000);
  });
});

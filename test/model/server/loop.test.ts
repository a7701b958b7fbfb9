// The loop of a serving model, with parts that only count.

import { expect, test } from 'vitest';
import { runModel } from '../../../src/model/server/index.ts';

/** Runs until `until` says so. @returns the timeouts that the server was given */
async function run(
  moved: (step: number) => number,
  until: (timeouts: number[]) => boolean,
): Promise<number[]> {
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const timeouts: number[] = [];
  let steps = 0;
  await runModel({
    nic: { step: () => moved(steps++) },
    server: {
      serve(timeoutMs) {
        timeouts.push(timeoutMs);
        if (until(timeouts)) Atomics.store(stop, 0, 1);
        return 0;
      },
    },
    stop,
    intervalSeconds: 1,
    report: () => {},
  });
  return timeouts;
}

test('a stop word that is set already ends it before anything moves', async () => {
  const stop = Int32Array.of(1);
  const fail = (): number => {
    throw new Error('moved');
  };
  await runModel({
    nic: { step: fail },
    server: { serve: fail },
    stop,
    intervalSeconds: 1,
    report: fail,
  });
});

test('says which share of the time there was nothing to move, and while there was work', async () => {
  const stop = new Int32Array(new SharedArrayBuffer(4));
  let steps = 0;
  let turns = 0;
  const idle = await runModel({
    // Nothing, then work in every step, then nothing again.
    nic: { step: () => (steps++ >= 50 && steps < 5000 ? 1 : 0) },
    server: {
      serve: () => {
        turns++;
        if (turns > 50 + 5000 / 8 + 2000) Atomics.store(stop, 0, 1);
        return 0;
      },
    },
    stop,
    intervalSeconds: 1,
    report: () => {},
  });
  expect(idle).toBe(0);
  expect(steps).toBeGreaterThan(5000);
  Atomics.store(stop, 0, 0);
  const nothing = await runModel({
    nic: { step: () => 0 },
    server: {
      serve: () => {
        Atomics.store(stop, 0, 1);
        return 0;
      },
    },
    stop,
    intervalSeconds: 1,
    report: () => {},
  });
  expect(nothing).toBe(1);
});

test('while frames move the sockets are looked at without waiting', async () => {
  const timeouts = await run(
    () => 1,
    (seen) => seen.length === 1000,
  );
  expect(timeouts.every((timeoutMs) => timeoutMs === 0)).toBe(true);
});

test('when nothing moves it comes to wait, never for more than 50 ms', async () => {
  const timeouts = await run(
    () => 0,
    (seen) => (seen.at(-1) ?? 0) >= 1,
  );
  expect(timeouts[0]).toBe(0);
  expect(timeouts).toContain(1);
  // Too many for the arguments of one call.
  expect(timeouts.reduce((most, one) => Math.max(most, one))).toBeLessThanOrEqual(50);
});

test('a frame that moves ends the waiting', async () => {
  let busy = false;
  const timeouts = await run(
    () => (busy ? 1 : 0),
    (seen) => {
      const stop = busy;
      busy = (seen.at(-1) ?? 0) > 0;
      return stop;
    },
  );
  expect(timeouts.at(-2)).toBeGreaterThan(0);
  expect(timeouts.at(-1)).toBe(0);
});

test('the event loop of its thread runs meanwhile, whether frames move or not', async () => {
  for (const moved of [0, 1]) {
    const stop = new Int32Array(1);
    setTimeout(() => {
      stop[0] = 1;
    }, 20);
    const server = { serve: () => 0 };
    const parts = { server, stop, intervalSeconds: 0, report: () => {} };
    await runModel({ ...parts, nic: { step: () => moved } });
    expect(stop[0]).toBe(1);
  }
});

import { describe, expect, it } from 'vitest';
import { makePort, type Port } from '../vf-fixture.ts';

interface Bench {
  readonly port: Port;
  /** Messages seen, by vector. */
  readonly seen: number[];
  write(offset: number, value: number): void;
  read(offset: number): number;
  raise(cause: 'rx' | 'tx', queue: number): void;
  /** A PF message: the mailbox cause. */
  ping(): void;
}

/** A VF with bus mastering on and three connected vectors. */
function bench(busMaster = true): Bench {
  const port = makePort();
  const device = port.devices[0];
  const seen = [0, 0, 0];
  for (let vector = 0; vector < 3; vector++) {
    device.connectVector(vector, () => {
      seen[vector] = seen[vector] + 1;
    });
  }
  if (busMaster) device.configWrite(4, 2, 4);
  const interrupts = port.engines[0]?.host.interrupts;
  return {
    port,
    seen,
    write: (offset, value) => device.mmioWrite(offset, value),
    read: (offset) => device.mmioRead(offset),
    raise: (cause, queue) => interrupts?.raise(cause, queue),
    ping: () => port.pf.ping(0),
  };
}

describe('interrupt refusals', () => {
  it('a vector that does not exist cannot be connected', () => {
    const { port } = bench();
    expect(() => port.devices[0]?.connectVector(3, null)).toThrow(/0 to 2, got 3/);
    expect(() => port.devices[0]?.connectVector(-1, null)).toThrow(RangeError);
  });

  it('a cause whose map entry is not valid goes nowhere', () => {
    const b = bench();
    b.write(0x108, 7);
    b.write(0x120, 0x00000001);
    b.raise('rx', 0);
    expect(b.seen).toEqual([0, 0, 0]);
    expect(b.read(0x100)).toBe(0);
  });

  it('nothing is sent while bus mastering is off; it is sent when it comes on', () => {
    const b = bench(false);
    b.write(0x120, 0x80);
    b.write(0x108, 1);
    b.raise('rx', 0);
    expect(b.seen).toEqual([0, 0, 0]);
    b.port.devices[0]?.configWrite(4, 2, 4);
    expect(b.seen).toEqual([1, 0, 0]);
  });
});

describe('interrupts', () => {
  it('VTIVAR maps rx and tx of even and odd queues, VTIVAR_MISC the mailbox', () => {
    const b = bench();
    b.write(0x108, 7);
    b.write(0x110, 7);
    // Queues 2 and 3: rx 2 to vector 0, tx 2 to 1, rx 3 to 2, tx 3 to 0.
    b.write(0x124, 0x80828180);
    b.write(0x140, 0x82);
    b.raise('rx', 2);
    expect(b.seen).toEqual([1, 0, 0]);
    b.raise('tx', 2);
    expect(b.seen).toEqual([1, 1, 0]);
    b.raise('rx', 3);
    expect(b.seen).toEqual([1, 1, 1]);
    b.raise('tx', 3);
    expect(b.seen).toEqual([2, 1, 1]);
    b.ping();
    expect(b.seen).toEqual([2, 1, 2]);
  });

  it('a masked cause stays pending in VTEICR and fires when unmasked', () => {
    const b = bench();
    b.write(0x120, 0x81);
    b.raise('rx', 0);
    expect(b.seen).toEqual([0, 0, 0]);
    b.write(0x108, 2);
    expect(b.seen).toEqual([0, 1, 0]);
    expect(b.read(0x100)).toBe(2);
    expect(b.read(0x100)).toBe(0);
  });

  it('a cause that was read away or cleared by 1 no longer fires when unmasked', () => {
    const b = bench();
    b.write(0x120, 0x8180);
    b.raise('rx', 0);
    b.raise('tx', 0);
    b.write(0x100, 2);
    expect(b.read(0x100)).toBe(1);
    b.write(0x108, 3);
    expect(b.seen).toEqual([0, 0, 0]);
  });

  it('VTEIMS reads the mask, ones add to it, VTEIMC takes out', () => {
    const b = bench();
    b.write(0x108, 1);
    b.write(0x108, 6);
    expect(b.read(0x108)).toBe(7);
    b.write(0x10c, 2);
    expect(b.read(0x108)).toBe(5);
  });

  it('auto-clear empties VTEICR when the message is sent, not before', () => {
    const b = bench();
    b.write(0x120, 0x80);
    b.write(0x110, 1);
    b.raise('rx', 0);
    b.write(0x108, 1);
    expect(b.seen).toEqual([1, 0, 0]);
    expect(b.read(0x100)).toBe(0);
    b.raise('rx', 0);
    expect(b.seen).toEqual([2, 0, 0]);
  });

  it('without auto-clear a second cause sends nothing until VTEICR was cleared', () => {
    const b = bench();
    b.write(0x120, 0x80);
    b.write(0x108, 1);
    b.raise('rx', 0);
    b.raise('rx', 0);
    expect(b.seen).toEqual([1, 0, 0]);
    b.write(0x100, 1);
    b.raise('rx', 0);
    expect(b.seen).toEqual([2, 0, 0]);
  });

  it('auto-mask clears the VTEIMS bit; a cause meanwhile waits for the re-arm', () => {
    const b = bench();
    b.write(0x120, 0x80);
    b.write(0x110, 7);
    b.write(0x114, 7);
    b.write(0x108, 7);
    b.raise('rx', 0);
    expect(b.read(0x108)).toBe(6);
    b.raise('rx', 0);
    b.raise('rx', 0);
    expect(b.seen).toEqual([1, 0, 0]);
    b.write(0x108, 1);
    expect(b.seen).toEqual([2, 0, 0]);
    expect(b.read(0x108)).toBe(6);
  });

  it('VTEICS strobes a vector', () => {
    const b = bench();
    b.write(0x108, 4);
    b.write(0x104, 4);
    expect(b.seen).toEqual([0, 0, 1]);
    expect(b.read(0x100)).toBe(4);
  });

  it('VTEITR holds the next message back for its interval, 2.048 us a step', () => {
    const b = bench();
    b.write(0x120, 0x80);
    b.write(0x110, 1);
    b.write(0x108, 1);
    b.write(0x820, 100 << 3);
    b.raise('rx', 0);
    b.port.time.us += 100;
    b.raise('rx', 0);
    expect(b.seen).toEqual([1, 0, 0]);
    b.port.time.us += 104;
    b.port.devices[0]?.tick();
    expect(b.seen).toEqual([1, 0, 0]);
    b.port.time.us += 1;
    b.port.devices[0]?.tick();
    expect(b.seen).toEqual([2, 0, 0]);
    b.port.time.us += 1000;
    b.port.devices[0]?.tick();
    expect(b.seen).toEqual([2, 0, 0]);
  });

  it('CNT_WDIS leaves the running wait alone and reads 0; without it the wait ends', () => {
    const b = bench();
    b.write(0x120, 0x80);
    b.write(0x110, 1);
    b.write(0x108, 1);
    b.write(0x820, 0xff8);
    b.raise('rx', 0);
    b.write(0x820, 0x80000008);
    expect(b.read(0x820)).toBe(8);
    b.raise('rx', 0);
    expect(b.seen).toEqual([1, 0, 0]);
    b.write(0x820, 8);
    b.port.devices[0]?.tick();
    expect(b.seen).toEqual([2, 0, 0]);
  });

  it('a vector nobody connected keeps its message until somebody does', () => {
    const b = bench();
    const device = b.port.devices[0];
    device?.connectVector(0, null);
    b.write(0x120, 0x80);
    b.write(0x110, 1);
    b.write(0x108, 1);
    b.raise('rx', 0);
    expect(b.read(0x100)).toBe(1);
    b.raise('rx', 0);
    let late = 0;
    device?.connectVector(0, () => late++);
    expect(late).toBe(1);
  });

  it('a port reset is told before the VF loses its interrupt registers', () => {
    const b = bench();
    b.write(0x140, 0x81);
    b.write(0x110, 2);
    b.write(0x108, 2);
    b.port.pf.goDown();
    expect(b.seen[1]).toBe(2); // the ping, then RSTI
    expect(b.read(0x108)).toBe(0);
    b.port.pf.comeUp();
    expect(b.seen[1]).toBe(2);
  });
});

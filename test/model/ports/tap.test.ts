// The tap port on a real TAP interface, where this machine lets us make one.

import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { processArena } from '../../../src/memory/arena.ts';
import { makeFrameBatch } from '../../../src/model/frame.ts';
import type { WireContext } from '../../../src/model/ports/index.ts';
import { Cables } from '../../../src/model/ports/index.ts';
import { LatencyTracks } from '../../../src/model/ports/latency.ts';
import { makePortLoops } from '../../../src/model/ports/loops.ts';
import { openTap, type TapPort } from '../../../src/model/ports/tap.ts';
import { systemClock } from '../../../src/support/clock.ts';
import { VfioError } from '../../../src/support/errors.ts';

const NAME = `ixyt${process.pid % 100_000}`;
const arena = processArena();
const SENT_AT = arena.allocateControl(64);

interface Tap {
  readonly port: TapPort;
  /** Frames offered to the switch. */
  readonly offered: Buffer[];
  readonly errors: string[];
}

function context(offered: Buffer[], errors: string[]): WireContext {
  const { views } = arena;
  const batch = makeFrameBatch();
  return {
    port: 0,
    vfs: 1,
    clock: systemClock,
    seed: 1,
    cables: new Cables(),
    batch,
    latencies: new LatencyTracks(),
    views: () => views,
    frameLoops: () => makePortLoops(views, batch),
    allocate: (sizeBytes) => arena.allocateControl(sizeBytes),
    vfMac: () => new Uint8Array(6),
    onError: (line) => errors.push(line),
    ingress: {
      offer: (offset, length, closedLoop) => {
        expect(closedLoop).toBe(false);
        offered.push(Buffer.from(views.u8.slice(offset, offset + length)));
        return 0;
      },
      claim: () => 0,
      commit: () => {},
    },
  };
}

function open(name: string): Tap {
  const offered: Buffer[] = [];
  const errors: string[] = [];
  return { port: openTap(name, context(offered, errors)), offered, errors };
}

function reasonWithoutTap(): string {
  try {
    open(NAME).port.close();
  } catch (error) {
    return (error as Error).message;
  }
  return spawnSync('ip', ['-V']).status === 0 ? '' : 'no ip command';
}

function ip(...args: string[]): void {
  const { status, stderr } = spawnSync('ip', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`);
}

/** A broadcast frame of 60 bytes with a local experimental EtherType, sent by the chip. */
function transmit(port: TapPort): void {
  const u8 = arena.views.u8.subarray(SENT_AT, SENT_AT + 60);
  u8.fill(0xff, 0, 6);
  u8.set([0x02, 0x09, 0xc0, 0, 0, 0, 0x88, 0xb5], 6);
  port.transmit(Int32Array.of(SENT_AT), Int32Array.of(60), 1, 0);
}

const reason = reasonWithoutTap();

describe.skipIf(reason !== '')(`a TAP interface${reason === '' ? '' : ` (${reason})`}`, () => {
  test('that is in use or of another kind is refused', () => {
    const { port } = open(NAME);
    for (const name of [NAME, 'lo']) {
      expect(() => open(name)).toThrow(VfioError);
    }
    port.close();
    open(NAME).port.close();
  });

  test('that is down drops what is sent to it, and takes it once it is up', () => {
    const { port, errors } = open(NAME);
    transmit(port);
    expect([port.step(8), port.dropped, port.linkUp]).toEqual([0, 1, true]);
    ip('link', 'set', NAME, 'up');
    transmit(port);
    expect(port.dropped).toBe(1);
    ip('link', 'set', NAME, 'down');
    transmit(port);
    expect([port.dropped, port.linkUp, errors]).toEqual([2, true, []]);
    port.close();
  });

  test('offers what its host sends, padded to 60 bytes', () => {
    const { port, offered } = open(NAME);
    ip('link', 'set', NAME, 'address', '02:00:00:00:00:77', 'up');
    // An address that nobody has makes the host ask for it by broadcast.
    ip('addr', 'add', '169.254.199.1/30', 'dev', NAME);
    spawnSync('ping', ['-c', '1', '-W', '1', '169.254.199.2']);
    for (let i = 0; i < 100; i++) port.step(8);
    const arp = offered.filter((frame) => frame.readUInt16BE(12) === 0x0806);
    if (spawnSync('ping', ['-V']).error === undefined) expect(arp.length).toBeGreaterThan(0);
    for (const frame of offered) {
      expect(frame.length).toBeGreaterThanOrEqual(60);
      expect(frame.subarray(6, 12).toString('hex')).toBe('020000000077');
    }
    port.close();
  });

  test('that is deleted ends the port with one line', () => {
    const { port, errors } = open(NAME);
    ip('link', 'del', NAME);
    for (let i = 0; i < 3; i++) port.step(8);
    transmit(port);
    expect([port.linkUp, port.dropped, errors.length]).toEqual([false, 1, 1]);
    expect(errors[0]).toContain(NAME);
    port.close();
  });
});

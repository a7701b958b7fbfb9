// Three processes on three VFs of one port at once: who receives what, from the wire and from
// each other, and that a VF cannot send under another one's address.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { PcapWriter, parsePcap } from '../../src/index.ts';
import { BROADCAST, frame, idOf, STRANGER } from '../support/frames.ts';
import { Processes, type Program } from './processes.ts';

const MACS = ['02:09:c0:00:00:00', '02:09:c0:00:00:01', '02:09:c0:00:00:02'] as const;
const ROUNDS = 100;

let processes: Processes;

beforeEach(() => {
  processes = new Processes();
});
afterEach(() => processes.close());

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const destinationOf = (bytes: Uint8Array): string => hexOf(bytes.subarray(0, 6));
const hexMac = (mac: string): string => mac.replaceAll(':', '');

/** A capture whose first frames, one a VF, wait until that VF is up; the last one is a broadcast. */
function writeTraffic(path: string): Uint8Array[] {
  const frames: Uint8Array[] = [];
  const add = (dst: string, length = 60): void => {
    frames.push(frame({ dst, length, id: frames.length }));
  };
  for (const mac of MACS) add(mac);
  for (let round = 0; round < ROUNDS; round++) {
    for (const mac of MACS) add(mac, 60 + round);
    if (round % 3 === 0) add(BROADCAST, 60 + round);
    // Another host, a VF that does not exist, a group that nobody joined.
    add([STRANGER, '02:09:c0:00:00:03', '01:00:5e:00:00:05'][round % 3]);
  }
  add(BROADCAST);
  const writer = new PcapWriter(path);
  for (const [i, bytes] of frames.entries()) writer.append(bytes, i, 0);
  writer.close();
  return frames;
}

/** One program a VF, each ready to receive. */
async function startPrograms(): Promise<Program[]> {
  const programs = MACS.map((_, vf) => processes.node('vf-program.mjs', processes.address(0, vf)));
  for (const [vf, program] of programs.entries()) {
    expect(await program.line(() => true)).toBe(MACS[vf]);
  }
  return programs;
}

/** Frames that a program received, in order. */
const received = (program: Program): string[] => program.lines.slice(1);

async function stop(program: Program): Promise<void> {
  program.child.stdin?.end();
  expect(await program.end()).toMatchObject({ status: 0, stderr: '' });
}

describe('three processes on three VFs of one port', () => {
  test('each receive from the wire the frames for its MAC and the broadcasts, none other', async () => {
    const path = join(processes.folder, 'in.pcap');
    const sent = writeTraffic(path);
    await processes.model('--ports', '1', '--vfs', '3', '--port0', `pcap:${path},dst=keep`);
    const programs = await startPrograms();
    const last = hexOf(sent[sent.length - 1]);
    for (const [vf, program] of programs.entries()) {
      // Frames arrive in order: what should not have come would have come before the last one.
      await program.line((line) => line === last);
      const own = [hexMac(MACS[vf]), hexMac(BROADCAST)];
      const expected = sent.filter((bytes) => own.includes(destinationOf(bytes))).map(hexOf);
      expect(received(program)).toEqual(expected);
      await stop(program);
    }
  });

  test("each receive from the others what is for them; a frame under another VF's MAC is dropped and counted", async () => {
    const input = join(processes.folder, 'in.pcap');
    const output = join(processes.folder, 'out.pcap');
    new PcapWriter(input).close();
    const spec = `pcap:${input},${output},dst=keep`;
    const model = await processes.model('--ports', '1', '--vfs', '3', '--port0', spec);
    const programs = await startPrograms();
    const SPOOFED = [3, 2, 1];
    /** What VF `vf` sends; the number names sender and kind: 1 to the next VF, 2 to all, 3 out, 9 spoofed. */
    const framesOf = (vf: number): Uint8Array[] => {
      const src = MACS[vf];
      const next = MACS[(vf + 1) % 3];
      const id = vf * 10;
      return [
        ...Array.from({ length: SPOOFED[vf] }, () =>
          frame({ dst: BROADCAST, src: next, id: id + 9 }),
        ),
        frame({ dst: MACS[(vf + 2) % 3], src: STRANGER, id: id + 9 }),
        frame({ dst: next, src, id: id + 1 }),
        frame({ dst: STRANGER, src, id: id + 3 }),
        frame({ dst: BROADCAST, src, id: id + 2 }),
      ];
    };
    for (const [vf, program] of programs.entries()) {
      program.say(`send ${framesOf(vf).map(hexOf).join(' ')}`);
    }
    for (const [vf, program] of programs.entries()) {
      const [before, after] = [(vf + 2) % 3, (vf + 1) % 3];
      for (const other of [before, after]) {
        await program.line((line) => line === hexOf(framesOf(other)[SPOOFED[other] + 3]));
      }
      const ids = received(program).map((hex) => idOf(Buffer.from(hex, 'hex')));
      expect(ids.filter((id) => Math.floor(id / 10) === before)).toEqual([
        before * 10 + 1,
        before * 10 + 2,
      ]);
      expect(ids.filter((id) => Math.floor(id / 10) === after)).toEqual([after * 10 + 2]);
      expect(ids).toHaveLength(3);
    }
    for (const program of programs) await stop(program);
    model.child.stdin?.end();
    expect(await model.end()).toMatchObject({ status: 0, stderr: '' });
    const { ports } = model.lastJson<{ ports: object[] }>();
    for (const [vf, row] of ports.entries()) {
      expect(row).toMatchObject({ port: 0, vf, spoofed: SPOOFED[vf] + 1, delivered: 3 });
    }
    const left = parsePcap(readFileSync(output), output).map(({ data }) => idOf(data));
    expect(left.sort((a, b) => a - b)).toEqual([2, 3, 12, 13, 22, 23]);
  });
});

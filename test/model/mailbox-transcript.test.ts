// Plays each transcript of test/golden against the PF it names, word by word.

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Port } from './vf-fixture.ts';
import { makePort, ScriptedVf } from './vf-fixture.ts';

interface Exchange {
  readonly line: number;
  readonly request: number[];
  readonly reply: number[];
}

function parse(name: string): (Exchange | 'reset')[] {
  const path = new URL(`../golden/mailbox-${name}.txt`, import.meta.url);
  const script: (Exchange | 'reset')[] = [];
  let request: number[] | null = null;
  for (const [i, text] of readFileSync(path, 'utf8').split('\n').entries()) {
    const [mark, ...fields] = text.split('#')[0].trim().split(/\s+/);
    const words = fields.map((field) => Number.parseInt(field, 16));
    if (mark === 'reset') script.push('reset');
    else if (mark === '>') request = words;
    else if (mark === '<' && request !== null) script.push({ line: i + 1, request, reply: words });
    else if (mark !== '') throw new Error(`line ${i + 1}: ${text}`);
  }
  return script;
}

function play(name: string, port: Port, vf: number): void {
  const player = new ScriptedVf(port, vf);
  const script = parse(name);
  expect(script.length).toBeGreaterThan(5);
  for (const step of script) {
    if (step === 'reset') {
      player.reset();
      continue;
    }
    const reply = player.request(step.request, step.reply.length);
    const hex = (words: number[]) => words.map((word) => word.toString(16).padStart(8, '0'));
    expect(hex(reply), `line ${step.line}`).toEqual(hex(step.reply));
  }
  expect(port.recorder.violations).toEqual([]);
}

describe('mailbox transcripts', () => {
  it('a Linux 6.1 PF answers a start as recorded', () => {
    const port = makePort({ personality: 'linux-6.1', port: 2 });
    play('linux-6.1', port, 1);
    // What the requests did to the switch.
    const { tables } = port;
    expect(tables.ownersOf(0x0209c0000201)).toEqual([1]);
    expect([tables.inVlan(1, 0), tables.inVlan(1, 100), tables.inVlan(0, 100)]).toEqual([
      true,
      true,
      false,
    ]);
    // Hashes 0xedc (0xfedc cut to 12 bits) and 0x123: dword hash >> 5, bit hash & 31.
    expect(tables.multicastTable[0xedc >> 5]).toBe((1 << (0xedc & 31)) >>> 0);
    expect(tables.multicastTable[0x123 >> 5]).toBe((1 << (0x123 & 31)) >>> 0);
    expect(tables.pools[1]?.acceptance).toEqual({ aupe: true, bam: true, rompe: true, mpe: false });
    // The refused SET_LPE 1522 came last: VFRE is off, VFTE on.
    expect(tables.pools[1]).toMatchObject({ rxEnable: false, txEnable: true, queueDrop: true });
  });

  it('a Linux 7.3 PF answers the start of a VF without MAC as recorded', () => {
    const port = makePort({ personality: 'linux-7.3', macs: [null] });
    play('linux-7.3', port, 0);
    expect(port.tables.ownersOf(0x0209c000aabb)).toEqual([0]);
    expect(port.tables.ownersOf(0x0209c000cccc)).toEqual([0]);
    // The accepted extra filter switched anti-spoofing off.
    expect(port.tables.pools[0]).toMatchObject({ macAntiSpoof: false, vlanAntiSpoof: false });
    expect(port.tables.pools[1]).toMatchObject({ macAntiSpoof: true, vlanAntiSpoof: true });
  });

  it('a DPDK PF answers a start as recorded', () => {
    const port = makePort({ personality: 'dpdk', port: 2 });
    play('dpdk', port, 1);
    expect(port.tables.ownersOf(0x0209c00002ff)).toEqual([1]);
    expect(port.tables.pools[1]?.acceptance).toMatchObject({ rompe: true, mpe: true });
  });
});

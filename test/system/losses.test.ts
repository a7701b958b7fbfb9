// Frames that a command's own model could not read or write: said as it happens, counted in the report, and never
// status 0.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { NicCounters } from '../../src/model/nic.ts';
import { PcapWriter } from '../../src/support/pcap/writer.ts';
import { Processes } from './processes.ts';

let processes: Processes;
let whole = '';
let damaged = '';

beforeAll(() => {
  processes = new Processes();
  whole = join(processes.folder, 'whole.pcap');
  damaged = join(processes.folder, 'damaged.pcap');
  const writer = new PcapWriter(whole);
  for (let i = 0; i < 10; i++) writer.append(new Uint8Array(60).fill(i), i, 0);
  writer.close();
  writeFileSync(damaged, readFileSync(whole).subarray(0, -1));
});
afterAll(() => processes.close());

/** Runs a command. @returns how it ended, what it complained of, and its last line */
async function run(...argv: string[]) {
  const program = processes.ixy(...argv);
  const { status, stderr } = await program.end();
  const errors = stderr.split('\n').filter((line) => !/^(warning: .*|)$/.test(line));
  return { status, errors, program };
}

const TRUNCATED = /port 0: pcap file .*damaged\.pcap.*record 9: .*truncated/;
const FULL = /port 0: write pcap file \(\/dev\/full\): ENOSPC/;

describe('a model that a command has started', () => {
  test('whose capture cannot be written is reported by l2fwd, with every frame that is lost', async () => {
    const port0 = `pcap:${whole},/dev/full`;
    const { status, errors, program } = await run(
      ...['l2fwd', '--duration', '0.5', '--json', '--port0', port0, '--port1', 'gen:count=5000'],
    );
    const { devices, ports } = program.lastJson<{
      devices: { txPackets: number }[];
      ports: NicCounters[];
    }>();
    expect(ports[0]).toMatchObject({ skipped: 0, unwritten: 5000 });
    expect(devices[0].txPackets).toBe(5000);
    expect(errors).toHaveLength(2);
    expect(errors[0]).toMatch(/^ixy model: /);
    expect(errors[1]).toMatch(/^ixy: /);
    for (const line of errors) expect(line).toMatch(FULL);
    expect(status).toBe(1);
  });

  test('whose capture is damaged is reported by l2fwd, in lines for a person too', async () => {
    const { status, errors, program } = await run(
      ...['l2fwd', '--duration', '0.5', '--port0', `pcap:${damaged},/dev/full`],
    );
    expect(program.lines.at(-2)).toMatch(/^model port 0 VF 0: .*; [1-9]\d* not written$/);
    expect(errors.some((line) => line.startsWith('ixy model: ') && TRUNCATED.test(line))).toBe(
      true,
    );
    expect(errors.some((line) => line.startsWith('ixy model: ') && FULL.test(line))).toBe(true);
    expect(errors.at(-1)).toMatch(/^ixy: .*truncated.*; .*ENOSPC/);
    expect(status).toBe(1);
  });

  test('whose capture is damaged is reported by dump, which has the frames before the damage', async () => {
    const { status, errors, program } = await run(
      ...['dump', '--duration', '0.5', '--json', '--port0', `pcap:${damaged}`],
    );
    expect(program.lastJson()).toMatchObject({ captured: 9, final: true });
    expect(errors).toHaveLength(2);
    for (const line of errors) expect(line).toMatch(TRUNCATED);
    expect(status).toBe(1);
  });

  test('that did all it was to do is not spoken of', async () => {
    const port0 = `pcap:${whole},${join(processes.folder, 'out.pcap')}`;
    const { status, errors, program } = await run(
      ...['l2fwd', '--duration', '0.5', '--port0', port0, '--port1', 'none'],
    );
    expect(errors).toEqual([]);
    expect(program.lines.at(-2)).toMatch(/^model port 0 VF 0: offered 10, .*no drops$/);
    expect(status).toBe(0);
  });
});

describe('ixy model', () => {
  test('ends with status 1 where a capture was damaged', async () => {
    const folder = join(processes.folder, 'm');
    const model = processes.ixy('model', '--dir', folder, '--port0', `pcap:${damaged}`);
    await model.line((line) => line === 'ready');
    const dump = processes.ixy('dump', `vfio-user:${folder}/p0v0.sock`, '--count', '9');
    expect((await dump.end()).status).toBe(0);
    const { status, stderr } = await model.kill('SIGTERM');
    expect(stderr.trim().split('\n')).toHaveLength(2);
    expect(stderr).toMatch(TRUNCATED);
    expect(status).toBe(1);
  });
});

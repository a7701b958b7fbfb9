// A capture of everything a network holds, through the switch, VF 0.0, the
// forwarder, VF 1.0 and out again. What must pass and what a strict switch
// refuses is worked out here from the frames alone.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { FORWARD, makeForward, writeSource } from '../../src/cli/l2fwd/forward.ts';
import {
  createModel,
  mempool,
  open,
  PcapWriter,
  parsePcap,
  processArena,
} from '../../src/index.ts';
import { macToWords } from '../../src/support/mac.ts';

const folder = mkdtempSync(join(tmpdir(), 'ixy-pcap-'));
afterAll(() => rmSync(folder, { recursive: true }));

const VF0 = [0x02, 0x09, 0xc0, 0x00, 0x00, 0x00];
const VF1 = [0x02, 0x09, 0xc0, 0x00, 0x01, 0x00];
const SENDER = [0x02, 0x11, 0x22, 0x33, 0x44, 0x55];
const STRANGER = [0x02, 0x99, 0x99, 0x99, 0x99, 0x99];
const BROADCAST = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
const PEER = [0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xee];
const JOINED = 100;
const FOREIGN = 200;
const COUNT = 10_000;

type Kind = 'ipv4' | 'ipv6' | 'arp' | 'joined vlan' | 'foreign vlan' | 'broadcast' | 'stranger';
const KINDS: readonly Kind[] = [
  'ipv4',
  'ipv6',
  'ipv4',
  'arp',
  'joined vlan',
  'ipv6',
  'foreign vlan',
  'broadcast',
  'ipv4',
  'stranger',
];

function makeFrame(i: number): { kind: Kind; frame: Uint8Array } {
  const kind = KINDS[i % KINDS.length];
  const size = kind === 'arp' ? 60 : 60 + ((i * 977) % (1514 - 60 + 1));
  const frame = new Uint8Array(size);
  for (let k = 0; k < size; k++) frame[k] = (i * 31 + k * 7) & 0xff;
  frame.set(
    kind === 'broadcast' || kind === 'arp' ? BROADCAST : kind === 'stranger' ? STRANGER : VF0,
    0,
  );
  frame.set(SENDER, 6);
  const type = {
    ipv4: [0x08, 0x00, 0x45],
    ipv6: [0x86, 0xdd, 0x60],
    arp: [0x08, 0x06, 0x00, 0x01],
    'joined vlan': [0x81, 0x00, 0x00, JOINED, 0x08, 0x00, 0x45],
    'foreign vlan': [0x81, 0x00, 0x00, FOREIGN, 0x08, 0x00, 0x45],
    broadcast: [0x08, 0x00, 0x45],
    stranger: [0x08, 0x00, 0x45],
  }[kind];
  frame.set(type, 12);
  return { kind, frame };
}

it('forwards 10,000 mixed frames in order and byte for byte, and counts what the switch refuses', async () => {
  const input = join(folder, 'in.pcap');
  const empty = join(folder, 'empty.pcap');
  const output = join(folder, 'out.pcap');
  const frames = Array.from({ length: COUNT }, (_, i) => makeFrame(i));
  const writer = new PcapWriter(input);
  for (const { frame } of frames) writer.append(frame, 1, 0);
  writer.close();
  new PcapWriter(empty).close();

  const model = createModel({
    ports: [{ vfs: 1 }, { vfs: 1, wire: `pcap:${empty},${output}` }],
  });
  const shared = mempool({ count: 2048, debug: true });
  const a = await open('model:0.0', { model, mempool: shared });
  const b = await open('model:1.0', { model, mempool: shared });
  a.addVlan(JOINED);
  b.addVlan(JOINED);
  // Only now: a capture starts to play as soon as its port has a running VF.
  model.plug(0, `pcap:${input},dst=keep`);
  expect([...a.macBytes]).toEqual(VF0);
  const arena = processArena();
  const outState = arena.allocateControl(FORWARD.BLOCK_BYTES) >>> 2;
  const inState = arena.allocateControl(FORWARD.BLOCK_BYTES) >>> 2;
  const [low, high] = macToWords(Uint8Array.from(PEER));
  arena.views.i32.set([low, high, 1], outState);
  writeSource(arena.views.i32, outState, b.macBytes);
  const { forward } = makeForward({
    rx: a.rx[0],
    tx: b.tx[0],
    mempool: shared,
    outState,
    inState,
    batch: 32,
    dropAtOnce: false,
  });
  for (let round = 0, idle = 0; idle < 20; round++) {
    const work = model.step(64) + forward();
    idle = work === 0 ? idle + 1 : 0;
    expect(round).toBeLessThan(100_000);
  }
  const [row0, row1] = model.counters();
  a.close();
  b.close();
  model.close();
  expect(shared.available).toBe(2048);

  const passed = frames.filter(({ kind }) => kind !== 'foreign vlan' && kind !== 'stranger');
  expect(row0).toMatchObject({
    offered: COUNT,
    delivered: passed.length,
    filtered: COUNT - passed.length,
    missedNoDescriptor: 0,
    missedDisabled: 0,
    iommuFaults: 0,
  });
  expect(row1).toMatchObject({ offered: 0, spoofed: 0, iommuFaults: 0 });
  expect(model.recorder.violations).toEqual([]);
  const written = parsePcap(readFileSync(output), output);
  expect(written.length).toBe(passed.length);
  for (const [i, { data }] of written.entries()) {
    const expected = passed[i].frame.slice();
    expected.set(PEER, 0);
    expected.set(VF1, 6);
    expect(Buffer.compare(data, expected), `frame ${i} (${passed[i].kind})`).toBe(0);
  }
  // The sender's address was learnt for what goes back.
  expect(arena.views.u32[inState + FORWARD.PEER_LOW]).toBe(macToWords(Uint8Array.from(SENDER))[0]);
});

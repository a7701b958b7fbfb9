// Bad input, from the address to a closed device: the type of the error, and a
// message with what it is about, what was expected and what was got.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parseCommandLine, UsageError } from '../../src/cli/arguments.ts';
import { l2fwd } from '../../src/cli/l2fwd/command.ts';
import { createModel, open, PcapError, VfioError } from '../../src/index.ts';
import type { LocalModel } from '../../src/model/local-model.ts';
import { parseAddress } from '../../src/vfio/address.ts';
import { useRigs } from '../suites/driver/rig.ts';
import { directHarness } from '../support/driver-harness.ts';

const dir = mkdtempSync(join(tmpdir(), 'ixy-refusals-'));
afterAll(() => rmSync(dir, { recursive: true }));

const FORMS =
  /expected 0000:03:10\.0 \(a PCI address\), vfio-user:.*, or model:PORT\.VF, got '(.*)'$/;

describe('an address', () => {
  it.each([
    '',
    'model',
    'model:',
    'model:0',
    'model:0.',
    'model:.0',
    'model:-1.0',
    'model:0.0.0',
    'model:0.0 ',
    'model:1000.0',
    'vfio-user',
    'vfio-user:',
    'vfio_user:/tmp/x.sock',
    '/tmp/x.sock',
    'eth0',
    '03:10',
    '03:10.8',
    '03:20.0',
    '100000000:03:10.0',
    'g000:03:10.0',
    '0000:03:10.0\n',
  ])('%j is refused with the forms there are', (address) => {
    expect(() => parseAddress(address)).toThrow(RangeError);
    const [, got] = FORMS.exec(thrown(() => parseAddress(address)).message.replace('\n', '')) ?? [];
    expect(got).toBe(address.replace('\n', ''));
  });

  it.each([
    ['0000:03:10.0', { kind: 'pci', pci: '0000:03:10.0' }],
    ['03:1F.7', { kind: 'pci', pci: '0000:03:1f.7' }],
    ['ABCD:ef:00.1', { kind: 'pci', pci: 'abcd:ef:00.1' }],
    ['vfio-user:/run/p0v0.sock', { kind: 'vfio-user', path: '/run/p0v0.sock' }],
    ['vfio-user:a b:c', { kind: 'vfio-user', path: 'a b:c' }],
    ['model:0.0', { kind: 'model', port: 0, vf: 0 }],
    ['model:255.62', { kind: 'model', port: 255, vf: 62 }],
  ])('%s is understood', (address, parts) => {
    expect(parseAddress(address)).toEqual(parts);
  });
});

describe('open', () => {
  it('needs a model for a model address', async () => {
    await expect(open('model:0.0')).rejects.toThrow(
      /model:0\.0: expected the model .* in options\.model, got none/,
    );
  });

  it('refuses a port and a VF that do not exist, with the range there is', async () => {
    const model = modelOf(2);
    await expect(open('model:1.0', { model })).rejects.toThrow(
      /expected a port from 0 to 0, got 1/,
    );
    await expect(open('model:0.2', { model })).rejects.toThrow(
      /port 0: expected a VF from 0 to 1, got 2/,
    );
    model.close();
  });

  it('refuses a VF that is open already, until it is closed', async () => {
    const model = modelOf(1);
    const options = { model, rxRingSize: 64, txRingSize: 64 };
    const vf = await open('model:0.0', options);
    await expect(open('model:0.0', options)).rejects.toThrow(
      /model:0\.0: expected a VF that is free, got one that is open already/,
    );
    vf.close();
    (await open('model:0.0', options)).close();
    model.close();
  });

  it('names the socket that is not there', async () => {
    const path = join(dir, 'nobody.sock');
    await expect(open(`vfio-user:${path}`)).rejects.toMatchObject({
      name: 'VfioError',
      errno: 2,
      message: expect.stringContaining(path),
    });
  });
});

describe('calls', () => {
  const rigOf = useRigs(directHarness(false));

  it.each([
    [-1, 1],
    [0, -1],
    [0, 5],
    [3, 2],
    [0.5, 1],
    [0, 1.5],
    [Number.NaN, 1],
    [0, Number.POSITIVE_INFINITY],
    [2 ** 31, 1],
  ])(
    'a batch from %s of %s does not fit an array of 4: refused on rx and tx, and nothing moved',
    async (from, n) => {
      const rig = rigOf({ vfs: 1 });
      const vf = await rig.open(0, 0);
      const bufs = new Int32Array(4);
      const message = /batch: expected integers 0 <= from, 0 <= n and from \+ n <= 4 .* got from/;
      for (const queue of [vf.rx[0], vf.tx[0]]) {
        expect(() => queue.batch(bufs, from, n)).toThrow(RangeError);
        expect(() => queue.batch(bufs, from, n)).toThrow(message);
        expect(queue.counters.packets).toBe(0);
      }
    },
  );

  it('VLANs, groups and MACs that cannot be are refused before the PF hears of them', async () => {
    const rig = rigOf({ vfs: 1 });
    const device = rig.tampered(0, 0);
    const vf = await rig.openDevice(device);
    const sent = device.requests.length;
    for (const vlan of [0, -1, 4095, 1.5, Number.NaN]) {
      const message = `vlan: expected an integer from 1 to 4094, got ${vlan}`;
      expect(() => vf.addVlan(vlan)).toThrow(new RangeError(message));
      expect(() => vf.removeVlan(vlan)).toThrow(new RangeError(message));
    }
    expect(() => vf.joinMulticast('02:00:00:00:00:01')).toThrow(
      /expected a group address, got 02:00/,
    );
    expect(() => vf.joinMulticast('239.0.0.1')).toThrow(/multicast group: expected .*239\.0\.0\.1/);
    for (const mac of ['', 'x', '01:00:5e:00:00:01', '00:00:00:00:00:00', '02:00:00:00:00:01:02']) {
      expect(() => vf.setMac(mac)).toThrow(/mac: expected/);
    }
    expect(device.requests.length).toBe(sent);
    expect(vf.mac).toBe('02:09:c0:00:00:00');
  });

  it("a debug mempool refuses buffers that are not the caller's", async () => {
    const rig = rigOf({ vfs: 1 });
    const own = rig.mempool({ count: 128, debug: true });
    const other = rig.mempool({ count: 1 });
    const vf = await rig.open(0, 0, { mempool: own });
    const foreign = other.take();
    expect(() => own.give(foreign)).toThrow(
      /buffer: expected one of this mempool \(\d+ to \d+\), got/,
    );
    expect(() => vf.tx[0].batch(Int32Array.of(foreign), 0, 1)).toThrow(RangeError);
    other.give(foreign);
    const buf = own.take();
    own.give(buf);
    expect(() => own.give(buf)).toThrow(
      /expected one the caller owns, got one that was given back/,
    );
    expect(() => vf.tx[0].batch(Int32Array.of(buf), 0, 1)).toThrow(RangeError);
  });

  it('every method of a closed device says so', async () => {
    const rig = rigOf({ vfs: 1 });
    const vf = await rig.open(0, 0);
    vf.close();
    const bufs = new Int32Array(1);
    const calls: (() => unknown)[] = [
      () => vf.link(),
      () => vf.stats(),
      () => vf.checkHealth(),
      () => vf.setMac('02:00:00:00:00:01'),
      () => vf.addVlan(1),
      () => vf.removeVlan(1),
      () => vf.joinMulticast('01:00:5e:00:00:01'),
      () => vf.start(),
      () => vf.stop(),
      () => vf.restart(),
      () => vf.rx[0].batch(bufs, 0, 1),
      () => vf.tx[0].batch(bufs, 0, 1),
      () => vf.tx[0].batchWait(bufs, 0, 1, 1),
      () => vf.tx[0].clean(),
    ];
    for (const call of calls) {
      const error = thrown(call);
      expect(error).toBeInstanceOf(VfioError);
      expect(error.message).toMatch(
        /\(model:0\.0\): expected an open device, got a closed one; open it again/,
      );
    }
    vf.close();
    expect(vf.rx[0].closed && vf.tx[0].closed).toBe(true);
    expect(vf.rx[0].counters.packets).toBe(0);
  });
});

describe('a model', () => {
  it.each([
    [{ ports: [] }, /expected 1 to 256 ports, got 0/],
    [{ ports: [{ vfs: 0 }] }, /port 0: expected 1 to 63 VFs, got 0/],
    [{ ports: [{ vfs: 64 }] }, /got 64/],
    [{ ports: [{ vfs: 1, wire: 'nonsense' }] }, /port spec "nonsense": expected one of none, gen/],
    [
      { ports: [{ vfs: 1, wire: 'gen:size=63' }] },
      /expected size= an integer from 64 to 9728, got "63"/,
    ],
    [{ ports: [{ vfs: 1, wire: 'gen:vf=1' }] }, /expected vf= below 1/],
    [{ ports: [{ vfs: 1, wire: 'tap:x' }] }, /cannot open one/],
    [{ ports: [{ vfs: 1, pfMtu: 67 }] }, /pfMtu: expected 68 to 9710, got 67/],
  ])('%j is refused', (options, message) => {
    expect(() => createModel(options)).toThrow(RangeError);
    expect(() => createModel(options)).toThrow(message);
  });

  it('refuses a capture that is not there, and names it', () => {
    const path = join(dir, 'missing.pcap');
    const error = thrown(() => createModel({ ports: [{ vfs: 1, wire: `pcap:${path}` }] }));
    expect(error).toBeInstanceOf(VfioError);
    expect(error).toMatchObject({ errno: 2 });
    expect(error.message).toContain(path);
  });

  it.each([
    ['empty', new Uint8Array(0)],
    ['text', new TextEncoder().encode('this is no capture at all, but text')],
    ['pcapng', Uint8Array.of(0x0a, 0x0d, 0x0d, 0x0a, ...new Uint8Array(24))],
    ['cut short in its header', Uint8Array.of(0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0)],
  ])('refuses a capture that is %s, and names it', (name, bytes) => {
    const path = join(dir, `${name.replaceAll(' ', '-')}.pcap`);
    writeFileSync(path, bytes);
    const error = thrown(() => createModel({ ports: [{ vfs: 1, wire: `pcap:${path}` }] }));
    expect(error).toBeInstanceOf(PcapError);
    expect(error.message).toContain(path);
    expect(error.message).toMatch(/expected/);
  });
});

describe('ixy l2fwd', () => {
  it.each([
    [['--batch', '0'], /--batch: expected an integer from 1 to 256, got '0'/],
    [['--batch', '257'], /got '257'/],
    [['--batch', '1.5'], /got '1\.5'/],
    [['--batch', 'many'], /got 'many'/],
    [['--queues', '0'], /--queues: expected an integer from 1 to 8, got '0'/],
    [['--duration', '0'], /--duration: expected seconds above 0 .*, got '0'/],
    [['--bogus'], /--bogus.*see 'ixy l2fwd --help'/],
    [['model:0.0'], /expected two addresses or none, got one: model:0\.0/],
    [['model:0.0', 'model:0.0'], /expected two different devices/],
    [['model:0.0', 'model:1.0', 'model:2.0'], /expected at most 2 arguments beside options, got 3/],
  ])('%j is bad usage', async (argv, message) => {
    const run = async (): Promise<number> => l2fwd.run(parseCommandLine(l2fwd, argv));
    await expect(run()).rejects.toThrow(UsageError);
    await expect(run()).rejects.toThrow(message);
  });
});

function modelOf(vfs: number): LocalModel {
  return createModel({ ports: [{ vfs }] });
}

function thrown(work: () => unknown): Error {
  try {
    work();
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error('expected an Error to be thrown');
}

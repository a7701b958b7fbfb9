import { afterEach, describe, expect, test } from 'vitest';
import type { VfOptions } from '../../src/ixgbevf/options.ts';
import { type IxgbeVf, openVf } from '../../src/ixgbevf/vf.ts';
import { processArena } from '../../src/memory/arena.ts';
import { createMempool, destroyMempool } from '../../src/memory/mempool.ts';
import { silentLog } from '../../src/support/log.ts';
import { linuxPf, ScriptedDevice } from '../support/scripted-device.ts';

const VFLINKS = 0x0010;
const arena = processArena();
const opened: IxgbeVf[] = [];

afterEach(() => {
  for (const vf of opened.splice(0)) vf.close();
});

async function open(device: ScriptedDevice, options: VfOptions = {}): Promise<IxgbeVf> {
  device.words.set(VFLINKS, 0x70000000);
  const vf = await openVf(device, arena, { clock: device.clock, ...options });
  opened.push(vf);
  return vf;
}

/** Refuses to open, and leaves neither memory nor the device behind. */
async function refuses(device: ScriptedDevice, options: VfOptions, message: RegExp): Promise<void> {
  const used = arena.dmaUsedBytes;
  await expect(open(device, options)).rejects.toThrow(message);
  expect(arena.dmaUsedBytes).toBe(used);
  expect(device.isClosed).toBe(true);
  expect(device.mapped).toEqual([]);
}

describe('open refuses', () => {
  test('bad options, before any register is written', async () => {
    const device = new ScriptedDevice();
    await refuses(device, { rxRingSize: 100 }, /rxRingSize/);
    expect(device.writes).toEqual([]);
  });

  test('a device that is no VF, before any register is written', async () => {
    const device = new ScriptedDevice();
    device.deviceId = 0x10fb;
    await refuses(device, {}, /device id/);
    expect(device.writes).toEqual([]);
  });

  test('more queues than the PF grants, naming both numbers', async () => {
    await refuses(new ScriptedDevice(), { rxQueues: 4 }, /rxQueues: expected at most 2.*got 4/);
    await refuses(new ScriptedDevice(), { txQueues: 8 }, /txQueues: expected at most 2.*got 8/);
  });

  test('a frame size that the PF refuses', async () => {
    const device = new ScriptedDevice();
    device.pf = linuxPf({ nack: [0x05] });
    await refuses(device, {}, /SET_LPE: nack.*1518/);
  });

  test('a MAC that the PF refuses', async () => {
    const device = new ScriptedDevice();
    device.pf = linuxPf({ nack: [0x02] });
    await refuses(device, { mac: '02:00:00:00:00:07' }, /SET_MAC_ADDR: nack/);
  });

  test('a PF that stays silent', async () => {
    const device = new ScriptedDevice();
    device.pf = () => undefined;
    await refuses(device, {}, /RESET: timeout/);
  });

  test('a port that stays in reset, after three attempts at most', async () => {
    const device = new ScriptedDevice();
    const pf = linuxPf();
    device.pf = (words) => (words[0] === 0x08 ? [0x40000008] : pf(words));
    await refuses(device, {}, /API_NEGOTIATE: reset/);
    expect(device.written(0x0000)).toHaveLength(4);
  });

  test('a device that cannot be a bus master', async () => {
    const device = new ScriptedDevice();
    device.writeConfig16 = () => {};
    await refuses(device, {}, /BusMaster/);
  });

  test('a device that is gone', async () => {
    const device = new ScriptedDevice();
    device.gone = true;
    device.command = 4;
    await refuses(device, {}, /gone/);
  });
});

describe('open', () => {
  test('brings the VF up in the order a PF needs', async () => {
    const device = new ScriptedDevice();
    const vf = await open(device);
    expect(device.opcodes()).toEqual([0x01, 0x08, 0x08, 0x08, 0x09, 0x0c, 0x04, 0x05, 0x10]);
    expect(vf.mac).toBe('02:09:c0:00:00:01');
    expect([...vf.macBytes]).toEqual([2, 9, 0xc0, 0, 0, 1]);
    expect(vf).toMatchObject({ apiVersion: '1.4', maxQueues: 2, running: true, macAssigned: true });
    expect(vf.rx).toHaveLength(1);
    expect(vf.tx).toHaveLength(1);
    expect(device.command & 6).toBe(6);
  });

  test('sends SET_LPE before the first rx queue is enabled, and arms the tail last', async () => {
    const device = new ScriptedDevice();
    await open(device);
    const find = (offset: number, value: number): number =>
      device.writes.findIndex(([at, written]) => at === offset && written === value);
    const lpe = find(0x0200, 0x05);
    const enable = find(0x1028, 0x02000000);
    const tail = find(0x1018, 511);
    expect(lpe).toBeGreaterThan(0);
    expect(enable).toBeGreaterThan(lpe);
    expect(tail).toBeGreaterThan(enable);
  });

  test('goes on without a queue that does not start, says so, and starts it when ENABLE reads 1', async () => {
    const device = new ScriptedDevice();
    device.readAs.set(0x1028, () => 0);
    device.readAs.set(0x2028, () => 0);
    const warnings: string[] = [];
    const log = { ...silentLog, warn: (text: string) => void warnings.push(text) };
    const vf = await open(device, { log });
    expect(warnings.filter((text) => text.includes('queue 0 does not start'))).toHaveLength(2);
    expect(vf.running).toBe(true);
    const calm = { resetNeeded: false, resetReason: '' };
    expect(vf.checkHealth()).toMatchObject(calm);
    expect([device.written(0x1018), device.written(0x2018)].flat()).toEqual([0, 0, 0, 0]);
    device.readAs.clear();
    expect(vf.checkHealth()).toMatchObject(calm);
    expect(device.written(0x1018).at(-1)).toBe(511);
    expect(device.written(0x2018).at(-1)).toBe(1);
    device.words.set(0x2028, 0);
    expect(vf.checkHealth().resetReason).toContain('tx queue 0');
  });

  test('maps memory only after the queues of an earlier driver were stopped', async () => {
    const device = new ScriptedDevice();
    device.words.set(0x1028, 0x02000000);
    let enabledWhenMapped = true;
    const mapDma = device.mapDma.bind(device);
    device.mapDma = (mapping) => {
      enabledWhenMapped = device.words.get(0x1028) !== 0;
      mapDma(mapping);
    };
    await open(device);
    expect(device.mapped.length).toBeGreaterThan(0);
    expect(enabledWhenMapped).toBe(false);
  });

  test('starts again when the port resets during the negotiation', async () => {
    const device = new ScriptedDevice();
    const pf = linuxPf();
    let resets = 0;
    device.pf = (words) => {
      if (words[0] === 0x09 && resets++ === 0) {
        device.control |= 0x40;
        device.clock.after(20_000, () => {
          device.control = 0x80;
        });
        return undefined;
      }
      return pf(words);
    };
    const vf = await open(device);
    expect(vf.running).toBe(true);
    expect(device.opcodes().filter((opcode) => opcode === 0x01)).toHaveLength(2);
  });

  test('lives with a PF of API 1.0 that refuses all that is optional', async () => {
    const device = new ScriptedDevice();
    device.pf = linuxPf({ nack: [0x04, 0x08, 0x09, 0x0c, 0x10] });
    const vf = await open(device);
    expect(vf).toMatchObject({ apiVersion: '1.0', maxQueues: 1, running: true });
    expect(vf.link().up).toBe(true);
  });

  test('uses several queues, each with a mempool of its own', async () => {
    const device = new ScriptedDevice();
    device.pf = linuxPf({ queues: 4 });
    const vf = await open(device, { rxQueues: 4, txQueues: 2, rxRingSize: 64, txRingSize: 64 });
    expect(vf.rx).toHaveLength(4);
    expect(vf.tx).toHaveLength(2);
    expect(vf.mempools).toHaveLength(4);
    expect(device.words.get(0x0300)).toBe(0x40001330);
    for (let q = 0; q < 4; q++) expect(device.words.get(0x1018 + 0x40 * q)).toBe(63);
    for (const mempool of vf.mempools) expect(mempool.available).toBe(mempool.count - 64);
  });

  test('with the link down opens all the same and says so', async () => {
    const device = new ScriptedDevice();
    const vf = await open(device);
    device.words.set(VFLINKS, 0);
    expect(vf.link()).toEqual({ up: false, speedMbps: 0, enabled: true });
    expect(vf.checkHealth()).toMatchObject({ resetNeeded: false, stuck: [] });
  });

  test('shows a link that the host disabled', async () => {
    const device = new ScriptedDevice();
    device.pf = linuxPf({ linkEnabled: false });
    const vf = await open(device);
    expect(vf.link()).toEqual({ up: false, speedMbps: 10_000, enabled: false });
  });
});

describe('stop, start, restart', () => {
  test('stop gives every buffer back and keeps the registration; start fills the rings again', async () => {
    const device = new ScriptedDevice();
    const vf = await open(device, { rxRingSize: 64, txRingSize: 64 });
    const messages = device.messages.length;
    vf.stop();
    expect(vf.running).toBe(false);
    expect(vf.mempool.available).toBe(vf.mempool.count);
    expect(vf.rx[0].batch(new Int32Array(8), 0, 8)).toBe(0);
    vf.start();
    expect(vf.running).toBe(true);
    expect(vf.mempool.available).toBe(vf.mempool.count - 64);
    expect(device.messages).toHaveLength(messages);
  });

  test('a queue that does not stop keeps its buffers and asks for a restart', async () => {
    const device = new ScriptedDevice();
    const vf = await open(device, { rxRingSize: 64 });
    device.readAs.set(0x1028, () => 0x02000000);
    expect(() => vf.stop()).toThrow(/VFRXDCTL\(0\)/);
    expect(vf.mempool.available).toBe(vf.mempool.count - 64);
    expect(() => vf.start()).toThrow(/restart/);
    expect(vf.checkHealth().resetNeeded).toBe(true);
    device.readAs.clear();
    vf.restart();
    expect(vf.running).toBe(true);
    expect(vf.mempool.available).toBe(vf.mempool.count - 64);
  });

  test('after a PF reset health asks for a restart, which brings MAC, VLANs and groups back', async () => {
    const device = new ScriptedDevice();
    device.rstd = true;
    device.pf = linuxPf({ mac: undefined });
    const vf = await open(device, { rxRingSize: 64 });
    const mac = vf.mac;
    vf.addVlan(9);
    vf.joinMulticast('01:00:5e:00:00:01');
    device.control |= 0x80;
    const health = vf.checkHealth();
    expect(health.resetNeeded).toBe(true);
    expect(health.resetReason).toContain('reset');
    expect(health.link.up).toBe(false);
    expect(() => vf.addVlan(10)).toThrow(/SET_VLAN: reset/);
    device.messages.length = 0;
    device.command = 0;
    vf.restart();
    expect(vf.mac).toBe(mac);
    expect(device.command & 6).toBe(6);
    expect(device.messages).toContainEqual([0x00010004, 9]);
    // The API version is asked for once: the PF took it before.
    expect(device.opcodes()).toEqual([0x01, 0x08, 0x09, 0x02, 0x0c, 0x03, 0x04, 0x04, 0x05, 0x10]);
    expect(vf.checkHealth()).toMatchObject({ resetNeeded: false, resetReason: '' });
    expect(vf.link().up).toBe(true);
  });

  test('a restart that fails leaves the VF down, and another one can bring it back', async () => {
    const device = new ScriptedDevice();
    const vf = await open(device, { rxRingSize: 64 });
    const { pf } = device;
    device.pf = () => undefined;
    expect(() => vf.restart()).toThrow(/timeout/);
    expect(vf.running).toBe(false);
    expect(vf.checkHealth().resetNeeded).toBe(true);
    expect(vf.mempool.available).toBe(vf.mempool.count);
    device.pf = pf;
    vf.restart();
    expect(vf.running).toBe(true);
  });

  test('a MAC set later is kept over a restart', async () => {
    const device = new ScriptedDevice();
    const vf = await open(device);
    vf.setMac('02:00:00:00:00:42');
    expect(vf.mac).toBe('02:00:00:00:00:42');
    device.messages.length = 0;
    vf.restart();
    expect(vf.mac).toBe('02:00:00:00:00:42');
    expect(device.messages).toContainEqual([0x02, 0x00000002, 0x4200]);
  });

  test('counters that a port reset cleared are not counted as a wrap', async () => {
    const device = new ScriptedDevice();
    device.rstd = true;
    const vf = await open(device);
    device.words.set(0x101c, 1000);
    expect(vf.stats().rxPackets).toBe(1000);
    device.words.set(0x101c, 5);
    device.control |= 0x80;
    expect(vf.stats().rxPackets).toBe(1000);
    vf.restart();
    device.words.set(0x101c, 7);
    expect(vf.stats().rxPackets).toBe(1002);
  });
});

describe('health', () => {
  test('names a tx queue that makes no progress', async () => {
    const device = new ScriptedDevice();
    const vf = await open(device, { stuckAfterMs: 200 });
    // The scripted device never moves a head: the context descriptor is pending for ever.
    expect(vf.checkHealth().stuck).toEqual([]);
    device.clock.sleepUs(250_000);
    expect(vf.checkHealth().stuck).toMatchObject([{ queue: 0, head: 0, tail: 1, pending: 1 }]);
    device.words.set(0x2010, 1);
    expect(vf.checkHealth().stuck).toEqual([]);
  });

  test('a queue that the PF switched off asks for a restart', async () => {
    const device = new ScriptedDevice();
    const vf = await open(device);
    device.words.set(0x2028, 0);
    expect(vf.checkHealth()).toMatchObject({
      resetNeeded: true,
      resetReason: 'tx queue 0 was disabled by the PF',
    });
  });

  test('a device that is gone throws from health, link and stats', async () => {
    const device = new ScriptedDevice();
    const vf = await open(device);
    device.gone = true;
    expect(() => vf.checkHealth()).toThrow(/gone/);
    expect(() => vf.link()).toThrow(/gone/);
    expect(() => vf.stats()).toThrow(/gone/);
  });
});

describe('close', () => {
  test('stops, resets, unmaps and frees before it lets the device go, once', async () => {
    const used = arena.dmaUsedBytes;
    const device = new ScriptedDevice();
    const vf = await open(device);
    device.calls.length = 0;
    vf.close();
    vf.close();
    expect(device.calls[0]).toBe('disableVectors');
    expect(device.calls[1]).toBe('reset');
    expect(device.calls.filter((call) => call === 'close')).toHaveLength(1);
    expect(device.calls.at(-1)).toBe('close');
    expect(device.mapped).toEqual([]);
    expect(device.words.get(0x1028)).toBe(0);
    // A PF that finds anything else in VFTXDCTL at the reset sets ENABLE for a moment.
    const order = device.writes.filter(([offset]) => offset === 0x2028 || offset === 0);
    expect(order.slice(-3)).toEqual([
      [0x2028, 0x04000000],
      [0x2028, 0],
      [0, 0x04000000],
    ]);
    expect(device.written(0x0000)).toEqual([0x04000000, 0x04000000]);
    expect(arena.dmaUsedBytes).toBe(used);
  });

  test('every later call throws', async () => {
    const vf = await open(new ScriptedDevice());
    vf.close();
    expect(vf.closed).toBe(true);
    const calls: (() => unknown)[] = [
      () => vf.link(),
      () => vf.stats(),
      () => vf.checkHealth(),
      () => vf.start(),
      () => vf.stop(),
      () => vf.restart(),
      () => vf.setMac('02:00:00:00:00:01'),
      () => vf.addVlan(1),
      () => vf.rx[0].batch(new Int32Array(1), 0, 1),
      () => vf.tx[0].batch(new Int32Array(1), 0, 1),
    ];
    for (const call of calls) expect(call).toThrow(/closed/);
  });

  test('a device that is gone is closed before its memory is freed', async () => {
    const used = arena.dmaUsedBytes;
    const device = new ScriptedDevice();
    const vf = await open(device);
    device.gone = true;
    let usedAtClose = 0;
    const close = device.close.bind(device);
    device.close = () => {
      usedAtClose ||= arena.dmaUsedBytes;
      close();
    };
    vf.close();
    expect(usedAtClose).toBeGreaterThan(used);
    expect(arena.dmaUsedBytes).toBe(used);
  });

  test('a step that fails does not keep the later ones from happening', async () => {
    const used = arena.dmaUsedBytes;
    const device = new ScriptedDevice();
    const vf = await open(device);
    for (const method of ['disableVectors', 'reset', 'unmapDma']) device.broken.add(method);
    vf.close();
    expect(device.isClosed).toBe(true);
    expect(arena.dmaUsedBytes).toBe(used);
  });

  test('memory that nobody can vouch for is kept, and the log says so', async () => {
    const used = arena.dmaUsedBytes;
    const device = new ScriptedDevice();
    const warnings: string[] = [];
    const log = { debug: () => {}, info: () => {}, warn: (line: string) => warnings.push(line) };
    const vf = await open(device, { log });
    device.gone = true;
    device.broken.add('close');
    vf.close();
    expect(arena.dmaUsedBytes).toBeGreaterThan(used);
    expect(warnings.join('\n')).toContain('kept');
  });

  test("a mempool of the caller's is left alone and whole", async () => {
    const mempool = createMempool(arena, { count: 600 });
    const vf = await open(new ScriptedDevice(), { mempool });
    expect(mempool.available).toBe(600 - 512);
    vf.close();
    expect(mempool.available).toBe(600);
    destroyMempool(arena, mempool);
  });

  test('an own mempool with buffers still out is kept, and the log says how many', async () => {
    const warnings: string[] = [];
    const log = { debug: () => {}, info: () => {}, warn: (line: string) => warnings.push(line) };
    const vf = await open(new ScriptedDevice(), { log });
    vf.mempool.take();
    vf.close();
    expect(warnings.join('\n')).toContain('1 of its 2048 buffers');
  });
});

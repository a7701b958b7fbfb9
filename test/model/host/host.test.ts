// The host of a model in this process: VFs that are taken away from whoever holds them and come back, and the words.

import { afterEach, describe, expect, it } from 'vitest';
import { openVf } from '../../../src/ixgbevf/vf.ts';
import { processArena } from '../../../src/memory/arena.ts';
import { parseWords, WORD_FORMS } from '../../../src/model/host/words.ts';
import { LocalModel } from '../../../src/model/local-model.ts';
import { VfioError } from '../../../src/support/errors.ts';
import { SteppingClock } from '../../support/stepping-clock.ts';

const REMOVAL = 1;
const ERROR = 2;
const clock = new SteppingClock(() => void model?.step());
let model: LocalModel | undefined;

afterEach(() => {
  model?.close();
  model = undefined;
});

function twoVfs(): LocalModel {
  model = new LocalModel(processArena(), {
    ports: [{ vfs: 2, wire: 'gen' }, { vfs: 1 }],
    clock: clock.model,
  });
  return model;
}

function say(words: string): void {
  if (model === undefined) throw new Error('no model');
  parseWords(words.split(' '))(model.host);
}

describe('a VF that is unplugged', () => {
  it('is asked for, is gone once it is closed, and opens again after plug', async () => {
    const { host } = twoVfs();
    const device = deviceOf(0, 0);
    const vf = await openVf(device, processArena(), { clock });
    host.unplug(0, 0);
    expect(device.takeEvents()).toBe(REMOVAL);
    expect([host.presence(0, 0), host.taken(0, 0), host.presence(0, 1)]).toEqual([
      'leaving',
      true,
      'plugged',
    ]);
    vf.close();
    model?.step();
    expect(host.presence(0, 0)).toBe('unplugged');
    const refused = (): unknown => model?.device(0, 0);
    expect(refused).toThrow(VfioError);
    expect(refused).toThrow(/model:0\.0.*ENODEV.*wait until the host plugs it in/);
    host.plug(0, 0);
    const again = await openVf(deviceOf(0, 0), processArena(), { clock });
    const bufs = new Int32Array(8);
    model?.step();
    expect(again.rx[0].batch(bufs, 0, 8)).toBe(8);
    again.mempool.giveBatch(bufs, 0, 8);
    again.close();
    expect(model?.recorder.violations).toEqual([]);
  });

  it('is taken after a second from one that keeps it, who then reads all ones', async () => {
    const { host } = twoVfs();
    const device = deviceOf(0, 0);
    const vf = await openVf(device, processArena(), { clock });
    host.unplug(0, 0);
    clock.pass(999_000);
    expect(device.read32(0x8)).not.toBe(0xffffffff);
    clock.pass(2000);
    expect(host.presence(0, 0)).toBe('unplugged');
    const tail = (device.pageOffset(2) + 0x18) >>> 2;
    expect([device.read32(0x8), processArena().views.u32[tail]]).toEqual([0xffffffff, 0xffffffff]);
    // The model goes on, port resets included, and leaves those words alone.
    model?.pf(0).reset();
    for (let i = 0; i < 10; i++) model?.step();
    expect(processArena().views.u32[tail]).toBe(0xffffffff);
    // A new holder is not disturbed by what the old one still does.
    host.plug(0, 0);
    const again = deviceOf(0, 0);
    device.close();
    expect(host.taken(0, 0)).toBe(true);
    vf.close();
    again.close();
    expect(host.taken(0, 0)).toBe(false);
    expect(model?.recorder.violations).toEqual([]);
  });

  it('goes at once where nobody holds it, and only once', () => {
    const { host } = twoVfs();
    expect(() => host.plug(0, 1)).toThrow(/0\.1: expected one that is unplugged, got .* plugged/);
    host.unplug(0, 1);
    expect(host.presence(0, 1)).toBe('unplugged');
    expect(() => host.unplug(0, 1)).toThrow(/expected one that is plugged in, got .* unplugged/);
    expect(() => host.unplug(1, 1)).toThrow(/port 1: expected a VF from 0 to 0, got 1/);
    expect(() => host.unplug(2, 0)).toThrow(/a port from 0 to 1, got 2/);
    expect(() => host.plug(0, -1)).toThrow(RangeError);
  });
});

describe('words', () => {
  it('are read before they are done, and done to the port and VF that they name', () => {
    const { host } = twoVfs();
    const first = host.pf(0);
    const act = parseWords(['0', 'vf', '1', 'vlan', '7', 'qos', '3']);
    expect(first.settings()[1]).toMatchObject({ portVlan: 0 });
    act(host);
    expect(first.settings()[1]).toMatchObject({ portVlan: 7, portPriority: 3 });
    say('0 vf 1 vlan 0');
    say('0 vf 0 mac none');
    say('0 vf 0 trust on');
    say('0 tc 4 default 2');
    say('0 cable out');
    expect(first.settings()).toMatchObject([
      { trusted: true, mac: new Uint8Array(6) },
      { portVlan: 0, portPriority: 0 },
    ]);
    expect(first.trafficClasses).toEqual({ classes: 4, defaultClass: 2 });
    expect(() => say('0 vf 0 rate 100')).toThrow(/a port with a link/);
    say('0 vf 0 mac 00:00:00:00:00:00');
    expect(first.adminMac(0)).toBeNull();
  });

  it('an error reaches who holds the VF', () => {
    twoVfs();
    const device = deviceOf(1, 0);
    say('1 vf 0 error');
    say('0 vf 0 error');
    expect(device.takeEvents()).toBe(ERROR);
    device.close();
  });

  it('have a form each, and every form is understood', () => {
    expect(WORD_FORMS).toHaveLength(16);
    const example = (form: string): string =>
      form
        .replace(/^PORT/, '0')
        .replace(/vf VF/, 'vf 1')
        .replace(/MAC\|none/, 'none')
        .replace(/ (\w+)\|\S+/, ' $1')
        .replace(/\b(N|ID|MBIT|CLASS|P)\b/g, '0')
        .replace(/[[\]]/g, '');
    for (const form of WORD_FORMS) {
      expect(() => parseWords(example(form).split(' ')), example(form)).not.toThrow();
    }
  });
});

function deviceOf(port: number, vf: number): ReturnType<LocalModel['device']> {
  if (model === undefined) throw new Error('no model');
  return model.device(port, vf);
}

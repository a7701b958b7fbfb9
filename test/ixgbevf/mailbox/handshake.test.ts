import { describe, expect, test } from 'vitest';
import {
  type MacChoice,
  type Registration,
  register as registering,
  resetVf as resetting,
} from '../../../src/ixgbevf/mailbox/handshake.ts';
import { Mailbox } from '../../../src/ixgbevf/mailbox/mailbox.ts';
import { DeviceError } from '../../../src/support/errors.ts';
import { silentLog } from '../../../src/support/log.ts';
import { formatMac } from '../../../src/support/mac.ts';
import { finish } from '../../../src/support/poll.ts';
import { linuxPf, ScriptedDevice } from '../../support/scripted-device.ts';

const noWish: MacChoice = { chosen: undefined, fallback: undefined };

const resetVf = (...args: Parameters<typeof resetting>): void => finish(resetting(...args));
const register = (...args: Parameters<typeof registering>): Registration =>
  finish(registering(...args));

function setup(): { device: ScriptedDevice; mailbox: Mailbox } {
  const device = new ScriptedDevice();
  return { device, mailbox: new Mailbox(device, device.clock) };
}

describe('resetVf', () => {
  test('a port that stays in reset is a DeviceError after 1 s that names RSTI', () => {
    const { device, mailbox } = setup();
    device.control = 0x40;
    expect(() => resetVf(device, mailbox, device.clock)).toThrow(/RSTI.*last saw 0x1/);
    expect(device.clock.nowUs()).toBeLessThan(1_200_000);
  });

  test('a queue that does not stop is a DeviceError that names it', () => {
    const { device, mailbox } = setup();
    device.readAs.set(0x2028 + 0x40 * 1, () => 0x02000000);
    expect(() => resetVf(device, mailbox, device.clock)).toThrow(/VFTXDCTL\(1\)\.ENABLE.*wanted 0/);
  });

  test('a queue beyond the first two may read as anything: the PF has granted none yet', () => {
    const { device, mailbox } = setup();
    for (const q of [2, 3, 7]) {
      device.readAs.set(0x1028 + 0x40 * q, () => 0xffffffff);
      device.readAs.set(0x2028 + 0x40 * q, () => 0x02000000);
    }
    resetVf(device, mailbox, device.clock);
    expect(device.written(0x1028 + 0x40 * 7)).toEqual([0x40000000, 0]);
  });

  test('a function that answers nothing for a while after its reset is waited for', () => {
    const { device, mailbox } = setup();
    const write32 = device.write32.bind(device);
    device.write32 = (offset, value) => {
      write32(offset, value);
      if (offset !== 0) return;
      device.gone = true;
      device.clock.after(80_000, () => {
        device.gone = false;
      });
    };
    resetVf(device, mailbox, device.clock);
    expect(device.clock.nowUs()).toBeGreaterThanOrEqual(80_000);
  });

  test('a function that answers no more after its reset is gone', () => {
    const { device, mailbox } = setup();
    const write32 = device.write32.bind(device);
    device.write32 = (offset, value) => {
      write32(offset, value);
      if (offset === 0) device.gone = true;
    };
    expect(() => resetVf(device, mailbox, device.clock)).toThrow(
      /VFSTATUS.*device gone: scripted:0/,
    );
    expect(device.clock.nowUs()).toBeLessThan(1_100_000);
  });

  test.each([20, 60, 1000, 40_000])(
    'RSTD that shows %d us after RST is waited for and taken',
    (us) => {
      const { device, mailbox } = setup();
      device.clock.after(us, () => {
        device.control |= 0x80;
      });
      resetVf(device, mailbox, device.clock);
      expect(device.clock.nowUs()).toBeGreaterThanOrEqual(us);
      expect(device.control).toBe(0);
      expect(device.clock.nowUs()).toBeLessThan(50_000);
    },
  );

  test('RSTD that never shows costs 50 ms', () => {
    const { device, mailbox } = setup();
    resetVf(device, mailbox, device.clock);
    expect(device.clock.nowUs()).toBeLessThan(51_000);
  });

  test('a device that is gone is a DeviceError at once', () => {
    const { device, mailbox } = setup();
    device.gone = true;
    expect(() => resetVf(device, mailbox, device.clock)).toThrow(DeviceError);
    expect(device.clock.nowUs()).toBe(0);
  });

  test('it waits while RSTI stands, takes RSTD away, and goes on', () => {
    const { device, mailbox } = setup();
    device.control = 0x40;
    device.clock.after(20_000, () => {
      device.control = 0x80;
    });
    resetVf(device, mailbox, device.clock);
    expect(device.clock.nowUs()).toBeGreaterThanOrEqual(20_000);
    expect(device.control).toBe(0);
    expect(mailbox.lost).toBe('');
  });

  test('queues are off and interrupts masked before VFCTRL.RST is written', () => {
    const { device, mailbox } = setup();
    for (let q = 0; q < 8; q++) {
      device.words.set(0x1028 + 0x40 * q, 0x42000000);
      device.words.set(0x2028 + 0x40 * q, 0x02000020);
    }
    let atReset: number[] | undefined;
    const write32 = device.write32.bind(device);
    device.write32 = (offset, value) => {
      if (offset === 0 && value === 0x04000000) {
        atReset = [];
        for (let q = 0; q < 8; q++) {
          atReset.push(device.words.get(0x1028 + 0x40 * q) ?? -1);
          atReset.push(device.words.get(0x2028 + 0x40 * q) ?? -1);
        }
      }
      write32(offset, value);
    };
    resetVf(device, mailbox, device.clock);
    expect(atReset).toEqual(new Array(8).fill([0x40000000, 0]).flat());
    expect(device.written(0x010c)).toEqual([7]);
  });

  test('every register that a reset leaves alone is written for all 8 queues', () => {
    const { device, mailbox } = setup();
    const survivors: [number, number][] = [
      [0x100c, 0x200],
      [0x1010, 0],
      [0x1014, 0x02000402],
      [0x1018, 0],
      [0x1028, 0],
      [0x200c, 0x2200],
      [0x2010, 0],
      [0x2018, 0],
      [0x2028, 0],
      [0x2038, 0],
      [0x203c, 0],
    ];
    for (let q = 0; q < 8; q++) {
      for (const [offset] of survivors) device.words.set(offset + 0x40 * q, 0x5555);
    }
    device.words.set(0x0300, 0x5555);
    resetVf(device, mailbox, device.clock);
    expect(device.words.get(0x0300)).toBe(0);
    for (let q = 0; q < 8; q++) {
      for (const [offset, value] of survivors) {
        expect([offset, q, device.words.get(offset + 0x40 * q)]).toEqual([offset, q, value]);
      }
    }
  });
});

describe('register', () => {
  test('a MAC the host assigned is taken, and not sent back', () => {
    const { device, mailbox } = setup();
    const registration = register(mailbox, noWish, silentLog);
    expect(formatMac(registration.mac)).toBe('02:09:c0:00:00:01');
    expect(registration.macAssigned).toBe(true);
    expect(device.opcodes()).not.toContain(0x02);
  });

  test('without an assigned MAC a random one is set at the PF', () => {
    const { device, mailbox } = setup();
    device.pf = linuxPf({ mac: undefined });
    const registration = register(mailbox, noWish, silentLog);
    expect(registration.macAssigned).toBe(false);
    expect(registration.mac[0] & 3).toBe(2);
    const sent = device.messages.find((words) => words[0] === 0x02);
    expect((sent?.[1] ?? 0) & 0xff).toBe(registration.mac[0]);
    expect((sent?.[2] ?? 0) >>> 8).toBe(registration.mac[5]);
  });

  test('an all-zero MAC in an accepted RESET counts as none', () => {
    const { device, mailbox } = setup();
    device.pf = linuxPf({ mac: [0, 0] });
    const registration = register(mailbox, noWish, silentLog);
    expect(registration.macAssigned).toBe(false);
    expect(device.opcodes()).toContain(0x02);
  });

  test('the MAC of an earlier registration is kept where the host assigned none', () => {
    const { device, mailbox } = setup();
    device.pf = linuxPf({ mac: undefined });
    const fallback = Uint8Array.of(2, 0, 0, 0, 0, 9);
    const registration = register(mailbox, { chosen: undefined, fallback }, silentLog);
    expect(registration.mac).toEqual(fallback);
  });

  test('a random MAC that the PF refuses is a MailboxError', () => {
    const { device, mailbox } = setup();
    device.pf = linuxPf({ mac: undefined, nack: [0x02] });
    expect(() => register(mailbox, noWish, silentLog)).toThrow(/SET_MAC_ADDR: nack/);
  });

  test('a chosen MAC that the PF refuses is a MailboxError, one it assigned is not even asked for', () => {
    const { device, mailbox } = setup();
    device.pf = linuxPf({ nack: [0x02] });
    const other = { chosen: Uint8Array.of(2, 0, 0, 0, 0, 9), fallback: undefined };
    expect(() => register(mailbox, other, silentLog)).toThrow(/SET_MAC_ADDR: nack/);
    const same = { chosen: Uint8Array.of(2, 9, 0xc0, 0, 0, 1), fallback: undefined };
    expect(register(mailbox, same, silentLog).macAssigned).toBe(true);
  });

  test('RESET comes first, and API 1.0 asks for no queues', () => {
    const { device, mailbox } = setup();
    device.pf = linuxPf({ apiCode: 0 });
    const registration = register(mailbox, noWish, silentLog);
    expect(registration).toMatchObject({ apiVersion: '1.0', rxQueues: 1, txQueues: 1 });
    expect(device.opcodes()).toEqual([0x01, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08]);
  });

  test('an API version that the PF took before is where the next negotiation begins', () => {
    const { device, mailbox } = setup();
    expect(register(mailbox, noWish, silentLog, '1.4').apiVersion).toBe('1.4');
    expect(device.opcodes().filter((opcode) => opcode === 0x08)).toHaveLength(1);
    // Another PF, which is older.
    device.pf = linuxPf({ apiCode: 3 });
    expect(register(mailbox, noWish, silentLog, '1.4').apiVersion).toBe('1.2');
  });

  test('a port reset in the middle of the negotiation is a reset failure', () => {
    const { device, mailbox } = setup();
    const pf = linuxPf();
    device.pf = (words) => {
      if ((words[0] & 0xffff) !== 0x08) return pf(words);
      device.control |= 0x40;
      return undefined;
    };
    expect(() => register(mailbox, noWish, silentLog)).toThrow(/API_NEGOTIATE: reset/);
  });

  test('a PF that is silent to RESET is a time-out that points at its interface', () => {
    const { device, mailbox } = setup();
    device.pf = () => undefined;
    expect(() => register(mailbox, noWish, silentLog)).toThrow(/RESET: timeout.*interface/);
  });
});

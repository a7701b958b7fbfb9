import { describe, expect, test } from 'vitest';
import { Mailbox } from '../../../src/ixgbevf/mailbox/mailbox.ts';
import { DeviceError, MailboxError } from '../../../src/support/errors.ts';
import { finish } from '../../../src/support/poll.ts';
import { ScriptedDevice } from '../../support/scripted-device.ts';

const SET_LPE = 0x05;

function setup(): { device: ScriptedDevice; mailbox: Mailbox } {
  const device = new ScriptedDevice();
  return { device, mailbox: new Mailbox(device, device.clock) };
}

function failureOf(run: () => unknown): MailboxError {
  try {
    run();
  } catch (error) {
    if (error instanceof MailboxError) return error;
    throw error;
  }
  throw new Error('expected a MailboxError');
}

describe('refusals', () => {
  test('a NACK with CTS fails the request as nack and names it', () => {
    const { device, mailbox } = setup();
    device.pf = () => [0x60000005];
    const error = failureOf(() => finish(mailbox.request([SET_LPE, 1518], 1)));
    expect(error.failure).toBe('nack');
    expect(error.request).toBe('SET_LPE');
    expect(error.message).toContain('0x60000005');
    expect(mailbox.lost).toBe('');
  });

  test('a NACK without CTS means the PF lost this VF, and is left unacknowledged', () => {
    const { device, mailbox } = setup();
    device.pf = () => [0x40000005];
    expect(failureOf(() => finish(mailbox.request([SET_LPE, 1518], 1))).failure).toBe('reset');
    expect(mailbox.lost).not.toBe('');
    expect(device.acks).toBe(0);
  });

  test('the bare word 0x40000000 means the PF lost this VF', () => {
    const { device, mailbox } = setup();
    device.pf = () => [0x40000000];
    expect(failureOf(() => finish(mailbox.request([SET_LPE, 1518], 1))).failure).toBe('reset');
  });

  test('after a loss the next request fails without asking the PF, until the VF restarts', () => {
    const { device, mailbox } = setup();
    device.pf = () => [0x40000005];
    failureOf(() => finish(mailbox.request([SET_LPE, 1518], 1)));
    device.pf = (words) => [(words[0] | 0xa0000000) >>> 0];
    const error = failureOf(() => finish(mailbox.request([SET_LPE, 1518], 1)));
    expect(error.failure).toBe('reset');
    expect(error.message).toContain('restart');
    expect(device.messages).toHaveLength(1);
    mailbox.restart();
    expect(finish(mailbox.request([SET_LPE, 1518], 1))[0]).toBe(0xa0000005);
  });

  test('a silent PF fails the request after 1 s and the message says what was last seen', () => {
    const { device, mailbox } = setup();
    device.pf = () => undefined;
    const error = failureOf(() => finish(mailbox.request([SET_LPE, 1518], 1)));
    expect(error.failure).toBe('timeout');
    expect(error.message).toContain('VFMAILBOX 0x0');
    expect(device.clock.nowUs()).toBeGreaterThanOrEqual(1_000_000);
    expect(device.clock.nowUs()).toBeLessThan(1_100_000);
  });

  test('a time-out leaves the mailbox usable', () => {
    const { device, mailbox } = setup();
    device.pf = () => undefined;
    failureOf(() => finish(mailbox.request([SET_LPE, 1518], 1)));
    device.pf = () => [0xa0000005];
    expect(finish(mailbox.request([SET_LPE, 1518], 1))).toEqual([0xa0000005]);
  });

  test('a PF that never lets go of the buffer fails the request after 1 s, unsent', () => {
    const { device, mailbox } = setup();
    device.control = 0x08;
    const error = failureOf(() => finish(mailbox.request([SET_LPE, 1518], 1)));
    expect(error.failure).toBe('timeout');
    expect(error.message).toContain('0x8');
    expect(device.messages).toEqual([]);
  });

  test('a device that is gone is a DeviceError, not a time-out', () => {
    const { device, mailbox } = setup();
    device.pf = () => {
      device.gone = true;
      return undefined;
    };
    const run = () => finish(mailbox.request([SET_LPE, 1518], 1));
    expect(run).toThrow(DeviceError);
    expect(run).toThrow(/gone/);
    expect(device.clock.nowUs()).toBeLessThan(1000);
  });

  test('more than 16 words are a RangeError', () => {
    const { mailbox } = setup();
    expect(() => finish(mailbox.request(new Array<number>(17).fill(0), 1))).toThrow(RangeError);
  });
});

describe('resets', () => {
  test('RSTI in place of an answer fails the request as reset', () => {
    const { device, mailbox } = setup();
    device.pf = () => {
      device.control |= 0x40;
      return undefined;
    };
    expect(failureOf(() => finish(mailbox.request([SET_LPE, 1518], 1))).failure).toBe('reset');
  });

  test('RSTD in place of an answer fails the request as reset', () => {
    const { device, mailbox } = setup();
    device.pf = () => {
      device.clock.after(3000, () => {
        device.control |= 0x80;
      });
      return undefined;
    };
    expect(failureOf(() => finish(mailbox.request([SET_LPE, 1518], 1))).failure).toBe('reset');
    expect(device.clock.nowUs()).toBeLessThan(10_000);
  });

  test('while the VF registers, RSTD is late word of its own reset and fails nothing', () => {
    const { device, mailbox } = setup();
    mailbox.restart();
    device.control = 0x80;
    device.pf = () => {
      device.clock.after(3000, () => {
        device.control |= 0x80;
        device.deliver([0xa0000005]);
      });
      return undefined;
    };
    expect(finish(mailbox.request([SET_LPE, 1518], 1))).toEqual([0xa0000005]);
    expect(mailbox.lost).toBe('');
    mailbox.registered();
    device.control = 0x80;
    mailbox.look();
    expect(mailbox.lost).toContain('port was reset');
  });

  test("one RSTD after a reset of the VF is its own, however late; the next is the PF's", () => {
    const { device, mailbox } = setup();
    mailbox.restart();
    mailbox.registered();
    device.control = 0x80;
    mailbox.look();
    expect(mailbox.lost).toBe('');
    device.control = 0x80;
    mailbox.look();
    expect(mailbox.lost).toContain('port was reset');
    mailbox.restart();
    device.control = 0x80;
    expect(mailbox.resetIndicated()).toBe(true);
    mailbox.registered();
    device.control = 0x80;
    mailbox.look();
    expect(mailbox.lost).toContain('port was reset');
  });

  test('while the VF registers, RSTI is a reset all the same', () => {
    const { device, mailbox } = setup();
    mailbox.restart();
    device.pf = () => {
      device.control |= 0x40;
      return undefined;
    };
    expect(failureOf(() => finish(mailbox.request([SET_LPE, 1518], 1))).failure).toBe('reset');
  });

  test('while the VF registers, a request that a reset of the port swallowed is sent again, and refused', () => {
    const { device, mailbox } = setup();
    mailbox.restart();
    device.pf = () => {
      if (device.messages.length > 1) return [0x40000005];
      device.control |= 0x80;
      return undefined;
    };
    const error = failureOf(() => finish(mailbox.request([SET_LPE, 1518], 1)));
    expect(error.failure).toBe('reset');
    expect(device.messages).toHaveLength(2);
    expect(device.clock.nowUs()).toBeLessThan(200_000);
  });

  test('nothing is sent while RSTI stands', () => {
    const { device, mailbox } = setup();
    device.control = 0x40;
    expect(failureOf(() => finish(mailbox.request([SET_LPE, 1518], 1))).failure).toBe('reset');
    expect(device.messages).toEqual([]);
  });

  test('an RSTD that a lock attempt read away still counts', () => {
    const { device, mailbox } = setup();
    device.control = 0x80;
    expect(failureOf(() => finish(mailbox.request([SET_LPE, 1518], 1))).failure).toBe('reset');
    expect(mailbox.lost).toContain('reset');
  });

  test('resetIndicated is true while RSTI stands and once for RSTD', () => {
    const { device, mailbox } = setup();
    device.control = 0x40;
    expect(mailbox.resetIndicated()).toBe(true);
    expect(mailbox.resetIndicated()).toBe(true);
    device.control = 0x80;
    expect(mailbox.resetIndicated()).toBe(true);
    expect(mailbox.resetIndicated()).toBe(false);
  });
});

describe('pings', () => {
  test('a ping with CTS before the reply is not taken for the reply', () => {
    const { device, mailbox } = setup();
    device.pf = () => {
      device.clock.after(2000, () => device.deliver([0xa0000005]));
      return [0x20000100];
    };
    expect(finish(mailbox.request([SET_LPE, 1518], 1))).toEqual([0xa0000005]);
    expect(mailbox.takePing()).toBe(true);
    expect(mailbox.takePing()).toBe(false);
    expect(device.messages).toHaveLength(1);
  });

  test('a request that a ping destroyed is sent once more', () => {
    const { device, mailbox } = setup();
    device.pf = () => (device.messages.length === 1 ? [0x20000100] : [0xa0000005]);
    expect(finish(mailbox.request([SET_LPE, 1518], 1))).toEqual([0xa0000005]);
    expect(device.messages).toEqual([
      [SET_LPE, 1518],
      [SET_LPE, 1518],
    ]);
  });

  test('a ping without CTS fails the request as reset', () => {
    const { device, mailbox } = setup();
    device.pf = () => [0x00000100];
    expect(failureOf(() => finish(mailbox.request([SET_LPE, 1518], 1))).failure).toBe('reset');
  });

  test('a farewell that nobody fetched fails the next request instead of being overwritten', () => {
    const { device, mailbox } = setup();
    device.deliver([0x00000100]);
    expect(failureOf(() => finish(mailbox.request([SET_LPE, 1518], 1))).failure).toBe('reset');
    expect(device.messages).toEqual([]);
  });

  test('RESET goes out in spite of a farewell that lies in the buffer', () => {
    const { device, mailbox } = setup();
    device.deliver([0x00000100]);
    expect(finish(mailbox.exchange([0x01], 4))[0]).toBe(0x80000001);
    expect(mailbox.lost).toBe('');
  });

  test('look fetches and acknowledges a ping', () => {
    const { device, mailbox } = setup();
    device.deliver([0x20000100]);
    mailbox.look();
    expect(device.acks).toBe(1);
    expect(mailbox.takePing()).toBe(true);
  });

  test('look keeps a message that it cannot fetch while the PF holds the buffer', () => {
    const { device, mailbox } = setup();
    device.deliver([0x00000100]);
    device.control |= 0x08;
    mailbox.look();
    expect(mailbox.lost).toBe('');
    device.control &= ~0x08;
    mailbox.look();
    expect(mailbox.lost).toContain('0x100');
  });

  test('peek gives -1 while the PF holds the buffer, and otherwise the last word without an ACK', () => {
    const { device, mailbox } = setup();
    finish(mailbox.request([SET_LPE, 1518], 1));
    const acks = device.acks;
    device.control |= 0x08;
    expect(mailbox.peek()).toBe(-1);
    device.control &= ~0x08;
    expect(mailbox.peek()).toBe(0xa0000005);
    expect(device.acks).toBe(acks);
  });
});

describe('exchange', () => {
  test('a late reply to an earlier request is not taken for the reply to this one', () => {
    const { device, mailbox } = setup();
    device.deliver([0xa0000004]);
    device.pf = () => {
      device.clock.after(1500, () => device.deliver([0xa0000005]));
      return [0xa0000004];
    };
    expect(finish(mailbox.request([SET_LPE, 1518], 1))).toEqual([0xa0000005]);
  });

  test('a stale PFSTS without a new message does not complete a request', () => {
    const { device, mailbox } = setup();
    device.pf = () => {
      device.control |= 0x10;
      return undefined;
    };
    expect(failureOf(() => finish(mailbox.request([SET_LPE, 1518], 1))).failure).toBe('timeout');
  });

  test('a message that was pending before a request does not make the VF reach for the buffer after it', () => {
    const { device, mailbox } = setup();
    device.deliver([0xa0000004]);
    device.pf = () => undefined;
    failureOf(() => finish(mailbox.request([SET_LPE, 1518], 1)));
    expect(device.written(0x02fc)).toEqual([0x04, 0x01]);
  });

  test('a message is handed over by REQ alone and the reply is acknowledged by ACK alone', () => {
    const { device, mailbox } = setup();
    finish(mailbox.request([SET_LPE, 1518], 1));
    expect(device.written(0x02fc)).toEqual([0x04, 0x01, 0x04, 0x02]);
    expect(device.written(0x0200)).toEqual([0x05]);
    expect(device.written(0x0204)).toEqual([1518]);
  });

  test('a reply gives as many words as were asked for', () => {
    const { device, mailbox } = setup();
    device.pf = () => [0xa0000009, 4, 4, 0, 1];
    expect(finish(mailbox.request([0x09, 0, 0, 0, 0], 5))).toEqual([0xa0000009, 4, 4, 0, 1]);
  });
});

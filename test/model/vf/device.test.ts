// What a VF shows under each mode of `--silicon` that concerns its registers. Offsets and bits are
// written out again.

import { expect, it } from 'vitest';
import { makePort, type Port, ScriptedVf } from '../vf-fixture.ts';

const VFCTRL = 0x0000;
const RST = 0x04000000;
const VFSTATUS = 0x0008;
const VTEICR = 0x0100;
const VTEIMS = 0x0108;
const VTIVAR_MISC = 0x0140;
const VFMAILBOX = 0x02fc;
const PFSTS = 0x10;
const RSTI = 0x40;
const RSTD = 0x80;
const ENABLE = 0x02000000;
const ONES = 0xffffffff;

const RXDCTL = (q: number): number => 0x1028 + 0x40 * q;
const TXDCTL = (q: number): number => 0x2028 + 0x40 * q;
const RDBAL = (q: number): number => 0x1000 + 0x40 * q;
const RDLEN = (q: number): number => 0x1008 + 0x40 * q;

function portOf(silicon: string, queues = 2): Port {
  return makePort({ vfs: 1, silicon, queues });
}

/** Reads VFMAILBOX after some time. */
function mailboxAfter(port: Port, us: number): number {
  port.time.us += us;
  return port.devices[0].mmioRead(VFMAILBOX);
}

it.each([
  ['rstd=now', [RSTD, 0, 0, 0]],
  ['rstd=none', [0, 0, 0, 0]],
  ['rstd=late:60', [0, 0, RSTD, 0]],
])('%s: RSTD after a reset of the VF shows at its time, once', (silicon, seen) => {
  const port = portOf(silicon);
  mailboxAfter(port, 0);
  port.devices[0].mmioWrite(VFCTRL, RST);
  expect([0, 59, 1, 1000].map((us) => mailboxAfter(port, us))).toEqual(seen);
});

it('RSTD that is late interrupts when it shows, and not where the port was reset meanwhile', () => {
  const port = portOf('rstd=late:60');
  const [device] = port.devices;
  mailboxAfter(port, 0);
  device.mmioWrite(VFCTRL, RST);
  device.mmioWrite(VTIVAR_MISC, 0x81);
  device.tick();
  expect(device.mmioRead(VTEICR)).toBe(0);
  port.time.us += 60;
  device.tick();
  expect(device.mmioRead(VTEICR)).toBe(2);
  device.mmioWrite(VFCTRL, RST);
  port.pf.goDown();
  expect(mailboxAfter(port, 60) & (RSTI | RSTD)).toBe(RSTI);
});

it.each([
  ['ungranted=0', 0, 0, 0],
  ['ungranted=ones', ONES, ONES, ONES],
  ['ungranted=enable', 0x4000, 1024, ENABLE | 0x40000000],
])(
  '%s: a queue that the PF did not grant reads so, one that it did as ever',
  (silicon, ...seen) => {
    const port = portOf(silicon);
    const [device] = port.devices;
    for (const q of [1, 2, 7]) {
      device.mmioWrite(RDBAL(q), 0x4000);
      device.mmioWrite(RDLEN(q), 1024);
      device.mmioWrite(RXDCTL(q), 0x40000000);
    }
    const read = (q: number): number[] =>
      [RDBAL(q), RDLEN(q), RXDCTL(q)].map((at) => device.mmioRead(at));
    expect(read(1)).toEqual([0x4000, 1024, 0x40000000]);
    expect(read(2)).toEqual(seen);
    expect(read(7)).toEqual(seen);
    expect(port.recorder.violations).toEqual([]);
  },
);

it('vfte=ties-enable: ENABLE reads 0 while the PF has the VF off, and follows it both ways', () => {
  const port = portOf('vfte=ties-enable');
  const [device] = port.devices;
  const vf = new ScriptedVf(port);
  vf.start();
  const enables = (): boolean[] => {
    device.tick();
    return [RXDCTL(0), TXDCTL(0)].map((at) => (device.mmioRead(at) & ENABLE) !== 0);
  };
  port.pf.setLinkState(0, 'disable');
  for (const start of [RDBAL(0), RDBAL(0) + 0x1000]) {
    device.mmioWrite(start, 0x4000);
    device.mmioWrite(start + 8, 1024);
    device.mmioWrite(start + 0x28, ENABLE);
  }
  expect(enables()).toEqual([false, false]);
  port.pf.setLinkState(0, 'auto');
  expect(enables()).toEqual([true, true]);
  port.tables.pools[0].txEnable = false;
  expect(enables()).toEqual([true, false]);
  // What the driver asked for is gone with a reset.
  device.mmioWrite(VFCTRL, RST);
  vf.start();
  expect(enables()).toEqual([false, false]);
});

it('enable-lag: ENABLE reads as before for so long, in both directions', () => {
  const port = portOf('enable-lag=50');
  const [device] = port.devices;
  device.mmioWrite(RDLEN(0), 1024);
  const shown = (us: number): number => {
    port.time.us += us;
    return device.mmioRead(RXDCTL(0));
  };
  device.mmioWrite(RXDCTL(0), ENABLE | 0x40000000);
  expect([shown(0), shown(49), shown(1)]).toEqual([0x40000000, 0x40000000, ENABLE | 0x40000000]);
  device.mmioWrite(RXDCTL(0), 0);
  // Writing the same again does not start the wait anew.
  expect(shown(25)).toBe(ENABLE);
  device.mmioWrite(RXDCTL(0), 0);
  expect([shown(24), shown(1)]).toEqual([ENABLE, 0]);
});

it('reset-lag: after RST the function reads all ones and hears nothing for so long, config space too', () => {
  const port = portOf('reset-lag=200');
  const [device] = port.devices;
  device.mmioWrite(VFCTRL, RST);
  const reads = (): number[] => [
    device.mmioRead(VFSTATUS),
    device.mmioRead(VFMAILBOX),
    device.mmioRead(RXDCTL(0)),
    device.configRead(0, 2),
    device.configRead(4, 4),
  ];
  expect(reads()).toEqual([ONES, ONES, ONES, 0xffff, ONES]);
  device.mmioWrite(VTEIMS, 1);
  device.configWrite(4, 2, 4);
  port.time.us += 200;
  expect(device.mmioRead(VTEIMS)).toBe(0);
  expect(device.busMaster).toBe(false);
  expect(device.mmioRead(VFMAILBOX)).toBe(RSTD);
  expect(device.configRead(0, 2)).toBe(0x8086);
});

it('reset-lag: a function level reset does the same, but the next user finds the function ready', () => {
  const port = portOf('reset-lag=200');
  const [device] = port.devices;
  device.functionReset();
  expect(device.mmioRead(VFSTATUS)).toBe(ONES);
  device.disconnect();
  expect(device.mmioRead(VFSTATUS)).toBe(0);
});

it('mbx-lag: the PF sees resets, requests and acknowledgements of a VF only so much later', () => {
  const port = portOf('mbx-lag=300');
  const [device] = port.devices;
  const vf = new ScriptedVf(port);
  const stepAfter = (us: number): number => {
    port.time.us += us;
    return port.pf.step();
  };
  device.mmioWrite(VFCTRL, RST);
  expect([stepAfter(0), stepAfter(299), stepAfter(1)]).toEqual([0, 0, 1]);
  mailboxAfter(port, 0);
  vf.send([1]);
  expect([stepAfter(0), stepAfter(299)]).toEqual([0, 0]);
  expect(device.mmioRead(VFMAILBOX)).toBe(0);
  expect(stepAfter(1)).toBe(1);
  expect(device.mmioRead(VFMAILBOX) & PFSTS).toBe(PFSTS);
  vf.receive();
  expect([stepAfter(0), stepAfter(300)]).toEqual([0, 1]);
});

it('msix-lost: causes are set, messages never arrive', () => {
  const port = portOf('msix-lost');
  const [device] = port.devices;
  let signals = 0;
  device.connectVector(0, () => signals++);
  device.configWrite(4, 2, 4);
  device.mmioWrite(VTEIMS, 1);
  device.mmioWrite(0x0104, 1);
  expect(device.mmioRead(VTEICR)).toBe(1);
  expect(signals).toBe(0);
});

it.each([
  ['ungranted=0', true],
  ['ungranted=enable', true],
  ['vfte=ties-enable', true],
  ['enable-lag=1', true],
  ['reset-lag=1', true],
  ['rstd=late:60', false],
  ['mbx-lag=5', false],
  ['msix-lost', false],
])('%s traps every page: %s', (silicon, traps) => {
  expect(portOf(silicon).devices[0].trapAll).toBe(traps);
});

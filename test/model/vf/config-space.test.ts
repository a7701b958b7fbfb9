import { describe, expect, it } from 'vitest';
import { makePort } from '../vf-fixture.ts';

function device(msix = true) {
  const port = makePort({ msix });
  return { port, vf: port.devices[0] };
}

describe('config space', () => {
  it('ignores writes to identity, status, capability pointers and capability tables', () => {
    const { vf } = device();
    for (const offset of [0x00, 0x08, 0x2c, 0x34, 0x70, 0x74, 0x78, 0xa0, 0xa4, 0x40]) {
      // 0x70 and 0xa0 hold writable or no bits in their upper half: leave MSI-X control as it is.
      const before = vf.configRead(offset, 4);
      vf.configWrite(offset, 4, offset === 0x70 ? 0x3fffffff : 0xffffffff);
      expect(vf.configRead(offset, 4)).toBe(before);
    }
  });

  it('reads all ones beyond its end and drops what is written there', () => {
    const { vf } = device();
    vf.configWrite(0x100, 4, 0);
    expect(vf.configRead(0x100, 4)).toBe(0xffffffff);
    expect(vf.configRead(0xfe, 4)).toBe(0xffff0000);
  });

  it('is an 82599 VF: 8086:10ed, Ethernet, revision 1, capabilities, no INTx pin', () => {
    const { vf } = device();
    expect(vf.configRead(0x00, 4)).toBe(0x10ed8086);
    expect(vf.configRead(0x08, 4)).toBe(0x02000001);
    expect(vf.configRead(0x06, 2)).toBe(0x0010);
    expect(vf.configRead(0x3d, 1)).toBe(0);
    expect(vf.configRead(0x34, 1)).toBe(0x70);
  });

  it('goes straight to PCI Express where it has no MSI-X', () => {
    const { vf } = device(false);
    expect(vf.configRead(0x34, 1)).toBe(0xa0);
    expect(vf.configRead(0x70, 4)).toBe(0);
    expect(vf.configRead(0xa0, 2)).toBe(0x0010);
    vf.functionReset();
    expect(vf.configRead(0x34, 1)).toBe(0xa0);
  });

  it('COMMAND starts as 0 and takes memory, bus master and INTx disable only', () => {
    const { vf } = device();
    expect(vf.configRead(4, 2)).toBe(0);
    expect(vf.busMaster).toBe(false);
    vf.configWrite(4, 2, 0xffff);
    expect(vf.configRead(4, 2)).toBe(0x0546);
    expect(vf.busMaster).toBe(true);
    vf.configWrite(4, 1, 0x02);
    expect(vf.busMaster).toBe(false);
    expect(vf.configRead(5, 1)).toBe(0x05);
  });

  it.each([
    ['BAR0', 0x10],
    ['BAR3', 0x1c],
  ])('%s is 64 bits, prefetchable, 16 KiB by size probing', (_, offset) => {
    const { vf } = device();
    expect(vf.configRead(offset, 4)).toBe(0xc);
    vf.configWrite(offset, 4, 0xffffffff);
    vf.configWrite(offset + 4, 4, 0xffffffff);
    expect(vf.configRead(offset, 4)).toBe(0xffffc00c);
    expect(vf.configRead(offset + 4, 4)).toBe(0xffffffff);
    vf.configWrite(offset, 4, 0xfe123456);
    expect(vf.configRead(offset, 4)).toBe(0xfe12000c);
  });

  it('the other BARs are not there', () => {
    const { vf } = device();
    vf.configWrite(0x18, 4, 0xffffffff);
    vf.configWrite(0x24, 4, 0xffffffff);
    expect([vf.configRead(0x18, 4), vf.configRead(0x24, 4)]).toEqual([0, 0]);
  });

  it('MSI-X at 0x70: 3 vectors, table in BAR 3 at 0, PBA at 0x2000, enable and mask bits only', () => {
    const { vf } = device();
    expect(vf.configRead(0x70, 2)).toBe(0xa011);
    expect(vf.configRead(0x72, 2)).toBe(0x0002);
    expect(vf.configRead(0x74, 4)).toBe(0x0003);
    expect(vf.configRead(0x78, 4)).toBe(0x2003);
    vf.configWrite(0x72, 2, 0xffff);
    expect(vf.configRead(0x72, 2)).toBe(0xc002);
  });

  it('PCI Express at 0xA0 ends the list, is version 2 of an endpoint and advertises FLR', () => {
    const { vf } = device();
    expect(vf.configRead(0xa0, 4)).toBe(0x00020010);
    expect(vf.configRead(0xa4, 4)).toBe(0x10000000);
  });
});

describe('function level reset', () => {
  it.each([
    ['16 bits', 0xa8, 2, 0x8000],
    ['32 bits', 0xa8, 4, 0x8000],
    ['8 bits', 0xa9, 1, 0x80],
  ])('follows DevCtl bit 15 written with %s, which reads back 0', (_, offset, size, value) => {
    const { port, vf } = device();
    vf.configWrite(4, 2, 6);
    vf.configWrite(offset, size, value);
    expect(port.engines[0]?.calls).toEqual(['queuesReset']);
    expect(vf.configRead(0xa8, 2)).toBe(0);
    expect(vf.busMaster).toBe(false);
  });

  it('does not follow other bits of DevCtl', () => {
    const { port, vf } = device();
    vf.configWrite(0xa8, 2, 0x7fff);
    expect(vf.configRead(0xa8, 2)).toBe(0x7fff);
    expect(port.engines[0]?.calls).toEqual([]);
  });

  it('reaches the PF as a reset event, once, clears MSI-X enable, and keeps maps and vectors', () => {
    const { port, vf } = device();
    let messages = 0;
    vf.connectVector(0, () => messages++);
    vf.configWrite(0x72, 2, 0x8000);
    vf.functionReset();
    expect(port.pf.step()).toBe(1);
    expect(port.pf.step()).toBe(0);
    expect(port.trace).toEqual([{ vf: 0, kind: 'reset', words: [] }]);
    expect(vf.configRead(0x72, 2)).toBe(2);
    expect(port.engines[0]?.calls).toEqual(['queuesReset']);
    vf.configWrite(4, 2, 4);
    vf.mmioWrite(0x108, 1);
    vf.mmioWrite(0x104, 1);
    expect(messages).toBe(1);
  });

  it('a driver that went away leaves neither maps nor vectors', () => {
    const { port, vf } = device();
    let messages = 0;
    vf.connectVector(0, () => messages++);
    vf.disconnect();
    expect(port.engines[0]?.calls).toEqual(['queuesReset', 'dmaClear']);
    vf.configWrite(4, 2, 4);
    vf.mmioWrite(0x108, 1);
    vf.mmioWrite(0x104, 1);
    expect(messages).toBe(0);
  });
});

import { describe, expect, it } from 'vitest';
import type { Iova } from '../../src/memory/iova.ts';
import { DirectDevice } from '../../src/model/direct-device.ts';
import { VfioError } from '../../src/support/errors.ts';
import { native } from '../../src/support/native.ts';
import type { DmaMapping } from '../../src/vfio/device.ts';
import { BAR_OFFSET, makePort, type Port, type StubEngine } from './vf-fixture.ts';

interface Bench {
  readonly port: Port;
  readonly device: DirectDevice;
  readonly engine: StubEngine;
  readonly log: string[];
}

function bench(trapAll = false): Bench {
  const port = makePort({ trapAll });
  const log: string[] = [];
  const device = new DirectDevice({
    address: 'model:0.1',
    function: port.devices[1],
    advance: () => void port.pf.step(),
    onClose: () => log.push('closed'),
  });
  return { port, device, engine: port.engines[1], log };
}

function mapping(iova: number, sizeBytes: number): DmaMapping {
  return { iova: iova as Iova, sizeBytes, offset: 0x2000, address: 0, fd: -1, fdOffset: 0 };
}

function errno(action: () => void): number {
  try {
    action();
  } catch (error) {
    if (error instanceof VfioError) return error.errno;
    throw error;
  }
  return 0;
}

describe('DirectDevice refusals', () => {
  it.each([
    ['an IOVA that is no multiple of 4096', 0x100000001, 4096],
    ['a size that is no multiple of 4096', 0x100000000, 100],
    ['a size of 0', 0x100000000, 0],
    ['the MSI window', 0xfee00000, 4096],
    ['a range across the MSI window', 0xfed00000, 0x300000],
    ['more than 39 bits', 2 ** 39, 4096],
  ])('mapDma refuses %s with EINVAL', (_, iova, sizeBytes) => {
    const { device, engine } = bench();
    expect(errno(() => device.mapDma(mapping(iova, sizeBytes)))).toBe(22);
    expect(engine.calls).toEqual([]);
  });

  it('mapDma passes on EEXIST, unmapDma EINVAL, and ENOENT where nothing was mapped', () => {
    const { device, engine } = bench();
    engine.mapResult = -17;
    expect(errno(() => device.mapDma(mapping(0x100000000, 4096)))).toBe(17);
    engine.unmapResult = -22;
    expect(errno(() => device.unmapDma(0x100000000 as Iova, 4096))).toBe(22);
    engine.unmapResult = 0;
    expect(errno(() => device.unmapDma(0x100000000 as Iova, 4096))).toBe(2);
  });

  it('pageOffset and enableVectors refuse what does not exist', () => {
    const { device } = bench();
    expect(() => device.pageOffset(4)).toThrow(RangeError);
    expect(() => device.pageOffset(0.5)).toThrow(RangeError);
    expect(() => device.enableVectors([1, 1, 1, 1])).toThrow(/at most 3 fds, got 4/);
    expect(() => device.enableVectors([-2])).toThrow(/an fd or -1, got -2/);
  });

  it('after close every method throws, and close itself does not', () => {
    const { device, engine, log } = bench();
    device.close();
    device.close();
    expect(log).toEqual(['closed']);
    expect(engine.calls).toEqual(['queuesReset', 'dmaClear']);
    const later: (() => void)[] = [
      () => device.read32(8),
      () => device.write32(0, 0),
      () => device.pageOffset(1),
      () => device.readConfig16(4),
      () => device.writeConfig16(4, 4),
      () => device.mapDma(mapping(0x100000000, 4096)),
      () => device.unmapDma(0x100000000 as Iova, 4096),
      () => device.enableVectors([]),
      () => device.disableVectors(),
      () => device.reset(),
    ];
    for (const method of later) {
      expect(method).toThrow(/the device is closed/);
      expect(errno(method)).toBe(9);
    }
  });
});

describe('DirectDevice', () => {
  it('maps pages 1 and 2 where the VF has them, never 0 and 3; none with trap-all', () => {
    const { device } = bench();
    const base = BAR_OFFSET + 0x4000;
    expect([0, 1, 2, 3].map((page) => device.pageOffset(page))).toEqual([
      -1,
      base + 0x1000,
      base + 0x2000,
      -1,
    ]);
    expect([0, 1, 2, 3].map((page) => bench(true).device.pageOffset(page))).toEqual([
      -1, -1, -1, -1,
    ]);
  });

  it('says what it is', () => {
    const { device } = bench();
    expect([device.address, device.deviceId, device.vectors]).toEqual(['model:0.1', 0x10ed, 3]);
    expect(device.iovaRanges).toEqual([
      { first: 0, last: 0xfedfffff },
      { first: 0xfef00000, last: 0x7fffffffff },
    ]);
  });

  it('lets the PF move after a trapped access, so that a waiting driver gets its answer', () => {
    const { device } = bench();
    device.write32(0, 0x04000000);
    device.read32(0x2fc);
    device.write32(0x2fc, 4);
    device.write32(0x200, 1);
    device.write32(0x2fc, 1);
    expect(device.read32(0x2fc)).toBe(0x30);
    // An unsigned word although bit 31 is set: ACK of RESET.
    expect(device.read32(0x200)).toBe(0x80000001);
  });

  it('maps and unmaps through the function', () => {
    const { device, engine } = bench();
    device.mapDma(mapping(0x100000000, 8192));
    device.unmapDma(0x100000000 as Iova, 8192);
    expect(engine.calls).toEqual(['dmaMap 4294967296 8192 8192', 'dmaUnmap 4294967296 8192']);
  });

  it('reset clears bus mastering and reaches the PF', () => {
    const { port, device } = bench();
    device.writeConfig16(4, 6);
    expect(device.readConfig16(4)).toBe(6);
    device.reset();
    expect(device.readConfig16(4)).toBe(0);
    expect(port.trace).toEqual([{ vf: 1, kind: 'reset', words: [] }]);
  });

  it('signals eventfds, replaces the set, and stops when disabled', () => {
    const { device } = bench();
    const first = native().eventfd(0, 0);
    const second = native().eventfd(0, 0);
    device.writeConfig16(4, 4);
    device.write32(0x110, 7);
    device.write32(0x108, 7);
    device.enableVectors([first, -1, second]);
    device.write32(0x104, 5);
    expect([native().eventfdDrain(first), native().eventfdDrain(second)]).toEqual([1, 1]);
    device.enableVectors([second]);
    device.write32(0x104, 1);
    expect([native().eventfdDrain(first), native().eventfdDrain(second)]).toEqual([0, 1]);
    device.disableVectors();
    device.write32(0x104, 1);
    expect(native().eventfdDrain(second)).toBe(0);
    native().close(first);
    native().close(second);
  });
});

describe('DirectDevice tells what its host wants', () => {
  it('an error and a removal, once each', () => {
    const { device } = bench();
    expect(device.takeEvents()).toBe(0);
    device.requestRemoval();
    device.reportError();
    expect([device.takeEvents(), device.takeEvents()]).toEqual([3, 0]);
  });

  it('a removal refuses the reset with EAGAIN until the device is closed', () => {
    const { device, log } = bench();
    device.requestRemoval();
    expect(errno(() => device.reset())).toBe(11);
    device.takeEvents();
    expect(errno(() => device.reset())).toBe(11);
    device.close();
    expect(log).toEqual(['closed']);
  });
});

import { describe, expect, it } from 'vitest';
import { BAR_OFFSET, makePort, type Port, ScriptedVf } from '../vf-fixture.ts';

function violations(port: Port): string[] {
  return port.recorder.violations.map((violation) => violation.kind);
}

describe('VF register refusals', () => {
  it.each([
    0x0004, 0x0014, 0x000c, 0x0118, 0x0130, 0x0144, 0x018c, 0x0240, 0x02f8, 0x0304, 0x082c, 0x0ffc,
    // RSS registers that only X550 brought, and the end of the BAR.
    0x3000, 0x3100, 0x3200, 0x3ffc,
  ])('an access to offset %s, where there is no register, is recorded; it reads 0', (offset) => {
    const port = makePort();
    const [device] = port.devices;
    expect(device?.mmioRead(offset)).toBe(0);
    device?.mmioWrite(offset, 1);
    expect(violations(port)).toEqual(['unknown-register', 'unknown-register']);
    expect(port.recorder.violations[0]).toMatchObject({ port: 0, vf: 0, offset });
  });

  it.each([1, 2, 0x103, 0x4000, -4])(
    'an access at offset %s is recorded as misplaced',
    (offset) => {
      const port = makePort();
      expect(port.devices[0]?.mmioRead(offset)).toBe(0);
      port.devices[0]?.mmioWrite(offset, 0);
      expect(violations(port)).toEqual(['access-mode', 'access-mode']);
    },
  );

  it.each([
    ['VFSTATUS', 0x0008],
    ['VFLINKS', 0x0010],
    ['VFFRTIMER', 0x0048],
    ['VFRXMEMWRAP', 0x3190],
    ['VFGPRC', 0x101c],
    ['VFGORC_LSB', 0x1020],
    ['VFGORC_MSB', 0x1024],
    ['VFMPRC', 0x1034],
    ['VFGPTC', 0x201c],
    ['VFGOTC_LSB', 0x2020],
    ['VFGOTC_MSB', 0x2024],
  ])('a write to %s, which is read-only, is recorded and dropped', (name, offset) => {
    const port = makePort({ trapAll: true });
    const before = port.devices[0]?.mmioRead(offset);
    port.devices[0]?.mmioWrite(offset, 0);
    port.devices[0]?.mmioWrite(offset, 0xffffffff);
    expect(violations(port)).toEqual(['access-mode', 'access-mode']);
    expect(port.recorder.violations[0]?.detail).toContain(name);
    if (offset !== 0x48) expect(port.devices[0]?.mmioRead(offset)).toBe(before);
  });

  it.each([
    ['VFCTRL', 0x0000],
    ['VTEIMC', 0x010c],
  ])('a read of %s, which is write-only, is recorded and gives 0', (_, offset) => {
    const port = makePort();
    expect(port.devices[0]?.mmioRead(offset)).toBe(0);
    expect(violations(port)).toEqual(['access-mode']);
  });

  it.each([
    ['VFCTRL', 0x0000, 1],
    ['VTEIMS', 0x0108, 8],
    ['VTEIAC', 0x0110, 0x80000000],
    ['VTIVAR_MISC', 0x0140, 0x100],
    ['VTEITR', 0x0820, 7],
    ['VFMAILBOX', 0x02fc, 0x100],
    ['VFPSRTYPE', 0x0300, 1],
  ])('reserved bits written to %s are recorded', (_, offset, value) => {
    const port = makePort();
    port.devices[0]?.mmioWrite(offset, value);
    expect(violations(port)).toEqual(['reserved-bits']);
  });

  it('a vector above 2 in VTIVAR or VTIVAR_MISC is recorded, an invalid entry is not', () => {
    const port = makePort();
    port.devices[0]?.mmioWrite(0x120, 0x00030003);
    expect(violations(port)).toEqual([]);
    port.devices[0]?.mmioWrite(0x120, 0x80830080);
    port.devices[0]?.mmioWrite(0x140, 0x83);
    expect(violations(port)).toEqual(['reserved-bits', 'reserved-bits']);
  });

  it('words or REQ written without the lock, and REQ with VFU kept, are recorded', () => {
    const port = makePort();
    const [device] = port.devices;
    device?.mmioWrite(0x200, 1);
    device?.mmioWrite(0x2fc, 1);
    device?.mmioWrite(0x2fc, 4);
    device?.mmioWrite(0x2fc, 5);
    expect(violations(port)).toEqual(['mailbox-protocol', 'mailbox-protocol', 'mailbox-protocol']);
  });

  it('a request sent with VFU kept stays unread until the VF lets go', () => {
    const port = makePort();
    const [device] = port.devices;
    device?.mmioWrite(0x2fc, 4);
    device?.mmioWrite(0x200, 1);
    device?.mmioWrite(0x2fc, 5);
    expect(port.pf.step()).toBe(0);
    device?.mmioWrite(0x2fc, 0);
    expect(port.pf.step()).toBe(1);
  });
});

describe('VF registers', () => {
  it('VFLINKS shows the port: up at 10G, or nothing', () => {
    const port = makePort();
    expect(port.devices[0]?.mmioRead(0x10)).toBe(0x70000000);
    port.link.up = false;
    expect(port.devices[0]?.mmioRead(0x10)).toBe(0);
  });

  it('VFFRTIMER runs with the clock and wraps at 32 bits', () => {
    const port = makePort();
    const before = port.devices[0]?.mmioRead(0x48);
    port.time.us += 5;
    expect(port.devices[0]?.mmioRead(0x48)).toBe(before + 5);
    port.time.us = 2 ** 32 + 3;
    expect(port.devices[0]?.mmioRead(0x48)).toBe(3);
  });

  it('VFSTATUS is never all ones and every page 0 access is a barrier', () => {
    const port = makePort();
    const engine = port.engines[0];
    const before = engine?.barriers;
    expect(port.devices[0]?.mmioRead(0x8)).not.toBe(0xffffffff);
    port.devices[0]?.mmioWrite(0x108, 0);
    expect(engine?.barriers).toBe(before + 2);
  });

  it('plain registers read back what was written', () => {
    const port = makePort();
    const [device] = port.devices;
    const values: [number, number][] = [
      [0x110, 5],
      [0x114, 3],
      [0x120, 0x81808180],
      [0x12c, 0x82],
      [0x140, 0x81],
      [0x180, 0x1234],
      [0x820, 0x8ff8],
      [0x300, 0xe0001330],
    ];
    for (const [offset, value] of values) device?.mmioWrite(offset, value);
    for (const [offset, value] of values) expect(device?.mmioRead(offset)).toBe(value);
    expect(violations(port)).toEqual([]);
  });

  it('the first read of VFMAILBOX shows RSTD of the PF that came up, the second does not', () => {
    const [device] = makePort().devices;
    expect(device?.mmioRead(0x2fc)).toBe(0x80);
    expect(device?.mmioRead(0x2fc)).toBe(0);
  });

  it('PFSTS and PFACK clear by any read, REQ and ACK read 0, VFU stays until it is written 0', () => {
    const port = makePort();
    const vf = new ScriptedVf(port);
    vf.reset();
    vf.send([1]);
    expect(vf.device.mmioRead(0x2fc)).toBe(0);
    port.pf.step();
    expect(vf.device.mmioRead(0x2fc)).toBe(0x30);
    expect(vf.device.mmioRead(0x2fc)).toBe(0);
    vf.device.mmioWrite(0x2fc, 0x4);
    expect(vf.device.mmioRead(0x2fc)).toBe(0x4);
    vf.device.mmioWrite(0x2fc, 0xb0);
    expect(vf.device.mmioRead(0x2fc)).toBe(0);
  });

  it('VFCTRL.RST loses interrupt registers, ring bases and lock, keeps what the errata list', () => {
    const port = makePort();
    const [device] = port.devices;
    const word = (offset: number) => (BAR_OFFSET + offset) >>> 2;
    const kept = [0x100c, 0x1010, 0x1014, 0x1018, 0x200c, 0x2010, 0x2018, 0x2038, 0x203c];
    const lost = [0x1000, 0x1004, 0x1008, 0x102c, 0x2000, 0x2004, 0x2008];
    const counters = [0x101c, 0x1020, 0x1024, 0x1034, 0x201c, 0x2020, 0x2024];
    for (const offset of [...kept, ...lost, ...counters]) {
      port.views.u32[word(offset)] = 0x40;
      // The same register of queue 7; counters have no such instance.
      if (!counters.includes(offset)) port.views.u32[word(offset + 0x1c0)] = 0x40;
    }
    port.views.u32[word(0x1028)] = 0x42000000;
    port.views.u32[word(0x2028)] = 0x02000020;
    for (const offset of [0x108, 0x110, 0x114, 0x140, 0x820]) device?.mmioWrite(offset, 0);
    device?.mmioWrite(0x108, 7);
    device?.mmioWrite(0x110, 7);
    device?.mmioWrite(0x140, 0x81);
    device?.mmioWrite(0x300, 0x20000010);
    device?.mmioWrite(0x2fc, 4);
    const pool = port.tables.pools[0];
    Object.assign(pool ?? {}, { rxEnable: true, txEnable: true });
    const { generation } = port.tables;

    device?.mmioWrite(0x0, 0x04000000);

    expect(port.engines[0]?.calls).toEqual(['queuesReset']);
    for (const offset of [...kept, ...counters]) expect(port.views.u32[word(offset)]).toBe(0x40);
    for (const offset of lost) {
      expect(port.views.u32[word(offset)]).toBe(0);
      expect(port.views.u32[word(offset + 0x1c0)]).toBe(0);
    }
    expect(port.views.u32[word(0x1028)]).toBe(0x40000000);
    expect(port.views.u32[word(0x2028)]).toBe(0x20);
    for (const offset of [0x108, 0x110, 0x140]) expect(device?.mmioRead(offset)).toBe(0);
    expect(device?.mmioRead(0x300)).toBe(0x20000010);
    expect(device?.mmioRead(0x2fc)).toBe(0x80);
    expect(pool).toMatchObject({ rxEnable: false, txEnable: false });
    expect(port.tables.generation).toBeGreaterThan(generation);
    // The other VF is untouched.
    expect(port.engines[1]?.calls).toEqual([]);
  });
});

describe('queue pages where they are trapped', () => {
  function trapped(): { port: Port; write: (offset: number, value: number) => void } {
    const port = makePort({ trapAll: true });
    return { port, write: (offset, value) => port.devices[0]?.mmioWrite(offset, value) };
  }

  it('the words are those of the heap, whichever way they were written', () => {
    const { port, write } = trapped();
    write(0x1000, 0x12345680);
    expect(port.views.u32[(BAR_OFFSET + 0x1000) >>> 2]).toBe(0x12345680);
    port.views.u32[(BAR_OFFSET + 0x2008) >>> 2] = 1024;
    expect(port.devices[0]?.mmioRead(0x2008)).toBe(1024);
    expect(violations(port)).toEqual([]);
  });

  it.each([
    ['VFRDBAL', 0x1000, 0xffffff80],
    ['VFRDLEN', 0x1008, 0x000fff80],
    ['VFTDBAL', 0x2040, 0xffffff80],
    ['VFTDLEN', 0x2048, 0x000fff80],
  ])('%s reads back only the bits that the register has', (_, offset, expected) => {
    const { port, write } = trapped();
    write(offset, 0xffffffff);
    expect(port.devices[0]?.mmioRead(offset)).toBe(expected);
  });

  it('a whole start of rx and tx queue 1 by the book causes no violation, and ENABLE reads back', () => {
    const { port, write } = trapped();
    write(0x2068, 0x04000000); // SWFLSH
    write(0x2040, 0x80000080);
    write(0x2044, 1);
    write(0x2048, 64 * 16);
    write(0x207c, 0);
    write(0x2078, 0);
    write(0x204c, 0x2200);
    write(0x2050, 0);
    write(0x2058, 0);
    write(0x2068, 0x02000020);
    expect(port.devices[0]?.mmioRead(0x2068)).toBe(0x02000020);
    write(0x2058, 1);
    write(0x1068, 0);
    write(0x1040, 0x80001000);
    write(0x1044, 1);
    write(0x1048, 64 * 16);
    write(0x104c, 0x200);
    write(0x1050, 0);
    write(0x1058, 0);
    write(0x1054, 0x12000402);
    write(0x1068, 0x42000000);
    expect(port.devices[0]?.mmioRead(0x1068)).toBe(0x42000000);
    write(0x1058, 63);
    expect(violations(port)).toEqual([]);
  });

  it.each([
    ['a base that is no multiple of 128', 0x40, 1024, 0x02000000],
    ['a length of 0', 0x80, 0, 0x02000000],
    ['a length that is no multiple of 128', 0x80, 1000, 0x02000000],
    ['RLPML_EN, which an 82599 has not', 0x80, 1024, 0x02008000],
  ])('enabling an rx queue with %s is recorded', (_, base, length, control) => {
    const { port, write } = trapped();
    write(0x1000, base);
    write(0x1008, length);
    write(0x1028, control);
    expect(violations(port)).toEqual(['ring-setup']);
  });

  it('enabling a queue beyond those the PF gives is recorded', () => {
    const { port, write } = trapped();
    write(0x2100, 0x80);
    write(0x2108, 1024);
    write(0x2128, 0x02000000);
    expect(port.recorder.violations[0]?.detail).toContain('the PF gives this VF 4 queues');
  });

  it.each([
    ['rx', 0x1000],
    ['tx', 0x2000],
  ])(
    '%s: head, base and length written while enabled are recorded, and the head stays',
    (_, page) => {
      const { port, write } = trapped();
      write(page, 0x80);
      write(page + 8, 1024);
      write(page + 0x28, 0x02000000);
      write(page + 0x10, 5);
      write(page, 0x100);
      write(page + 8, 2048);
      expect(violations(port)).toEqual(['ring-setup', 'ring-setup', 'ring-setup']);
      expect(port.devices[0]?.mmioRead(page + 0x10)).toBe(0);
    },
  );

  it.each([
    ['rx', 0x1000],
    ['tx', 0x2000],
  ])('%s: a tail outside the ring, and one before ENABLE, are recorded', (_, page) => {
    const { port, write } = trapped();
    write(page, 0x80);
    write(page + 8, 1024);
    write(page + 0x18, 1);
    write(page + 0x28, 0x02000000);
    write(page + 0x18, 64);
    write(page + 0x18, 63);
    expect(violations(port)).toEqual(['ring-setup', 'tail-range']);
  });

  it('offsets between the blocks of queues 1 to 7 where queue 0 has counters are unassigned', () => {
    const { port } = trapped();
    port.devices[0]?.mmioRead(0x105c);
    port.devices[0]?.mmioRead(0x2060);
    expect(violations(port)).toEqual(['unknown-register', 'unknown-register']);
  });

  it('each trapped store is taken in before the next', () => {
    const { port, write } = trapped();
    const before = port.engines[0]?.barriers;
    write(0x1028, 0x02000000);
    write(0x1028, 0);
    expect(port.engines[0]?.barriers - before).toBeGreaterThanOrEqual(4);
  });
});

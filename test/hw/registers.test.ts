import { describe, expect, it } from 'vitest';
import { at, fields, register } from '../../src/hw/define.ts';
import * as descriptors from '../../src/hw/descriptors.ts';
import { API_CODE, MESSAGE, REQUEST } from '../../src/hw/mailbox.ts';
import * as registers from '../../src/hw/registers.ts';
import { DESCRIPTOR_MASKS, MAILBOX_CODES, REGISTER_GOLDEN } from '../golden/hw.ts';

const { REGISTERS } = registers;

describe('field arithmetic', () => {
  it('computes unsigned masks, also at bit 31 and over the whole word', () => {
    const f = fields({ LOW: [0, 0], TOP: [31, 31], MID: [6, 0], ALL: [31, 0] });
    expect(f.mask).toEqual({ LOW: 1, TOP: 0x8000_0000, MID: 0x7f, ALL: 0xffff_ffff });
    expect(f.shift).toEqual({ LOW: 0, TOP: 31, MID: 0, ALL: 0 });
  });

  it('refuses an instance that a register does not have', () => {
    const reg = register('X', 0x100, 'RW', { step: 4, count: 3 });
    expect(at(reg, 2)).toBe(0x108);
    for (const bad of [-1, 3, 0.5, Number.NaN]) {
      expect(() => at(reg, bad)).toThrow(/X: expected an index from 0 to 2/);
    }
  });
});

describe('the register table', () => {
  it('holds every register that the module declares, once', () => {
    const declared = Object.values(registers).filter(
      (value): value is (typeof REGISTERS)[number] =>
        typeof value === 'object' && value !== null && 'access' in value,
    );
    expect(new Set(REGISTERS).size).toBe(REGISTERS.length);
    expect(new Set(declared)).toEqual(new Set(REGISTERS));
    expect(new Set(REGISTERS.map((r) => r.name)).size).toBe(REGISTERS.length);
  });

  it('gives no two registers the same dword, and stays inside BAR0', () => {
    const owner = new Map<number, string>();
    for (const reg of REGISTERS) {
      for (let i = 0; i < reg.count; i++) {
        const offset = at(reg, i);
        expect(offset % 4).toBe(0);
        expect(offset).toBeLessThan(0x4000);
        expect(owner.get(offset), `${reg.name} at 0x${offset.toString(16)}`).toBeUndefined();
        owner.set(offset, reg.name);
      }
    }
  });

  it('gives no two fields of a register the same bit', () => {
    for (const reg of REGISTERS) {
      let used = 0n;
      for (const [name, [high, low]] of Object.entries(reg.ranges)) {
        expect(low, `${reg.name}.${name}`).toBeLessThanOrEqual(high);
        const mask = ((1n << BigInt(high - low + 1)) - 1n) << BigInt(low);
        expect(used & mask, `${reg.name}.${name}`).toBe(0n);
        used |= mask;
      }
      expect(used).toBeLessThan(1n << 32n);
    }
  });

  it('agrees with the second transcription', () => {
    const table = Object.fromEntries(
      REGISTERS.map((r) => [r.name, [r.offset, r.count, r.count > 1 ? r.step : 0]]),
    );
    expect(Object.keys(table).sort()).toEqual(Object.keys(REGISTER_GOLDEN).sort());
    for (const [name, golden] of Object.entries(REGISTER_GOLDEN)) {
      expect(table[name], name).toEqual(golden.slice(0, 3));
      const masks = golden[3];
      const reg = REGISTERS.find((r) => r.name === name) as (typeof REGISTERS)[number];
      expect(reg.mask, name).toEqual(masks);
    }
  });

  it('marks what VFLR leaves alone: heads, tails, PSRTYPE, SRRCTL, XDCTL, TDWBA, DCA', () => {
    expect(
      REGISTERS.filter((r) => r.survivesReset)
        .map((r) => r.name)
        .sort(),
    ).toEqual([
      'VFDCA_RXCTRL',
      'VFDCA_TXCTRL',
      'VFPSRTYPE',
      'VFRDH',
      'VFRDT',
      'VFRXDCTL',
      'VFSRRCTL',
      'VFTDH',
      'VFTDT',
      'VFTDWBAH',
      'VFTDWBAL',
      'VFTXDCTL',
    ]);
  });
});

describe('descriptors and messages', () => {
  it('agree with the second transcription', () => {
    const tables: Readonly<Record<string, unknown>> = { ...descriptors };
    for (const [word, masks] of Object.entries(DESCRIPTOR_MASKS)) {
      expect(tables[word], word).toMatchObject({ mask: masks });
    }
    expect(descriptors.RX_FRAME_ERRORS).toBe(0x3b00_0000);
    expect({ ...REQUEST, ...MESSAGE.mask }).toEqual(MAILBOX_CODES);
    expect(API_CODE).toEqual({
      '1.0': 0,
      '2.0': 1,
      '1.1': 2,
      '1.2': 3,
      '1.3': 4,
      '1.4': 5,
      '1.5': 6,
      '1.6': 7,
      '1.7': 8,
    });
  });
});

// The register table of src/hw turned into a look-up by offset, with the checks
// that need nothing but the table: unknown offset, access kind, reserved bits.

import type { Register } from '../../hw/define.ts';
import { ALL_ONES, REGISTERS, VFMRQC, VFRETA, VFRSSRK } from '../../hw/registers.ts';
import type { ViolationKind } from '../recorder.ts';

/** One 32-bit word of BAR0. */
export interface RegisterWord {
  readonly register: Register;
  readonly index: number;
  readonly offset: number;
  /** As the datasheet would print it: "VFRDT(3)". */
  readonly name: string;
  /** Bits that mean something; all where the table lists no fields. */
  readonly known: number;
}

/** Where a finding goes: kind, BAR0 offset, sentence. */
export type Report = (kind: ViolationKind, offset: number, detail: string) => void;

/** Registers that X550 brought: the VF of an earlier chip answers there as at an unassigned offset. */
const LATER_CHIPS: readonly Register[] = [VFMRQC, VFRSSRK, VFRETA];

const words = new Map<number, RegisterWord>();
for (const register of REGISTERS) {
  const masks = Object.values(register.mask);
  const known = masks.length === 0 ? ALL_ONES : masks.reduce((all, mask) => all | mask, 0) >>> 0;
  for (let index = 0; index < register.count; index++) {
    const offset = register.offset + index * register.step;
    const name = register.count === 1 ? register.name : `${register.name}(${index})`;
    words.set(offset, { register, index, offset, name, known });
  }
}

/** Every word that a VF of some chip has, by offset. */
export const REGISTER_WORDS: ReadonlyMap<number, RegisterWord> = words;

function find(offset: number, later: boolean): RegisterWord | undefined {
  const word = words.get(offset);
  return word !== undefined && !later && LATER_CHIPS.includes(word.register) ? undefined : word;
}

/**
 * @param later the chip is an X550
 * @returns the register at an offset that may be read, null where a read gives 0
 */
export function readable(offset: number, report: Report, later = false): RegisterWord | null {
  const word = find(offset, later);
  if (word === undefined) {
    report(
      'unknown-register',
      offset,
      `read of 0x${offset.toString(16)}, where a VF has no register`,
    );
    return null;
  }
  if (word.register.access === 'WO') {
    report('access-mode', offset, `read of ${word.name}, which is write-only`);
    return null;
  }
  return word;
}

/**
 * @param later the chip is an X550
 * @returns the register at an offset that takes this write, null where the write is to be dropped
 */
export function writableWord(
  offset: number,
  value: number,
  report: Report,
  later = false,
): RegisterWord | null {
  const hex = `0x${(value >>> 0).toString(16)}`;
  const word = find(offset, later);
  if (word === undefined) {
    const at = `0x${offset.toString(16)}`;
    report('unknown-register', offset, `write of ${hex} to ${at}, where a VF has no register`);
    return null;
  }
  if (word.register.access === 'RO') {
    report('access-mode', offset, `write of ${hex} to ${word.name}, which is read-only`);
    return null;
  }
  if ((value & ~word.known) !== 0) {
    const reserved = ((value & ~word.known) >>> 0).toString(16);
    report(
      'reserved-bits',
      offset,
      `write of ${hex} to ${word.name}: bits 0x${reserved} are reserved`,
    );
  }
  return word;
}

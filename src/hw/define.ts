// How the datasheet becomes data: a register is an offset, an access kind and
// fields written as the datasheet prints them, [high bit, low bit]; masks and
// shifts are computed. Follows the grammar of the register tables in
// "82599 DS sec 8". Holds no register itself.

/**
 * How software may use a register.
 * RW read and write; RO read; WO write, reads as 0; RC a read clears it; W1C writing 1 clears a bit;
 * W1S writing 1 sets a bit; RC_W1C both; MIXED each field has its own kind, given in the comment.
 */
export type AccessKind = 'RW' | 'RO' | 'WO' | 'RC' | 'W1C' | 'W1S' | 'RC_W1C' | 'MIXED';

/** Fields as [high bit, low bit], both inclusive, 0..31. */
export type FieldRanges = Readonly<Record<string, readonly [number, number]>>;

/** Masks and shifts of one 32-bit word, computed from its field ranges. */
export interface BitFields<F extends FieldRanges> {
  readonly ranges: F;
  /** Unsigned mask of each field, in place. */
  readonly mask: { readonly [K in keyof F]: number };
  /** Position of each field's lowest bit. */
  readonly shift: { readonly [K in keyof F]: number };
}

/** Computes masks (unsigned, in place) and shifts from bit ranges. */
export function fields<const F extends FieldRanges>(ranges: F): BitFields<F> {
  const mask: Record<string, number> = {};
  const shift: Record<string, number> = {};
  for (const [name, [high, low]] of Object.entries(ranges)) {
    mask[name] = ((2 ** (high - low + 1) - 1) * 2 ** low) >>> 0;
    shift[name] = low;
  }
  return {
    ranges,
    mask: mask as { readonly [K in keyof F]: number },
    shift: shift as { readonly [K in keyof F]: number },
  };
}

/** One register, or `count` registers `step` bytes apart. Offsets are bytes into BAR0. */
export interface Register<F extends FieldRanges = FieldRanges> extends BitFields<F> {
  readonly name: string;
  readonly offset: number;
  readonly step: number;
  readonly count: number;
  readonly access: AccessKind;
  /** True where VFCTRL.RST and VFLR leave the value alone (82599 specification update, clarification 5). */
  readonly survivesReset: boolean;
}

/** What `register` takes beside name, offset and access. */
export interface RegisterOptions<F extends FieldRanges> {
  readonly step?: number;
  readonly count?: number;
  readonly survivesReset?: boolean;
  readonly fields?: F;
}

/** Declares a register. */
export function register<const F extends FieldRanges = Record<never, never>>(
  name: string,
  offset: number,
  access: AccessKind,
  options: RegisterOptions<F> = {},
): Register<F> {
  return {
    name,
    offset,
    access,
    step: options.step ?? 0,
    count: options.count ?? 1,
    survivesReset: options.survivesReset ?? false,
    ...fields(options.fields ?? ({} as F)),
  };
}

/**
 * Byte offset of instance `index` of a register.
 * @throws RangeError where the register has no such instance
 */
export function at(reg: Register, index: number): number {
  if (!Number.isInteger(index) || index < 0 || index >= reg.count) {
    throw new RangeError(`${reg.name}: expected an index from 0 to ${reg.count - 1}, got ${index}`);
  }
  return reg.offset + index * reg.step;
}

// Small captures that players of captures get wrong, as bytes.

/** One record: captured and original length are written as they are told, whatever `data` holds. */
export interface CaptureRecord {
  readonly micros: number;
  readonly captured: number;
  readonly original: number;
  readonly data: Uint8Array;
}

/** A UDP frame of `length` bytes without CRC whose padding is `index`; with `tag`, of that VLAN. */
function udpFrame(length: number, index: number, tag?: number): Uint8Array {
  const type = tag === undefined ? '' : `8100${tag.toString(16).padStart(4, '0')}`;
  const ip = length - 14 - type.length / 2;
  const hex = (value: number): string => value.toString(16).padStart(4, '0');
  const head =
    `0209c0000000020000000099${type}0800` +
    `4500${hex(ip)}${hex(index)}0000401100000a0000010a000002` +
    `0fa00fa1${hex(ip - 20)}0000`;
  const frame = new Uint8Array(length).fill(index);
  frame.set(Buffer.from(head, 'hex'));
  return frame;
}

function file(records: readonly CaptureRecord[], magic = 0xa1b2c3d4, extra = 0): Buffer {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(magic, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(65_535, 16);
  header.writeUInt32LE(1, 20);
  const parts: Uint8Array[] = [header];
  for (const { micros, captured, original, data } of records) {
    const record = Buffer.alloc(16 + extra);
    for (const [i, value] of [1_700_000_000, micros, captured, original].entries()) {
      record.writeUInt32LE(value, i * 4);
    }
    parts.push(record, data);
  }
  return Buffer.concat(parts);
}

const tenOf = (make: (i: number) => CaptureRecord): CaptureRecord[] =>
  Array.from({ length: 10 }, (_, i) => make(i));
const plain = tenOf((i) => ({
  micros: 1000 * i,
  captured: 60 + i,
  original: 60 + i,
  data: udpFrame(60 + i, i),
}));

export const CAPTURES = {
  /** Ten ordinary frames of 60 to 69 bytes. */
  plain: file(plain),
  /** The first record holds 801 bytes of a frame that had 785. */
  caplong: file([{ micros: 0, captured: 801, original: 785, data: udpFrame(801, 1) }, ...plain]),
  /** Ten records of 64 bytes cut from 1,000. */
  snap: file(
    tenOf((i) => ({
      micros: i,
      captured: 64,
      original: 1000,
      data: udpFrame(1000, i).subarray(0, 64),
    })),
  ),
  /** Ten whole records, then one that breaks off. */
  trunc: Buffer.concat([
    file(plain),
    file([{ micros: 0, captured: 500, original: 500, data: Buffer.from('abc') }]).subarray(24),
  ]),
  /** Ten frames of 1,514 bytes plus a VLAN tag. */
  vlan1518: file(
    tenOf((i) => ({
      micros: 100 * i,
      captured: 1518,
      original: 1518,
      data: udpFrame(1518, i, 100),
    })),
  ),
  /** Alexey Kuznetsov's "modified" format, whose record headers have 24 bytes. */
  modified: file(plain, 0xa1b2cd34, 8),
  /** A file header alone. */
  none: file([]),
} as const;

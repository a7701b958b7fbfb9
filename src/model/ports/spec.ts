// The port SPEC of the command line as data: none, gen, pcap, tap, cable. Parses
// and checks; makes nothing. Contract: the SPEC paragraph of the command's help.

import { parseMac } from '../../support/mac.ts';
import { MAX_SIZE, MIN_SIZE, parseRate, parseSize, RATES } from '../../traffic/rates-and-sizes.ts';
import { MAX_FLOWS } from '../../traffic/test-frame.ts';
import type { LatencyWindow } from './latency.ts';

/** `gen[:...]`: a source and a sink. */
export interface GenSpec {
  readonly kind: 'gen';
  /** Frame lengths without CRC, 60..9724, offered in turn. */
  readonly lengths: readonly number[];
  /** Frames a second, or null for closed loop. */
  readonly rate: number | null;
  readonly flows: number;
  /** Frames after which it stops, or null. */
  readonly count: number | null;
  /** One frame in so many is stamped, and its latency measured where it comes back; null: none. */
  readonly latency: number | null;
  /** Seconds since the first frame came back, within which latency is measured; null: always. */
  readonly window: LatencyWindow | null;
  /** VF addressed and counted for. */
  readonly vf: number;
  /** Destination MAC instead of the VF's, 6 bytes. */
  readonly dst: Uint8Array | null;
}

/** `pcap:IN[,OUT][,...]`. */
export interface PcapSpec {
  readonly kind: 'pcap';
  readonly input: string;
  readonly output: string | null;
  /** null: `vf` where the port has one VF, else `keep`. */
  readonly dst: 'vf' | 'keep' | null;
  readonly vf: number;
  readonly rate: number | null;
  /** Frames that a snaplen cut are filled up with zeros. */
  readonly pad: boolean;
  /** Times the file is played; 0 for ever. What is no file, such as a FIFO, can be played once. */
  readonly loop: number;
}

/** What parsePortSpec returns. */
export type PortSpec =
  | { readonly kind: 'none' }
  | GenSpec
  | PcapSpec
  | { readonly kind: 'tap'; readonly name: string }
  | { readonly kind: 'cable'; readonly cable: number };

const FORMS =
  'none, gen[:size=64|imix,rate=PPS,flows=N,count=N,latency=N,window=FROM-TO,vf=V,dst=MAC], pcap:IN[,OUT][,dst=vf|keep,vf=V,rate=PPS,loop=N,pad=yes|no], tap:NAME, cable:N';

function refuse(spec: string, expected: string, got: string): RangeError {
  return new RangeError(`port spec "${spec}": expected ${expected}, got "${got}"`);
}

function integer(spec: string, key: string, text: string, low: number, high: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= low && value <= high) return value;
  throw refuse(spec, `${key}= an integer from ${low} to ${high}`, text);
}

/** Frames a second; null, for as many as the VF takes, where `text` is undefined. */
function rate(spec: string, text: string | undefined): number | null {
  if (text === undefined) return null;
  const value = parseRate(text);
  if (value === null) throw refuse(spec, `rate= ${RATES}`, text);
  return value;
}

function lengths(spec: string, text: string): readonly number[] {
  const found = parseSize(text);
  if (found !== null) return found;
  throw refuse(spec, `size= an integer from ${MIN_SIZE} to ${MAX_SIZE}`, text);
}

function mac(spec: string, text: string): Uint8Array {
  try {
    return parseMac('dst=', text);
  } catch {
    throw refuse(spec, 'dst= a MAC such as 02:09:c0:00:00:00', text);
  }
}

function latencyWindow(
  spec: string,
  text: string | undefined,
  latency: string | undefined,
): LatencyWindow | null {
  if (text === undefined) return null;
  if (latency === undefined) throw refuse(spec, 'latency=N beside window=', spec);
  const match = /^(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)$/.exec(text);
  const [from, to] = [Number(match?.[1]), Number(match?.[2])];
  if (from < to && to <= 1e6) return { from, to };
  throw refuse(spec, 'window= two numbers of seconds, ascending, such as 2-5', text);
}

/** Splits key=value items; a key that is not in `keys`, or comes twice, is refused. */
function options(
  spec: string,
  items: readonly string[],
  keys: readonly string[],
  hint = '',
): Map<string, string> {
  const found = new Map<string, string>();
  for (const item of items) {
    const equals = item.indexOf('=');
    const key = equals < 0 ? item : item.slice(0, equals);
    if (equals < 0 || !keys.includes(key)) {
      const known = keys.map((name) => `${name}=`).join(', ');
      throw refuse(spec, `one of ${known}${hint}`, item);
    }
    if (found.has(key)) throw refuse(spec, `${key}= once`, item);
    found.set(key, item.slice(equals + 1));
  }
  return found;
}

function parseGen(spec: string, rest: string): GenSpec {
  const items = rest === '' ? [] : rest.split(',');
  // "imix" alone is what users of other generators type.
  const named = items.map((item) => (item === 'imix' ? 'size=imix' : item));
  const given = options(spec, named, [
    ...['size', 'rate', 'flows', 'count', 'latency', 'window', 'vf', 'dst'],
  ]);
  const count = given.get('count');
  const latency = given.get('latency');
  const dst = given.get('dst');
  return {
    kind: 'gen',
    lengths: lengths(spec, given.get('size') ?? `${MIN_SIZE}`),
    rate: rate(spec, given.get('rate')),
    flows: integer(spec, 'flows', given.get('flows') ?? '1', 1, MAX_FLOWS),
    count: count === undefined ? null : integer(spec, 'count', count, 1, 2 ** 48 - 1),
    latency: latency === undefined ? null : integer(spec, 'latency', latency, 1, 1e6),
    window: latencyWindow(spec, given.get('window'), latency),
    vf: integer(spec, 'vf', given.get('vf') ?? '0', 0, 63),
    dst: dst === undefined ? null : mac(spec, dst),
  };
}

/** Splits at commas; a comma that is part of a path is written twice, as QEMU has it. */
function splitPaths(text: string): string[] {
  // No path holds a zero byte, so one can stand for the comma meanwhile.
  return text
    .replaceAll(',,', '\0')
    .split(',')
    .map((part) => part.replaceAll('\0', ','));
}

function parsePcapSpec(spec: string, rest: string): PcapSpec {
  const [input = '', ...items] = splitPaths(rest);
  if (input === '') throw refuse(spec, 'a file to play: pcap:IN', input);
  let output: string | null = null;
  // A path may hold "=" after a slash: ./a=b.pcap is a file, a=b.pcap a wrong option.
  if (items[0] !== undefined && !/^[^/]*=/.test(items[0])) output = items.shift() ?? null;
  if (output === '') throw refuse(spec, 'a file to write after the first comma', output);
  if (output === input) throw refuse(spec, 'another file to write than to read', input);
  const given = options(
    spec,
    items,
    ['dst', 'vf', 'rate', 'loop', 'pad'],
    '; a comma in a path is written twice',
  );
  const pad = given.get('pad') ?? 'no';
  if (pad !== 'yes' && pad !== 'no') throw refuse(spec, 'pad=yes or pad=no', pad);
  const dst = given.get('dst') ?? null;
  if (dst !== null && dst !== 'vf' && dst !== 'keep') throw refuse(spec, 'dst=vf or dst=keep', dst);
  return {
    kind: 'pcap',
    input,
    output,
    dst,
    vf: integer(spec, 'vf', given.get('vf') ?? '0', 0, 63),
    rate: rate(spec, given.get('rate')),
    pad: pad === 'yes',
    loop: integer(spec, 'loop', given.get('loop') ?? '1', 0, 2 ** 48 - 1),
  };
}

/**
 * Parses a port SPEC.
 * @throws RangeError: the spec, what was expected, what was got
 */
export function parsePortSpec(spec: string): PortSpec {
  const colon = spec.indexOf(':');
  const kind = colon < 0 ? spec : spec.slice(0, colon);
  const rest = colon < 0 ? '' : spec.slice(colon + 1);
  if (kind === 'none' && colon < 0) return { kind };
  if (kind === 'gen') return parseGen(spec, rest);
  if (kind === 'pcap') return parsePcapSpec(spec, rest);
  if (kind === 'cable') return { kind, cable: integer(spec, 'cable', rest, 0, 65_535) };
  if (kind === 'tap') {
    // IFNAMSIZ is 16 with its zero; the kernel refuses slashes, colons, blanks, "." and "..".
    if (!/^[^\s/:]{1,15}$/.test(rest) || rest === '.' || rest === '..') {
      throw refuse(spec, 'tap: an interface name of 1 to 15 bytes without blank, / or :', rest);
    }
    return { kind, name: rest };
  }
  throw refuse(spec, `one of ${FORMS}`, spec);
}

/**
 * A port SPEC for a child process: standard input and descriptors of this process, which a shell makes for `<(command)`,
 * become paths by which the child can open them.
 * @param pid of this process
 */
export function portSpecForChild(spec: string, pid: number): string {
  return spec.replace(
    /^pcap:(?:(-|\/dev\/stdin)|\/(?:dev|proc\/self)\/fd\/(\d+))(?=,(?!,)|$)/,
    (_, _stdin, fd = '0') => `pcap:/proc/${pid}/fd/${fd}`,
  );
}

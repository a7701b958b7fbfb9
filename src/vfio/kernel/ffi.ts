// ffi-napi, ref-napi and ref-struct-di as TypeScript sees them: CommonJS without types, loaded at
// the first use, so that the model and vfio-user work where they are not installed. ioctl goes
// through the shim's exported ixy_ioctl, which returns -errno: errno itself does not survive until
// JavaScript asks for it. A call costs 4 to 12 us: set-up only.

import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { VfioError } from '../../support/errors.ts';

/** C types of struct fields, in ref-napi's spelling. */
export type FieldType = 'uint16' | 'int32' | 'uint32' | 'uint64';

/** A struct's fields in the header's order. */
export type Shape = Readonly<Record<string, FieldType>>;

/** A struct's fields as JavaScript reads them: ref-napi gives 64 bits beyond 2**53 as a decimal string. */
export type FieldValues<S extends Shape> = {
  -readonly [F in keyof S]: S[F] extends 'uint64' ? number | string : number;
};

/** A struct type made by ref-struct-di. Instances are accessors over the buffer they are given. */
export interface StructType<S extends Shape> {
  readonly size: number;
  readonly fields: Readonly<Record<keyof S, { readonly offset: number }>>;
  new (backing: Buffer): FieldValues<S>;
}

interface Ref {
  readonly types: Readonly<Record<FieldType, object>>;
  address(buffer: Buffer): number;
}

interface Library {
  get(symbol: string): Buffer;
}

interface Ffi {
  readonly DynamicLibrary: {
    new (path: string, flags: number): Library;
    readonly FLAGS: { readonly RTLD_NOW: number };
  };
  ForeignFunction(
    pointer: Buffer,
    returns: string,
    takes: readonly string[],
  ): (...values: readonly (number | Buffer)[]) => number;
}

type StructMaker = (fields: Readonly<Record<string, object>>) => StructType<Shape>;

/** What the rest of this folder uses of the three packages. */
export interface Foreign {
  /** Makes a struct type with C's alignment. */
  struct<S extends Shape>(shape: S): StructType<S>;
  /** ioctl(2) with a pointer. @returns the ioctl's own result, or -errno */
  ioctlPointer(fd: number, request: number, argument: Buffer): number;
  /** ioctl(2) with a value. @returns the ioctl's own result, or -errno */
  ioctlValue(fd: number, request: number, argument: number): number;
  /** User-space address of a buffer's first byte, for pointers inside structs. Keep the buffer alive meanwhile. */
  addressOf(buffer: Buffer): number;
}

const shimFile = fileURLToPath(new URL('../../../dist/native/ixy-shim.node', import.meta.url));
let loaded: Foreign | undefined;

/**
 * The three packages, loaded at the first call.
 * @throws VfioError that says what to install
 */
export function foreign(): Foreign {
  loaded ??= load();
  return loaded;
}

function load(): Foreign {
  const require = createRequire(import.meta.url);
  try {
    const ffi = require('ffi-napi') as Ffi;
    const ref = require('@2060.io/ref-napi') as Ref;
    const makeStruct = (require('ref-struct-di') as (ref: Ref) => StructMaker)(ref);
    const library = new ffi.DynamicLibrary(shimFile, ffi.DynamicLibrary.FLAGS.RTLD_NOW);
    const symbol = library.get('ixy_ioctl');
    return {
      struct<S extends Shape>(shape: S) {
        const fields = Object.entries(shape).map(([name, type]) => [name, ref.types[type]]);
        return makeStruct(Object.fromEntries(fields)) as unknown as StructType<S>;
      },
      ioctlPointer: ffi.ForeignFunction(symbol, 'int64', ['int', 'uint64', 'pointer']),
      ioctlValue: ffi.ForeignFunction(symbol, 'int64', ['int', 'uint64', 'uint64']),
      addressOf: (buffer) => ref.address(buffer),
    };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.split('\n')[0] : String(cause);
    const detail = `kernel VFIO needs ffi-napi, @2060.io/ref-napi and ref-struct-di, which did not load (${why}); run \`npm install\` with cc, c++, make and python3 present, then \`npm run build\``;
    throw new VfioError('load ffi-napi', 0, 'node_modules', detail);
  }
}

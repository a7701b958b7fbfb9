// What `ixy preload` is told, checked: which sockets the program sees at which PCI addresses, and what
// its library is told through the environment.

import { existsSync, readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { addRoutingId, pciAddress } from '../../vfio/address.ts';
import { MAX_SOCKET_PATH_BYTES } from '../../vfio/user/exchange.ts';
import { flagOption, type ParsedArguments, textOption, UsageError } from '../arguments.ts';

const library = fileURLToPath(new URL('../../../dist/native/preload.so', import.meta.url));
const MAX_DEVICES = 64;

/** A device as the program sees it. */
export interface PreloadedDevice {
  /** "0000:00:05.0". */
  readonly address: string;
  readonly socket: string;
}

/** What the command line asks for. */
export interface PreloadPlan {
  readonly devices: readonly PreloadedDevice[];
  readonly program: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

function readDevice(text: string): PreloadedDevice {
  const [given, ...rest] = text.split('=');
  const address = pciAddress(given);
  const socket = rest.join('=');
  if (address === undefined || socket === '') {
    throw new UsageError(
      `--device: expected a PCI address and a socket, such as 0000:00:05.0=/run/p0v0.sock, got '${text}'`,
    );
  }
  return { address, socket: resolve(socket) };
}

/** Address of VF V of port P: bus C0 + P, device and function from V. */
function addressOf(port: number, vf: number): string {
  return addRoutingId('0000:c0:00.0', port * 256 + vf);
}

function devicesIn(folder: string): PreloadedDevice[] {
  const names = existsSync(folder) ? readdirSync(folder) : [];
  const found = names.flatMap((name) => {
    const match = /^p(\d+)v(\d+)\.sock$/.exec(name);
    if (match === null) return [];
    const [port, vf] = [Number(match[1]), Number(match[2])];
    return [{ port, vf, device: { address: addressOf(port, vf), socket: resolve(folder, name) } }];
  });
  if (found.length === 0) {
    throw new UsageError(
      `--dir: expected sockets pPvV.sock in ${folder}, got none; start 'ixy model' first`,
    );
  }
  return found.sort((a, b) => a.port - b.port || a.vf - b.vf).map(({ device }) => device);
}

function checkDevices(devices: readonly PreloadedDevice[]): void {
  if (devices.length > MAX_DEVICES) {
    throw new UsageError(`expected at most ${MAX_DEVICES} devices, got ${devices.length}`);
  }
  for (const { address, socket } of devices) {
    if (devices.filter((other) => other.address === address).length > 1) {
      throw new UsageError(`--device: expected an address once, got ${address} twice`);
    }
    if (Buffer.byteLength(socket) > MAX_SOCKET_PATH_BYTES || socket.includes(',')) {
      throw new UsageError(
        `${socket}: expected a path of up to ${MAX_SOCKET_PATH_BYTES} bytes without a comma`,
      );
    }
    if (!existsSync(socket))
      throw new UsageError(`${socket}: no such socket; start 'ixy model' first`);
  }
}

/** Reads the command line of `ixy preload`. @throws UsageError; Error where the library was not built */
export function preloadPlan(args: ParsedArguments): PreloadPlan {
  if (args.positionals.length === 0) {
    throw new UsageError(
      "preload: expected -- PROGRAM ARGS, got no program; see 'ixy preload --help'",
    );
  }
  const given = args.values.device;
  const devices =
    Array.isArray(given) && given.length > 0
      ? (given as readonly string[]).map(readDevice)
      : devicesIn(textOption(args, 'dir') ?? '');
  checkDevices(devices);
  if (!existsSync(library)) throw new Error(`${library} is missing: run 'npm run build'`);
  const preload = [library, process.env.LD_PRELOAD].filter(
    (path) => path !== undefined && path !== '',
  );
  return {
    devices,
    program: args.positionals,
    environment: {
      LD_PRELOAD: preload.join(':'),
      IXY_PRELOAD_DEVICES: devices.map(({ address, socket }) => `${address}=${socket}`).join(','),
      IXY_PRELOAD_ERRNO: textOption(args, 'errno') ?? '',
      IXY_PRELOAD_EXACT: flagOption(args, 'exact-dma') ? '1' : '0',
      IXY_PRELOAD_VERBOSE: flagOption(args, 'verbose') ? '1' : '0',
    },
  };
}

// `ixy preload`: runs an unmodified VFIO program on the sockets of a model. The program gets a
// private mount namespace with a small /sys for its devices (fake-sysfs.ts), and a library that
// answers its VFIO calls (native/preload). Whoever is not root runs it in a user namespace, in
// which the program believes to be root.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type Command,
  flagOption,
  HELP_OPTION,
  type ParsedArguments,
  textOption,
  UsageError,
} from '../arguments.ts';
import { MODEL_OPTIONS } from '../model/plan.ts';
import { SHADOW_SCRIPT, writeFakeSysfs } from './fake-sysfs.ts';

const library = fileURLToPath(new URL('../../../dist/native/preload.so', import.meta.url));
/** Room of an address in struct sockaddr_un, less its NUL. */
const MAX_SOCKET_BYTES = 107;
const MAX_DEVICES = 64;

interface PreloadedDevice {
  /** "0000:00:05.0". */
  readonly address: string;
  readonly socket: string;
}

interface Plan {
  readonly devices: readonly PreloadedDevice[];
  readonly program: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

function readDevice(text: string): PreloadedDevice {
  const match = /^(?:([0-9a-f]{4}):)?([0-9a-f]{2}:[0-9a-f]{2}\.[0-7])=(.+)$/.exec(text);
  if (match === null) {
    throw new UsageError(
      `--device: expected a PCI address and a socket, such as 0000:00:05.0=/run/p0v0.sock, got '${text}'`,
    );
  }
  return { address: `${match[1] ?? '0000'}:${match[2]}`, socket: resolve(match[3]) };
}

/** Address of VF V of port P: bus C0 + P, device and function from V. */
function addressOf(port: number, vf: number): string {
  const bus = (0xc0 + port).toString(16).padStart(2, '0');
  return `0000:${bus}:${(vf >> 3).toString(16).padStart(2, '0')}.${vf & 7}`;
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
    if (Buffer.byteLength(socket) > MAX_SOCKET_BYTES || socket.includes(',')) {
      throw new UsageError(
        `${socket}: expected a path of up to ${MAX_SOCKET_BYTES} bytes without a comma`,
      );
    }
    if (!existsSync(socket))
      throw new UsageError(`${socket}: no such socket; start 'ixy model' first`);
  }
}

function plan(args: ParsedArguments): Plan {
  if (args.positionals.length === 0) {
    throw new UsageError(
      "ixy preload: expected -- PROGRAM ARGS, got no program; see 'ixy preload --help'",
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

/** unshare(1)'s options that work here: as root without a user namespace, else with one. */
function namespaceOptions(): readonly string[] {
  const plain = ['--mount', '--propagation', 'private'];
  const candidates = [
    ...(process.getuid?.() === 0 ? [plain] : []),
    [...plain, '--user', '--map-root-user'],
  ];
  let why = '';
  for (const options of candidates) {
    const { status, stderr, error } = spawnSync('unshare', [...options, 'true'], {
      encoding: 'utf8',
    });
    if (status === 0) return options;
    why = error?.message ?? stderr.trim();
  }
  throw new Error(
    `no private mount namespace to be had (${why}): allow user namespaces, or run as root`,
  );
}

/** Runs the program to its end; signals sent to this process go on to it. @returns its status, 128 + N for signal N */
async function runProgram({ devices, program, environment }: Plan): Promise<number> {
  const options = namespaceOptions();
  const folder = mkdtempSync(join(tmpdir(), 'ixy-preload-'));
  try {
    writeFakeSysfs(
      folder,
      devices.map(({ address }) => address),
    );
    // Only the program itself gets the library: what mounts the tree has no use for it.
    const settings = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
    const child = spawn(
      'unshare',
      [...options, 'sh', '-c', SHADOW_SCRIPT, 'sh', folder, 'env', ...settings, ...program],
      { stdio: 'inherit' },
    );
    for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT'] as const) {
      process.on(signal, () => {
        // A terminal's Ctrl-C went to the program, too.
        if (signal !== 'SIGINT' || process.stdin.isTTY !== true) child.kill(signal);
      });
    }
    return await new Promise((done, failed) => {
      child.on('error', failed);
      child.on('exit', (status, signal) => {
        done(status ?? 128 + (signal === null ? 0 : constants.signals[signal]));
      });
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** See the head of this file. */
export const preload: Command = {
  name: 'preload',
  synopsis: '[options] -- PROGRAM [ARGS]',
  summary:
    "Run an unmodified VFIO program on the model's sockets, without kernel VFIO.\nVF V of port P gets the PCI address 0000:cP:00.V unless --device says otherwise.",
  options: {
    device: {
      type: 'string',
      value: 'ADDRESS=SOCKET',
      help: 'a device the program sees; may be repeated (default: all sockets of --dir)',
      multiple: true,
    },
    dir: {
      type: 'string',
      value: 'DIR',
      help: "where the model's sockets are",
      ...defaultOf(MODEL_OPTIONS.dir?.default),
    },
    'exact-dma': {
      type: 'boolean',
      help: 'devices may reach exactly what was mapped, also where that is 65,536 pieces',
    },
    errno: {
      type: 'string',
      value: 'LIST',
      help: 'calls that fail: MAP_DMA=ENOMEM,DEVICE_RESET=EINVAL@2 (the second one only)',
    },
    verbose: { type: 'boolean', help: 'say on stderr what fails' },
    help: HELP_OPTION,
  },
  maxPositionals: Number.MAX_SAFE_INTEGER,
  async run(args) {
    const what = plan(args);
    for (const { address, socket } of what.devices) {
      process.stderr.write(`ixy preload: ${address} is ${socket}\n`);
    }
    return runProgram(what);
  },
};

function defaultOf(value: string | undefined): { readonly default?: string } {
  return value === undefined ? {} : { default: value };
}

// What `ixy model` is told, checked: options of the command line to ports, VFs, MACs. Makes nothing.

import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type HostAct, parseWords } from '../../model/host/words.ts';
import { parsePortSpec } from '../../model/ports/spec.ts';
import {
  DEFAULT_SILICON,
  MAC_TYPES,
  type MacType,
  parseSilicon,
  SILICON_HELP,
  type Silicon,
} from '../../model/silicon.ts';
import type { PfPersonality } from '../../model/types.ts';
import type { MacBytes } from '../../support/mac.ts';
import {
  durationSeconds,
  flagOption,
  INTERVAL_OPTION,
  integerOption,
  intervalSeconds,
  type OptionSpec,
  type ParsedArguments,
  textOption,
  UsageError,
} from '../arguments.ts';
import { stationMac } from '../run/mac-option.ts';

/** Ports that a command line can describe. */
export const MAX_PORTS = 8;
const MAX_VFS = 63;
const MIN_PF_MTU = 1500;
const MAX_PF_MTU = 9710;
const PERSONALITIES: readonly PfPersonality[] = ['linux-6.1', 'linux-7.3', 'dpdk'];

/** One port of the model. */
export interface PortSetup {
  readonly vfs: number;
  readonly pf: PfPersonality;
  /** MTU of the PF's own interface, bytes. */
  readonly pfMtu: number;
  /** Port SPEC. */
  readonly wire: string;
  /** 6 bytes a VF, as the PF assigned them; null: none. */
  readonly macs: readonly (MacBytes | null)[];
}

/** A model to be served, and what it prints meanwhile. */
export interface ModelPlan {
  readonly ports: readonly PortSetup[];
  readonly directory: string;
  /** To be done before anybody attaches. */
  readonly acts: readonly HostAct[];
  readonly trapAll: boolean;
  /** VFs have the MSI-X capability. */
  readonly msix: boolean;
  readonly macType: MacType;
  readonly silicon: Silicon;
  /** 0: no end. */
  readonly durationSeconds: number;
  /** Between two reports; 0: only the last one. */
  readonly intervalSeconds: number;
  /** Ends when standard input does; signals are the parent's. */
  readonly exitWithStdin: boolean;
  readonly json: boolean;
  /** Rates while it runs, and what clients do. */
  readonly verbose: boolean;
}

/** Where a model's sockets are unless told otherwise. */
export const MODEL_DIRECTORY = join(
  process.env.XDG_RUNTIME_DIR ?? tmpdir(),
  `ixy-model-${process.getuid?.() ?? 0}`,
);

/** The options that describe a model. */
export const MODEL_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  ports: { type: 'string', value: 'N', help: `ports, 1 to ${MAX_PORTS}`, default: '2' },
  vfs: { type: 'string', value: 'N', help: `VFs of each port, 1 to ${MAX_VFS}`, default: '1' },
  dir: {
    type: 'string',
    value: 'DIR',
    help: 'where the sockets pPvV.sock go; made if it does not exist',
    default: MODEL_DIRECTORY,
  },
  ...Object.fromEntries(
    Array.from({ length: MAX_PORTS }, (_, port) => [`port${port}`, portOption(port)]),
  ),
  pf: {
    type: 'string',
    value: 'NAME',
    help: `the host's PF driver: ${PERSONALITIES.join(', ')}`,
    default: PERSONALITIES[0] as string,
  },
  'pf-mtu': {
    type: 'string',
    value: 'N',
    help: `MTU of the host's PF interface, ${MIN_PF_MTU} to ${MAX_PF_MTU}: an 82599 VF gets jumbo frames only above 1500`,
    default: `${MIN_PF_MTU}`,
  },
  interval: INTERVAL_OPTION,
  'trap-all': { type: 'boolean', help: 'share no BAR page: every register access is a message' },
  'no-msix': {
    type: 'boolean',
    help: 'VFs without MSI-X, which QEMU 11.1 needs to unplug one',
  },
  'mac-type': {
    type: 'string',
    value: 'TYPE',
    help: `the chip: ${Object.keys(MAC_TYPES).join(', ')}`,
    default: '82599',
  },
  silicon: {
    type: 'string',
    value: 'MODE[,MODE]',
    help: `what the chip does where sources are silent or disagree: ${SILICON_HELP}`,
  },
  set: {
    type: 'string',
    value: 'WORDS',
    help: 'what `ixy pf` would do, before anybody attaches: "0 vf 0 vlan 7 qos 3", "0 tc 4"; may be repeated',
    multiple: true,
  },
  mac: {
    type: 'string',
    value: 'P.V=MAC',
    help: 'MAC that the PF assigns to VF V of port P, or none; may be repeated (default 02:09:c0:00:PP:VV)',
    multiple: true,
  },
};

function portOption(port: number): OptionSpec {
  const help =
    port === 0
      ? 'plugged into port 0: none, gen[:...], pcap:IN[,OUT], tap:NAME, or cable:N, which joins the two ports that name the same N (default none)'
      : `the same for port ${port}`;
  return { type: 'string', value: 'SPEC', help };
}

/**
 * Reads the command line of `ixy model`.
 * @throws UsageError
 */
export function modelPlan(args: ParsedArguments): ModelPlan {
  const portCount = integerOption(args, 'ports', 1, MAX_PORTS);
  const vfs = integerOption(args, 'vfs', 1, MAX_VFS);
  const pf = personality(textOption(args, 'pf') ?? '');
  const pfMtu = integerOption(args, 'pf-mtu', MIN_PF_MTU, MAX_PF_MTU);
  const macs = assignedMacs(args, portCount, vfs);
  for (let port = portCount; port < MAX_PORTS; port++) {
    if (textOption(args, `port${port}`) === undefined) continue;
    throw new UsageError(`--port${port}: expected a port below --ports ${portCount}`);
  }
  return {
    ports: macs.map((row, port) => ({
      vfs,
      pf,
      pfMtu,
      wire: portSpec(
        textOption(args, `port${port}`) ?? 'none',
        flagOption(args, 'exit-with-stdin'),
      ),
      macs: row,
    })),
    directory: textOption(args, 'dir') ?? '',
    acts: textOptions(args, 'set').map(hostAct),
    trapAll: flagOption(args, 'trap-all'),
    msix: !flagOption(args, 'no-msix'),
    macType: macType(textOption(args, 'mac-type') ?? ''),
    silicon: silicon(textOption(args, 'silicon')),
    durationSeconds: durationSeconds(args),
    intervalSeconds: intervalSeconds(args),
    exitWithStdin: flagOption(args, 'exit-with-stdin'),
    json: flagOption(args, 'json'),
    verbose: flagOption(args, 'verbose'),
  };
}

function textOptions(args: ParsedArguments, name: string): readonly string[] {
  const given = args.values[name];
  return Array.isArray(given) ? (given as readonly string[]) : [];
}

function hostAct(words: string): HostAct {
  try {
    return parseWords(words.trim().split(/\s+/));
  } catch (error) {
    throw new UsageError(`--set: ${(error as Error).message}; see 'ixy pf --help'`);
  }
}

function personality(name: string): PfPersonality {
  const found = PERSONALITIES.find((known) => known === name);
  if (found !== undefined) return found;
  throw new UsageError(`--pf: expected ${PERSONALITIES.join(', ')}, got '${name}'`);
}

function macType(name: string): MacType {
  const known = Object.keys(MAC_TYPES) as MacType[];
  const found = known.find((type) => type === name);
  if (found !== undefined) return found;
  throw new UsageError(`--mac-type: expected ${known.join(', ')}, got '${name}'`);
}

function silicon(modes: string | undefined): Silicon {
  if (modes === undefined) return DEFAULT_SILICON;
  try {
    return parseSilicon(modes);
  } catch (error) {
    throw new UsageError(`--${(error as Error).message}`);
  }
}

function portSpec(spec: string, stdinIsTaken: boolean): string {
  try {
    const parsed = parsePortSpec(spec);
    if (stdinIsTaken && parsed.kind === 'pcap' && parsed.input === '-') {
      throw new RangeError(
        `port spec "${spec}": expected a path, since --exit-with-stdin takes standard input, got -`,
      );
    }
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  return spec;
}

function assignedMacs(args: ParsedArguments, ports: number, vfs: number): (MacBytes | null)[][] {
  const macs = Array.from({ length: ports }, (_, port) =>
    Array.from({ length: vfs }, (_, vf): MacBytes | null =>
      Uint8Array.of(0x02, 0x09, 0xc0, 0x00, port, vf),
    ),
  );
  for (const text of textOptions(args, 'mac')) {
    const match = /^(\d{1,3})\.(\d{1,3})=(none|[0-9a-f:]{17})$/i.exec(text);
    const row = macs[Number(match?.[1])];
    const vf = Number(match?.[2]);
    if (match === null || row === undefined || vf >= vfs) {
      const last = `${ports - 1}.${vfs - 1}`;
      throw new UsageError(
        `--mac: expected P.V=MAC or P.V=none with P.V from 0.0 to ${last}, got '${text}'`,
      );
    }
    row[vf] = match[3] === 'none' ? null : stationMac('--mac', match[3]);
  }
  return macs;
}

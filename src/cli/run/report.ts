// Rates and totals of devices and model ports, as lines for a person or as the
// JSON objects of the contract (one a second, the last with "final": true).

import { availableParallelism } from 'node:os';
import type { IxgbeVf } from '../../ixgbevf/vf.ts';
import type { NicCounters } from '../../model/nic.ts';
import type { LatencyRow } from '../../model/ports/latency.ts';
import { countersLine } from './counters-line.ts';
import { latencyLine } from './latency-line.ts';
import { scaled } from './scaled.ts';
import type { Session } from './session.ts';

/** Preamble, start delimiter, gap: what a frame costs on the wire beside its bytes and CRC. */
const WIRE_OVERHEAD_BYTES = 20;
const CRC_BYTES = 4;

/** One device in the JSON report. */
export interface DeviceReport {
  readonly device: string;
  readonly link: boolean;
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly txPackets: number;
  readonly txBytes: number;
  readonly rxMpps: number;
  readonly txMpps: number;
  readonly txDropped: number;
  /** Always null: an 82599 VF has no counter of what the NIC dropped. */
  readonly rxMissed: null;
  /** Times the VF was reset, or taken away and given back, and went on. */
  readonly restarts: number;
  /** Frames that lay in its rings then: arrived and not taken out, or among `txPackets` and not sent. */
  readonly lost: number;
}

interface Totals {
  rxPackets: number;
  rxBytes: number;
  txPackets: number;
  txBytes: number;
}

function totals(vf: IxgbeVf): Totals {
  const sum: Totals = { rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0 };
  for (const queue of vf.rx) {
    sum.rxPackets += queue.counters.packets;
    sum.rxBytes += queue.counters.bytes;
  }
  for (const queue of vf.tx) {
    sum.txPackets += queue.counters.packets;
    sum.txBytes += queue.counters.bytes;
  }
  return sum;
}

const round = (value: number): number => Math.round(value * 1000) / 1000;

/** Turns the queues' running counters into rates over the time since the last look. */
export class DeviceMeter {
  private readonly vf: IxgbeVf;
  private readonly name: string;
  private readonly txDropped: () => number;
  private last: Totals = { rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0 };
  private lastSeconds = 0;

  /** @param txDropped frames given up because the tx ring did not take them in time */
  constructor(vf: IxgbeVf, name: string, txDropped: () => number) {
    this.vf = vf;
    this.name = name;
    this.txDropped = txDropped;
  }

  /**
   * @param seconds since the command started
   * @param whole rates over the whole run instead of since the last call
   */
  look(seconds: number, link: boolean, whole = false): DeviceReport {
    const now = totals(this.vf);
    const since = whole ? { rxPackets: 0, txPackets: 0 } : this.last;
    const elapsed = whole ? seconds : seconds - this.lastSeconds;
    const rate = (count: number): number => (elapsed > 0 ? round(count / elapsed / 1e6) : 0);
    const invalid = this.vf.tx.reduce((sum, queue) => sum + queue.counters.dropped, 0);
    const report: DeviceReport = {
      device: this.name,
      link,
      ...now,
      rxMpps: rate(now.rxPackets - since.rxPackets),
      txMpps: rate(now.txPackets - since.txPackets),
      txDropped: this.txDropped() + invalid,
      rxMissed: null,
      restarts: this.vf.restarts,
      lost: [...this.vf.rx, ...this.vf.tx].reduce((sum, { counters }) => sum + counters.lost, 0),
    };
    this.last = now;
    this.lastSeconds = seconds;
    return report;
  }
}

/** A device as one line: "[model:0.0] RX: 7.44 Mpps, 5.00 Gbit/s; TX: ...", the bits with what a frame costs on the wire. */
export function deviceLine(
  now: DeviceReport,
  before: DeviceReport | undefined,
  seconds: number,
): string {
  const rates = (packets: number, bytes: number): string => {
    const bits = (bytes + packets * (WIRE_OVERHEAD_BYTES + CRC_BYTES)) * 8;
    const rate = (count: number): number => (seconds > 0 ? count / seconds : 0);
    return `${scaled(rate(packets), 'pps')}, ${scaled(rate(bits), 'bit/s')}`;
  };
  const { rxPackets = 0, rxBytes = 0, txPackets = 0, txBytes = 0 } = before ?? {};
  const rx = rates(now.rxPackets - rxPackets, now.rxBytes - rxBytes);
  const tx = rates(now.txPackets - txPackets, now.txBytes - txBytes);
  return `[${now.device}]${now.link ? '' : ' (link down)'} RX: ${rx}; TX: ${tx}`;
}

/** A device that a command reports on. */
export interface ReportedDevice {
  readonly vf: IxgbeVf;
  readonly name: string;
  /** Frames given up because the tx ring did not take them in time. */
  readonly dropped: () => number;
}

/** How a RunReport prints. */
export interface ReportOptions {
  readonly json: boolean;
  /** Takes a line; default: the session's, stdout. */
  readonly print?: (line: string) => void;
  /** Further fields of each JSON object. */
  readonly more?: () => object;
  /** No lines while it runs, totals only; JSON is printed all the same. */
  readonly quiet?: boolean;
}

/** Prints the rates of a command's devices once a second and their totals at the end. */
export class RunReport {
  private readonly session: Session;
  private readonly devices: readonly ReportedDevice[];
  private readonly options: ReportOptions;
  private readonly meters: readonly DeviceMeter[];
  private readonly print: (line: string) => void;
  private before: readonly DeviceReport[] = [];
  private beforeSeconds = 0;

  constructor(session: Session, devices: readonly ReportedDevice[], options: ReportOptions) {
    this.session = session;
    this.devices = devices;
    this.options = options;
    this.print = options.print ?? ((line) => session.print(line));
    this.meters = devices.map(({ vf, name, dropped }) => new DeviceMeter(vf, name, dropped));
  }

  /** Once a second. @param ports last rows of the command's own model */
  tick(ports: readonly NicCounters[] | undefined): void {
    const { session, before, beforeSeconds } = this;
    const now = this.look(false);
    if (this.options.json) this.json(now, ports, {});
    else if (this.options.quiet !== true) {
      for (const [i, row] of now.entries()) {
        this.print(deviceLine(row, before[i], session.seconds - beforeSeconds));
      }
    }
    this.before = now;
    this.beforeSeconds = session.seconds;
  }

  /** Totals; the devices must still be open. */
  last(): DeviceReport[] {
    return this.look(true);
  }

  /** @param rows what `last` gave, @param ports the final rows of the command's own model, @param latency likewise */
  final(
    rows: readonly DeviceReport[],
    ports: readonly NicCounters[] | undefined,
    latency: readonly LatencyRow[] = [],
  ): void {
    if (this.options.json) {
      this.json(rows, ports, { final: true });
      return;
    }
    for (const row of rows) {
      const line = deviceLine(row, undefined, this.session.seconds);
      this.print(
        `total ${line}; ${row.rxPackets} received, ${row.txPackets} sent, ${row.txDropped} dropped`,
      );
    }
    for (const row of ports ?? []) this.print(countersLine(row));
    for (const row of latency) this.print(latencyLine(row));
  }

  private look(whole: boolean): DeviceReport[] {
    return this.meters.map((meter, i) =>
      meter.look(this.session.seconds, linkOf(this.devices[i].vf), whole),
    );
  }

  private json(
    devices: readonly DeviceReport[],
    ports: readonly NicCounters[] | undefined,
    end: object,
  ): void {
    const object = {
      seconds: this.session.roundedSeconds,
      devices,
      ...this.options.more?.(),
      ...(ports && { ports }),
      ...end,
    };
    this.print(JSON.stringify(object));
  }
}

/** Link state for the report; a device that is gone has none. */
function linkOf(vf: IxgbeVf): boolean {
  try {
    return vf.link().up;
  } catch {
    return false;
  }
}

/** Says on stderr where threads will get in each other's way. @param threads that spin, in all processes of the command */
export function warnOfFewCpus(threads: number): void {
  const cpus = availableParallelism();
  if (cpus < threads) {
    process.stderr.write(
      `warning: ${threads} threads will spin on ${cpus} CPU${cpus === 1 ? '' : 's'}; expect a small fraction of the rate\n`,
    );
  }
}

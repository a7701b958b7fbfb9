// What a model prints: which sockets it serves, then how it is doing; lines for a person, or the JSON
// objects that a command reads of the model it has started for itself.

import type { Nic, NicCounters } from '../../model/nic.ts';
import { type LatencyCounts, type LatencyRow, latencyRow } from '../../model/ports/latency.ts';
import { formatMac } from '../../support/mac.ts';
import { countersLine } from '../run/counters-line.ts';
import { latencyLine } from '../run/latency-line.ts';
import { scaled } from '../run/scaled.ts';
import type { Session } from '../run/session.ts';
import type { ModelPlan } from './plan.ts';

/** How the model itself is doing. */
export interface ModelLoad {
  /** Share, 0 to 1, of the time in which there was nothing to move: of the last interval; in the last report, from first to last work. */
  readonly idle: number;
  /** One row a generator with latency=N, since the start. */
  readonly latency: readonly LatencyCounts[];
}

/** How a model is doing, as JSON. */
export interface ModelReport {
  readonly seconds: number;
  /** Always empty: the model has no devices of its own; the key is there because every command has it. */
  readonly devices: readonly [];
  readonly ports: readonly NicCounters[];
  readonly idle: number;
  readonly latency: readonly LatencyRow[];
}

/** Prints lines for a person, or JSON. */
export class Printer {
  private readonly session: Session;
  private readonly plan: ModelPlan;
  private last: readonly NicCounters[] = [];
  private lastSeconds = 0;

  constructor(session: Session, plan: ModelPlan) {
    this.session = session;
    this.plan = plan;
  }

  /** @param sockets one a VF, by port and VF */
  ready(sockets: readonly string[], nic: Pick<Nic, 'pf'>): void {
    const vfs = this.plan.ports.flatMap(({ macs }, port) =>
      macs.map((_, vf) => ({ port, vf, mac: nic.pf(port).adminMac(vf) })),
    );
    for (const [i, { port, vf, mac }] of vfs.entries()) {
      const socket = sockets[i];
      const text = mac === null ? null : formatMac(mac);
      if (this.plan.json) this.line({ socket, mac: text, port, vf });
      else this.session.print(`${socket} ${text ?? 'none'}`);
    }
    if (this.plan.json) this.line({ ready: true });
    else this.session.print('ready');
  }

  counters(rows: readonly NicCounters[], load: ModelLoad, final: boolean): void {
    const { seconds, roundedSeconds } = this.session;
    if (this.plan.json) {
      const idle = Math.round(load.idle * 1000) / 1000;
      const latency = load.latency.map(latencyRow);
      const report: ModelReport = {
        seconds: roundedSeconds,
        devices: [],
        ports: rows,
        idle,
        latency,
      };
      this.line(final ? { ...report, final } : report);
    } else if (final) {
      for (const row of rows) this.session.print(countersLine(row));
      for (const counts of load.latency) this.session.print(latencyLine(latencyRow(counts)));
    } else if (this.plan.verbose) {
      for (const [i, row] of rows.entries()) this.session.print(this.rates(row, i, seconds));
    }
    this.last = rows;
    this.lastSeconds = seconds;
  }

  private rates(row: NicCounters, i: number, seconds: number): string {
    const elapsed = Math.max(seconds - this.lastSeconds, 1e-3);
    const rate = (now: number, before = 0): string => scaled((now - before) / elapsed, 'pps');
    const last = this.last[i];
    const toVf = rate(row.delivered, last?.delivered);
    return `[p${row.port}v${row.vf}] to VF: ${toVf}, came back: ${rate(row.sinkReceived, last?.sinkReceived)}`;
  }

  private line(value: object): void {
    this.session.print(JSON.stringify(value));
  }
}

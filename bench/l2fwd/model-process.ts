// The software 82599 of a measurement: `ixy model` as a child, fresh for each, two ports with a
// generator and one VF each, its JSON reports collected.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { NicCounters } from 'ixy.ts';
import { Child } from '../method/child.ts';
import { atEnd, BenchError } from '../method/life.ts';
import type { LatencyRow } from './latency.ts';

export const IXY = fileURLToPath(new URL('../../cli/main.js', import.meta.url));
const READY_MS = 20_000;
/** A report is due every second; a machine that has other things to do gets more. */
const REPORT_MS = 15_000;

/** A line of `ixy model --json`. */
export interface ModelReport {
  readonly seconds: number;
  readonly ports: readonly NicCounters[];
  /** Share of the last interval in which the model had nothing to do; absent in models that do not report it. */
  readonly idle?: number;
  readonly latency?: readonly (LatencyRow & { readonly stamped: number })[];
  readonly final?: true;
}

/** Load of each of the two generators. */
export interface Load {
  /** "64", "imix". */
  readonly size: string;
  /** Frames a second of one port, or null for a closed loop. */
  readonly rate: number | null;
  /** One frame in so many is stamped; null: none. */
  readonly latencyEvery: number | null;
  /** Seconds since the first frame came back, within which latency is measured; then nothing is reported but the end. */
  readonly window: readonly [from: number, to: number] | null;
}

/** Port SPEC of a load. */
export function specOf({ size, rate, latencyEvery, window }: Load): string {
  const items = [`size=${size}`];
  if (rate !== null) items.push(`rate=${Math.max(1, Math.round(rate))}`);
  if (latencyEvery !== null) items.push(`latency=${latencyEvery}`);
  if (window !== null) items.push(`window=${window.join('-')}`);
  return `gen:${items.join(',')}`;
}

/** A running model. It ends with the bench, and its folder with it. */
export class ModelProcess {
  /** Directory of the sockets. */
  readonly folder: string;
  private readonly child: Child;
  private readonly cancel: () => void;
  private next = 0;

  private constructor(load: Load, cpu: number | null) {
    this.folder = mkdtempSync(join(tmpdir(), 'ixy-bench-'));
    this.cancel = atEnd(() => rmSync(this.folder, { recursive: true, force: true }));
    const spec = specOf(load);
    const args = [IXY, 'model', '--json', '--exit-with-stdin', '--dir', this.folder];
    args.push('--port0', spec, '--port1', spec, '--interval', load.window === null ? '1' : '0');
    this.child = new Child(process.execPath, args, { name: 'the model', cpu });
  }

  /** Starts one and waits until it serves. @throws BenchError */
  static async start(load: Load, cpu: number | null): Promise<ModelProcess> {
    const model = new ModelProcess(load, cpu);
    try {
      const ready = (line: string): boolean => /"ready":true/.test(line);
      model.next = 1 + (await model.child.line(ready, 0, READY_MS));
      return model;
    } catch (error) {
      await model.stop();
      throw error;
    }
  }

  /** Address of the VF of a port. */
  address(port: number): string {
    return `vfio-user:${join(this.folder, `p${port}v0.sock`)}`;
  }

  /** Waits for the next report. @throws BenchError where none comes */
  async report(): Promise<ModelReport> {
    const isReport = (line: string): boolean => line.includes('"ports":');
    const i = await this.child.line(isReport, this.next, REPORT_MS);
    this.next = i + 1;
    return JSON.parse(this.child.lines[i]) as ModelReport;
  }

  /** Ends it. @returns its final report, undefined where there was none */
  async stop(): Promise<ModelReport | undefined> {
    await this.child.stop();
    rmSync(this.folder, { recursive: true, force: true });
    this.cancel();
    const line = this.child.lines.findLast((text) => text.includes('"final":true'));
    return line === undefined ? undefined : (JSON.parse(line) as ModelReport);
  }

  /** As `stop`, where a final report is needed. @throws BenchError */
  async finish(): Promise<ModelReport> {
    const last = await this.stop();
    if (last === undefined) throw new BenchError('the model ended without a final report');
    return last;
  }
}

// What a figure was measured on, and on which CPUs the two hot processes run. A figure without
// this is worth nothing.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { BenchError } from './life.ts';

/** Goes to stdout, JSON and report with every figure. */
export const NO_SILICON =
  'No silicon was involved: the NIC is a software 82599 on a CPU of its own, so these figures are no promise of what a card does.';

/** What a JSON file says about where its figures come from. */
export interface Machine {
  readonly cpu: string;
  readonly cpus: number;
  /** The CPUs are those of a virtual machine, whose host may take them away at any time. */
  readonly virtual: boolean;
  readonly kernel: string;
  readonly node: string;
  readonly v8: string;
}

/** Looks at this machine. */
export function machine(): Machine {
  const info = readFileSync('/proc/cpuinfo', 'utf8');
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown CPU',
    cpus: cpus().length,
    virtual: /^flags\s*:.*\bhypervisor\b/m.test(info),
    kernel: release(),
    node: process.version,
    v8: process.versions.v8,
  };
}

/** The same in one line. */
export function machineLine(m: Machine): string {
  const kind = m.virtual ? 'virtual CPUs' : 'CPUs';
  return `${m.cpu}, ${m.cpus} ${kind}, Linux ${m.kernel}, Node ${m.node}, V8 ${m.v8}`;
}

/** CPUs of the hot processes; null: not pinned, because there is no taskset or only one CPU. */
export interface Cores {
  readonly model: number | null;
  readonly driver: number | null;
}

/** "0-3,8" of /proc/self/status as numbers. */
export function parseCpuList(text: string): number[] {
  return text
    .trim()
    .split(',')
    .filter((part) => part !== '')
    .flatMap((part) => {
      const [low, high = low] = part.split('-').map(Number);
      return Array.from({ length: high - low + 1 }, (_, i) => low + i);
    });
}

/**
 * Picks a CPU for the model and another for the driver.
 * @param given "M,D" of --cores, or undefined
 * @throws BenchError for anything else
 */
export function chooseCores(given: string | undefined): Cores {
  const status = readFileSync('/proc/self/status', 'utf8');
  const allowed = parseCpuList(/^Cpus_allowed_list:\s*(.*)$/m.exec(status)?.[1] ?? '');
  if (given !== undefined) {
    const [model, driver, ...rest] = given.split(',').map(Number);
    const fits = [model, driver].every((cpu) => allowed.includes(cpu));
    if (!fits || rest.length > 0 || model === driver) {
      throw new BenchError(
        `--cores: expected two different CPUs of ${allowed.join(',')}, such as 0,1, got '${given}'`,
        2,
      );
    }
    return { model, driver };
  }
  if (allowed.length < 2 || spawnSync('taskset', ['--version']).status !== 0) {
    return { model: null, driver: null };
  }
  return { model: allowed[0], driver: allowed[1] };
}

/** How the processes lie on the CPUs, for a person. */
export function coresLine({ model, driver }: Cores): string {
  if (model === null) {
    return 'nothing is pinned (no taskset, or one CPU): expect noise, and a fraction of the rate on one CPU';
  }
  return `model on CPU ${model}, forwarder on CPU ${driver}`;
}

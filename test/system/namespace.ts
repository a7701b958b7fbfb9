// A network namespace held by a process that ends with its standard input: when the test ends,
// however it ends, the namespace goes and the interfaces in it with it. Needs root; touches
// nothing of the machine's own network.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Processes, Program } from './processes.ts';

/** What stands in the way of network namespaces and TAP devices here; '' where nothing does. */
export function missingForNamespaces(): string {
  if (process.getuid?.() !== 0) return 'TAP devices and network namespaces need root';
  if (!existsSync('/dev/net/tun')) return 'no /dev/net/tun: this kernel or container has no TAP';
  for (const [program, debianPackage] of [
    ['ip', 'iproute2'],
    ['unshare', 'util-linux'],
    ['nsenter', 'util-linux'],
    ['setpriv', 'util-linux'],
  ]) {
    if (!installed(program, '-V')) return `no ${program}: apt-get install ${debianPackage}`;
  }
  const { status, stderr } = spawnSync('unshare', ['--net', 'true'], { encoding: 'utf8' });
  return status === 0 ? '' : `no network namespace can be made: ${stderr.trim()}`;
}

/** True where a program can be run. */
export function installed(program: string, versionOption: string): boolean {
  return spawnSync(program, [versionOption]).error === undefined;
}

/** See the head of this file. */
export class Namespace {
  private readonly processes: Processes;
  private readonly holder: Program;

  private constructor(processes: Processes, holder: Program) {
    this.processes = processes;
    this.holder = holder;
  }

  static async make(processes: Processes): Promise<Namespace> {
    const script = 'ip link set lo up; echo ready; exec cat';
    const holder = processes.start('unshare', ['--net', '--', 'sh', '-c', script]);
    await holder.line((line) => line === 'ready');
    return new Namespace(processes, holder);
  }

  /** Moves an interface in, gives it a MAC, an address, and a static neighbour. */
  async adopt(
    name: string,
    interfaceMac: string,
    address: string,
    neighbour: { readonly address: string; readonly mac: string },
  ): Promise<void> {
    const { status, stderr } = spawnSync(
      'ip',
      ['link', 'set', name, 'netns', String(this.holder.pid)],
      { encoding: 'utf8' },
    );
    if (status !== 0) throw new Error(`ip link set ${name} netns: ${stderr}`);
    await this.ip('link', 'set', name, 'address', interfaceMac, 'up');
    await this.ip('addr', 'add', `${address}/24`, 'dev', name);
    const { address: to, mac } = neighbour;
    await this.ip('neigh', 'replace', to, 'lladdr', mac, 'dev', name, 'nud', 'permanent');
  }

  /** Starts a program inside; it ends with the test's process, since nobody would answer it then. */
  start(command: string, ...argv: string[]): Program {
    const inside = ['-t', `${this.holder.pid}`, '-n', 'setpriv', '--pdeathsig', 'KILL'];
    return this.processes.start('nsenter', [...inside, command, ...argv]);
  }

  private async ip(...argv: string[]): Promise<void> {
    const { status, stderr } = await this.start('ip', ...argv).end();
    if (status !== 0) throw new Error(`ip ${argv.join(' ')}: ${stderr}`);
  }
}

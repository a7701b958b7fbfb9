// One QEMU: its command line, its life, and its console. Nothing here outlives this program:
// QEMU is killed by its own id when it is closed, when its time is over, when we exit, and by the
// kernel when we are killed (setpriv --pdeathsig).

import { spawn, spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const running = new Set();
const folders = new Set();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A new folder for sockets and the like; removed when we exit. */
export function workFolder(name) {
  const folder = mkdtempSync(join(tmpdir(), `ixy-vm-${name}-`));
  folders.add(folder);
  return folder;
}

const hasSetpriv = spawnSync('setpriv', ['--version']).status === 0;

/** Starts a program that dies with us. */
export function spawnGuarded(command, args, options) {
  const guard = hasSetpriv ? ['setpriv', '--pdeathsig', 'KILL', '--'] : [];
  const [program, ...rest] = [...guard, command, ...args];
  const child = spawn(program, rest, options);
  running.add(child);
  child.once('exit', () => running.delete(child));
  // A program that cannot be started ends like one that ended; whoever waits sees `exitCode`.
  child.once('error', () => running.delete(child));
  return child;
}

/**
 * A machine of vm.md's kind: q35, RAM in a memfd, Intel's IOMMU with interrupt remapping.
 * @param what { accel: 'kvm'|'tcg', memoryMb, kernel, initrd, append, devices: JSON objects, share: folder or undefined,
 *   qmp: path of the control socket }
 */
export function machineArguments(what) {
  const kvm = what.accel === 'kvm';
  const size = `${what.memoryMb}M`;
  return [
    '-nodefaults',
    '-no-user-config',
    '-no-reboot',
    ...['-display', 'none'],
    ...['-monitor', 'none'],
    ...['-qmp', `unix:${what.qmp},server=on,wait=off`],
    ...['-M', kvm ? 'q35,kernel-irqchip=split' : 'q35'],
    ...['-accel', kvm ? 'kvm' : 'tcg,thread=multi'],
    ...['-cpu', kvm ? 'host' : 'max'],
    ...['-smp', '2'],
    ...['-m', size],
    ...['-object', `memory-backend-memfd,id=mem,size=${size},share=on`],
    ...['-machine', 'memory-backend=mem'],
    ...['-device', 'intel-iommu,intremap=on,caching-mode=on'],
    ...what.devices.flatMap((device) => ['-device', JSON.stringify(device)]),
    ...(what.share === undefined
      ? []
      : [
          '-virtfs',
          `local,path=${what.share},mount_tag=host,security_model=none,readonly=on,multidevs=remap`,
        ]),
    ...['-serial', 'stdio'],
    ...['-chardev', `socket,id=agent,path=${what.agent}`],
    ...['-serial', 'chardev:agent'],
    ...['-kernel', what.kernel],
    ...['-initrd', what.initrd],
    ...['-append', what.append],
  ];
}

/** A VF's socket as a device of the machine, in slot `slot` (hexadecimal digits). */
export function vfDevice(socket, slot) {
  return {
    driver: 'vfio-user-pci',
    bus: 'pcie.0',
    addr: slot,
    socket: { type: 'unix', path: socket },
  };
}

/** A started QEMU. */
export class Qemu {
  /** What the guest's console and QEMU itself have said. */
  console = '';
  stderr = '';
  /** Why it is gone, where it is. */
  ending = 'QEMU ended';
  #child;
  #timer;
  #ended;

  /**
   * @param tools of guestParts()
   * @param args of machineArguments()
   * @param limitMs after this it is killed, whatever it does
   * @param logFile gets the console as it comes
   */
  constructor(tools, args, limitMs, logFile) {
    const library = tools.libraries.filter(existsSync).join(':');
    const firmware = tools.firmware.flatMap((path) => ['-L', path]);
    const all = ['--library-path', library, tools.qemu, ...firmware, ...args];
    // Modules (vfio-user, 9p) lie beside it; the library path of the loader does not cover them.
    const env = { ...process.env, QEMU_MODULE_DIR: join(tools.libraries[0], 'qemu') };
    writeFileSync(logFile, '');
    this.#child = spawnGuarded(tools.loader, all, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child.stdout.setEncoding('utf8').on('data', (text) => {
      this.console += text;
      appendFileSync(logFile, text);
    });
    this.#child.stderr.setEncoding('utf8').on('data', (text) => {
      this.stderr += text;
    });
    this.#ended = new Promise((resolve) => {
      this.#child.once('error', () => resolve());
      this.#child.once('close', () => resolve());
    });
    this.#timer = setTimeout(() => {
      this.ending = `QEMU was killed after its ${limitMs / 1000} s`;
      this.#child.kill('SIGKILL');
    }, limitMs);
  }

  get pid() {
    return this.#child.pid;
  }

  /** Resolves when it is gone. */
  get ended() {
    return this.#ended;
  }

  /** Ends it; resolves when it is gone. Idempotent. */
  async close() {
    this.#child.kill('SIGKILL');
    await this.#ended;
    clearTimeout(this.#timer);
  }
}

// The native shim among threads and processes: fd watchers on an event loop, use in a Worker, and
// the SIGBUS guard. The latter two run what was built in dist.

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/support/clock.ts';
import { type FdWatcher, native } from '../../src/support/native.ts';
import { fenceThreads } from '../../src/support/thread-fence.ts';

const shim = native();
const built = fileURLToPath(new URL('../../dist/support/native.js', import.meta.url));
/** How many watcher threads this process has now. */
const watchers = () =>
  readdirSync('/proc/self/task').filter(
    (id) => readFileSync(`/proc/self/task/${id}/comm`, 'utf8') === 'ixy-watch\n',
  ).length;

/** Runs a module text in a process of its own, `shim` in its scope. */
function runChild(text: string) {
  const code = `import { native } from ${JSON.stringify(built)}; const shim = native(); ${text}`;
  return spawnSync(process.execPath, ['--input-type=module', '-e', code], {
    encoding: 'utf8',
    timeout: 20_000,
  });
}

describe('watching an fd', () => {
  it('refuses an fd that is not open', () => {
    expect(() => shim.watchFd(1_000_000, () => {})).toThrow('errno 9');
    expect(() => shim.watchFd(-1, () => {})).toThrow('errno 9');
  });

  it('calls back while the fd is readable, again after the callback, until it is drained', async () => {
    const fd = shim.eventfd(2, 0);
    const seen: number[] = [];
    let watcher: FdWatcher | undefined;
    await new Promise<void>((resolve) => {
      watcher = shim.watchFd(fd, (revents) => {
        seen.push(revents);
        if (seen.length === 3) {
          expect(shim.eventfdDrain(fd)).toBe(2);
          // Now it is quiet: only a new signal brings the fourth call.
          setImmediate(() => shim.eventfdSignal(fd));
        }
        if (seen.length === 4) resolve();
      });
    });
    watcher?.cancel();
    expect(seen).toEqual([1, 1, 1, 1]);
    expect(shim.close(fd)).toBe(0);
  });

  it('never calls back after cancel, even for readiness that was on its way', async () => {
    const fd = shim.eventfd(1, 0);
    const other = shim.eventfd(1, 0);
    let calls = 0;
    const watcher = shim.watchFd(fd, () => calls++);
    expect(watchers()).toBe(1);
    // The fd is ready: when poll says so here, the thread's own look may be over as well.
    expect(shim.poll(Int32Array.of(fd, 1, 0), 1, 1000)).toBe(1);
    watcher.cancel();
    expect(watchers()).toBe(0);
    watcher.cancel();
    watcher.ref();
    watcher.unref();
    // A later watcher's callback comes after whatever the first one had queued.
    await new Promise<void>((resolve) => {
      const second = shim.watchFd(other, () => {
        second.cancel();
        resolve();
      });
    });
    expect(calls).toBe(0);
    expect(shim.close(fd)).toBe(0);
    expect(shim.close(other)).toBe(0);
  });

  it('reports the hang-up of a peer', async () => {
    const pair = new Int32Array(2);
    expect(shim.socketpair(pair)).toBe(0);
    const revents = await new Promise<number>((resolve) => {
      const watcher = shim.watchFd(pair[0], (bits) => {
        watcher.cancel();
        resolve(bits);
      });
      expect(shim.close(pair[1])).toBe(0);
    });
    expect(revents & 0x10).toBe(0x10);
    expect(shim.close(pair[0])).toBe(0);
  });

  it('keeps a process alive until it is unreferenced', () => {
    const kept = runChild(`
      const fd = shim.eventfd(0, 0);
      const w = shim.watchFd(fd, () => { console.log('called'); w.unref(); shim.eventfdDrain(fd); });
      setImmediate(() => shim.eventfdSignal(fd));
    `);
    expect(kept.stdout).toBe('called\n');
    expect(kept.status).toBe(0);
  });

  it('makes an exception of the callback an uncaught one', () => {
    const thrown = runChild(`
      process.on('uncaughtException', (error) => { console.log('caught', error.message); process.exit(3); });
      shim.watchFd(shim.eventfd(1, 0), () => { throw new Error('from the callback'); });
    `);
    expect(thrown.stdout).toBe('caught from the callback\n');
    expect(thrown.status).toBe(3);
  });
});

describe('in a Worker', () => {
  it('loads there too, and a watcher and a guard end with the Worker', async () => {
    const code = `
      import(${JSON.stringify(built)}).then(({ native }) => {
        const { parentPort } = require('node:worker_threads');
        const shim = native();
        const memory = new WebAssembly.Memory({ initial: 1, maximum: 2, shared: true });
        const base = shim.addressOf(new Uint8Array(memory.buffer));
        const guarded = shim.guardBus(base, 65536, new Int32Array(2));
        const fd = shim.eventfd(1, 0);
        shim.watchFd(fd, (revents) => {
          shim.eventfdDrain(fd);
          parentPort.postMessage({ revents, base, guarded });
        });
      });
    `;
    const worker = new Worker(code, { eval: true });
    const first = await new Promise<{ revents: number; base: number; guarded: number }>(
      (resolve, reject) => {
        worker.once('message', resolve);
        worker.once('error', reject);
      },
    );
    expect(first.revents).toBe(1);
    expect(first.guarded).toBe(0);
    expect(watchers()).toBe(1);
    // Guards are one table a process: it belongs to the Worker until that ends.
    expect(shim.unguardBus(first.base)).toBe(-1);
    await worker.terminate();
    expect(shim.unguardBus(first.base)).toBe(-2);
    expect(watchers()).toBe(0);
  });
});

describe('the SIGBUS guard', () => {
  const prepare = `
    const memory = new WebAssembly.Memory({ initial: 4, maximum: 4, shared: true });
    const view = new Uint8Array(memory.buffer);
    const base = shim.addressOf(view) + 65536;
    const fd = shim.memfdCreate('bus', 2);
    shim.ftruncate(fd, 131072);
    shim.mmapFixed(base, 131072, 3, 1, fd, 0);
    view[65536] = 1;
    const words = new Int32Array(new SharedArrayBuffer(8));
  `;

  it('turns pages that the file lost into zero pages, and counts them', () => {
    const child = runChild(`${prepare}
      console.log(shim.guardBus(base, 131072, words));
      shim.ftruncate(fd, 4096);
      console.log(view[65536], words.join());
      console.log(view[65536 + 4096 * 3 + 5], words.join());
      view[65536 + 4096 * 31] = 8;
      console.log(view[65536 + 4096 * 31], words.join(), view[65536 + 4096 * 3], words.join());
    `);
    expect(child.stdout).toBe('0\n1 0,0\n0 1,3\n8 2,31 0 2,31\n');
    expect(child.status).toBe(0);
  });

  it('fills such pages with the byte it was given', () => {
    const child = runChild(`${prepare}
      console.log(shim.guardBus(base, 131072, words, 0xff));
      shim.ftruncate(fd, 4096);
      view[65536 + 4096] = 7;
      console.log(view[65536], view[65536 + 4096], view[65536 + 8191], view[65536 + 131071], words.join());
    `);
    expect(child.stdout).toBe('0\n1 7 255 255 2,31\n');
    expect(child.status).toBe(0);
  });

  it('lets the signal end the process outside its ranges and after unguard', () => {
    for (const guard of [
      'shim.guardBus(base, 65536, words);',
      'shim.guardBus(base, 131072, words); shim.unguardBus(base);',
    ]) {
      const child = runChild(`${prepare} ${guard} shim.ftruncate(fd, 0); view[65536 + 65536];
        console.log(view[65536 + 65536]);`);
      expect(child.stdout).toBe('');
      expect(child.signal).toBe('SIGBUS');
    }
  });
});

describe('threads by their number', () => {
  it('are this one, those that are there, and none', () => {
    const { threadId, probeThread } = native();
    const tasks = readdirSync('/proc/self/task').map(Number);
    expect(tasks).toContain(threadId());
    for (const task of tasks.slice(0, 2)) expect(probeThread(task)).toBe(0);
    expect(probeThread(2 ** 30)).toBe(-3);
    expect(() => probeThread(0)).toThrow(RangeError);
  });

  it('can be made to pass a memory barrier, once the process has registered', () => {
    const { membarrier } = native();
    fenceThreads(systemClock);
    // QUERY: private expedited is bit 3.
    expect(membarrier(0) & 8).toBe(8);
    expect(membarrier(8)).toBe(0);
    expect(membarrier(4096)).toBe(-22);
  });
});

// What an idle `ixy model` costs and how long the first frame after a pause takes. Starts a model
// with one port and two VFs, attaches both from this process, measures, prints one line, or with
// --json one object:
//
//   node test/system/idle.mjs [--json] [SECONDS]
//
// cpuPercent: of one CPU, over SECONDS (default 3) in which nothing moves. firstFrameMs: min,
// median and max from the doorbell of one VF to the other's receive, after 150 ms of silence that
// followed traffic.

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { mempool, open, packetViews } from 'ixy.ts';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
/** USER_HZ, the unit of /proc/PID/stat: 100 on every x86-64 Linux. */
const TICKS_A_SECOND = 100;
const PROBES = 15;
const WARM_UP = 5000;
const PAUSE_MS = 150;
const LOST_MS = 2000;

/** CPU seconds that a process has used, all threads, user and system. */
function cpuSeconds(pid) {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name before the last ")" may hold blanks; utime and stime are fields 14 and 15.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND;
}

async function idleCpu(pid, seconds) {
  // Attaching is work: let it be over.
  await wait(300);
  const before = cpuSeconds(pid);
  const start = performance.now();
  await wait(seconds * 1000);
  const elapsed = (performance.now() - start) / 1000;
  return ((cpuSeconds(pid) - before) / elapsed) * 100;
}

/** Milliseconds from the doorbell to the other end. */
function probe(from, to, buffers, frame) {
  const bufs = new Int32Array(8);
  buffers.takeBatch(bufs, 0, 1);
  packetViews(buffers).fill(bufs[0], frame);
  const start = performance.now();
  if (from.tx[0].batch(bufs, 0, 1) !== 1) throw new Error('the tx ring took nothing');
  for (;;) {
    const n = to.rx[0].batch(bufs, 0, 8);
    const tookMs = performance.now() - start;
    buffers.giveBatch(bufs, 0, n);
    if (n > 0) return tookMs;
    if (tookMs > LOST_MS) throw new Error(`no frame after ${LOST_MS} ms`);
  }
}

async function firstFrames(a, b, buffers) {
  const frame = new Uint8Array(60);
  frame.set(b.macBytes, 0);
  frame.set(a.macBytes, 6);
  frame.set([0x88, 0xb5], 12);
  // Before, some traffic: what is asked for is the pause, not code that never ran.
  for (let i = 0; i < WARM_UP; i++) probe(a, b, buffers, frame);
  const took = [];
  for (let i = 0; i < PROBES; i++) {
    await wait(PAUSE_MS);
    took.push(probe(a, b, buffers, frame));
  }
  took.sort((x, y) => x - y);
  return { min: took[0], median: took[PROBES >> 1], max: took[PROBES - 1] };
}

async function main(args) {
  const seconds = Number(args.find((arg) => /^\d+$/.test(arg)) ?? 3);
  const folder = mkdtempSync(join(tmpdir(), 'ixy-idle-'));
  const argv = ['model', '--ports', '1', '--vfs', '2', '--dir', folder, '--exit-with-stdin'];
  const model = spawn(process.execPath, [MAIN, ...argv], { stdio: ['pipe', 'pipe', 'inherit'] });
  const gone = new Promise((resolve) => model.once('close', resolve));
  const devices = [];
  try {
    for await (const line of createInterface({ input: model.stdout })) if (line === 'ready') break;
    const buffers = mempool({ count: 2048 });
    for (const vf of [0, 1]) {
      const address = `vfio-user:${join(folder, `p0v${vf}.sock`)}`;
      devices.push(await open(address, { mempool: buffers }));
    }
    const [a, b] = devices;
    const cpuPercent = await idleCpu(model.pid, seconds);
    const firstFrameMs = await firstFrames(a, b, buffers);
    if (args.includes('--json')) console.log(JSON.stringify({ cpuPercent, firstFrameMs }));
    else {
      const [min, median, max] = Object.values(firstFrameMs).map((ms) => ms.toFixed(2));
      console.log(`idle model, two VFs attached: ${cpuPercent.toFixed(1)} % of a CPU`);
      console.log(`first frame after ${PAUSE_MS} ms: min ${min}, median ${median}, max ${max} ms`);
    }
  } finally {
    for (const vf of devices) vf.close();
    model.stdin.end();
    await gone;
    rmSync(folder, { recursive: true, force: true });
  }
}

await main(process.argv.slice(2));

// The l2 forwarder with a Worker for each direction. A mempool has one owner thread, and a tx queue gives what it
// sent back to its mempool; so each Worker has a mempool of its own, the one of its rx and of its tx queue, and the
// two cross in the devices: what the first receives into, the second sends from.
//
//   node dist/examples/two-workers.js [DEV0 DEV1] [SECONDS]
//
// Without addresses the main thread makes a software 82599 and steps it.

import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import {
  createModel,
  type IxgbeVf,
  Mempool,
  mempool,
  open,
  openRxQueue,
  openTxQueue,
  packetViews,
  type QueueHandle,
} from 'ixy.ts';

const BATCH = 32;
const BROADCAST = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

/** What a Worker is given: handles are numbers and shared memory. */
interface Direction {
  readonly rx: QueueHandle;
  readonly tx: QueueHandle;
  readonly mempool: Mempool['handle'];
  /** MAC of the device that sends: the only source address that its host lets through. */
  readonly source: Uint8Array;
  /** One word, not 0 when the Worker shall end: a spinning thread receives no message. */
  readonly stop: Int32Array;
}

/** The Worker's side. */
async function forward({ rx, tx, mempool: handle, source, stop }: Direction): Promise<void> {
  const from = await openRxQueue(rx);
  const to = await openTxQueue(tx);
  const buffers = new Mempool(handle);
  const { bytes, offset } = packetViews(buffers);
  const header = Uint8Array.from([...BROADCAST, ...source]);
  const bufs = new Int32Array(BATCH);
  while (Atomics.load(stop, 0) === 0) {
    const n = from.batch(bufs, 0, BATCH);
    for (let i = 0; i < n; i++) bytes.set(header, offset(bufs[i] ?? 0));
    const sent = to.batch(bufs, 0, n);
    if (sent < n) buffers.giveBatch(bufs, sent, n - sent);
  }
}

function startWorker(from: IxgbeVf, to: IxgbeVf, buffers: Mempool, stop: Int32Array): Worker {
  const [rx, tx] = [from.rx[0]?.handle, to.tx[0]?.handle];
  const direction = { rx, tx, mempool: buffers.handle, source: to.macBytes, stop };
  return new Worker(new URL(import.meta.url), { workerData: direction });
}

async function main(args: readonly string[]): Promise<void> {
  const seconds = Number(args.find((arg) => /^\d+$/.test(arg)) ?? 3);
  const addresses = args.filter((arg) => !/^\d+$/.test(arg));
  if (addresses.length !== 0 && addresses.length !== 2) {
    throw new RangeError(`two-workers: expected two addresses or none, got ${addresses.length}`);
  }
  const [first = 'model:0.0', second = 'model:1.0'] = addresses;
  const port = { vfs: 1, wire: 'gen' };
  const model = addresses.length === 0 ? createModel({ ports: [port, port] }) : undefined;
  const forth = mempool({ count: 4096 });
  const back = mempool({ count: 4096 });
  const common = model === undefined ? {} : { model };
  const a = await open(first, { ...common, mempool: forth, txMempool: back });
  const b = await open(second, { ...common, mempool: back, txMempool: forth });
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const workers = [startWorker(a, b, forth, stop), startWorker(b, a, back, stop)];
  const ended = workers.map((worker) => new Promise((done) => worker.once('exit', done)));
  const failures: Error[] = [];
  for (const worker of workers) worker.once('error', (error: Error) => failures.push(error));
  try {
    const end = Date.now() + seconds * 1000;
    while (Date.now() < end && failures.length === 0) {
      // A NIC moves by itself. The model moves in this thread, which now and then looks after its Workers.
      if (model === undefined) await sleep(10);
      else for (let i = 0; i < 1000; i++) model.step(2 * BATCH);
      await sleep(0);
    }
  } finally {
    Atomics.store(stop, 0, 1);
    await Promise.all(ended);
    const frames = [a, b].map((vf) => vf.tx[0]?.counters.packets ?? 0);
    console.log(`${first} (${a.mac}) -> ${second} (${b.mac}): ${frames[1]} frames`);
    console.log(`${second} (${b.mac}) -> ${first} (${a.mac}): ${frames[0]} frames`);
    if (model !== undefined) console.table(model.counters());
    a.close();
    b.close();
    model?.close();
  }
  if (failures[0] !== undefined) throw failures[0];
}

if (isMainThread) {
  try {
    await main(process.argv.slice(2));
  } catch (error) {
    console.error((error as Error).message);
    process.exitCode = 1;
  }
} else {
  await forward(workerData as Direction);
}

// The l2 forwarder: what comes in on one VF leaves through the other, with both
// MACs rewritten, because a VF may only send its own source address.
//
//   node dist/examples/l2fwd.js [DEV0 DEV1] [SECONDS]
//
// Without addresses it makes a software 82599 in this process, whose two ports
// generate frames and check what comes back.

import {
  createModel,
  type IxgbeVf,
  type Mempool,
  mempool,
  open,
  type PacketViews,
  packetViews,
} from 'ixy.ts';

const BATCH = 32;
const BROADCAST = 'ff:ff:ff:ff:ff:ff';

/** A MAC as the first three words of a frame hold it: destination, then source. */
function headerWords(destination: string, source: string): [number, number, number] {
  const bytes = [...destination.split(':'), ...source.split(':')].map((hex) =>
    Number.parseInt(hex, 16),
  );
  const words = new Int32Array(Uint8Array.from(bytes).buffer);
  return [words[0], words[1], words[2]];
}

/** One direction. @returns frames sent */
function makeDirection(
  from: IxgbeVf,
  to: IxgbeVf,
  buffers: Mempool,
  views: PacketViews,
): () => number {
  const bufs = new Int32Array(BATCH);
  const { words } = views;
  const [rx] = from.rx;
  const [tx] = to.tx;
  const [word0, word1, word2] = headerWords(BROADCAST, to.mac);
  return () => {
    const n = rx.batch(bufs, 0, BATCH);
    for (let i = 0; i < n; i++) {
      const w = views.offset(bufs[i]) >>> 2;
      words[w] = word0;
      words[w + 1] = word1;
      words[w + 2] = word2;
    }
    const sent = tx.batch(bufs, 0, n);
    // What the ring did not take is still ours. ixy drops it, and so does this example.
    if (sent < n) buffers.giveBatch(bufs, sent, n - sent);
    return sent;
  };
}

async function main(args: readonly string[]): Promise<void> {
  const seconds = Number(args.find((arg) => /^\d+$/.test(arg)) ?? 3);
  const addresses = args.filter((arg) => !/^\d+$/.test(arg));
  if (addresses.length !== 0 && addresses.length !== 2) {
    throw new RangeError(`l2fwd: expected two addresses or none, got ${addresses.length}`);
  }
  const model =
    addresses.length === 0
      ? createModel({
          ports: [
            { vfs: 1, wire: 'gen' },
            { vfs: 1, wire: 'gen' },
          ],
        })
      : undefined;
  const [first, second] = addresses.length === 2 ? addresses : ['model:0.0', 'model:1.0'];

  // One mempool for both ends: a buffer received on one is sent on the other without a copy.
  const buffers = mempool({ count: 4096 });
  const options = { mempool: buffers, ...(model === undefined ? {} : { model }) };
  const a = await open(first, options);
  const b = await open(second, options);
  try {
    const views = packetViews(buffers);
    const forward = makeDirection(a, b, buffers, views);
    const backward = makeDirection(b, a, buffers, views);
    const end = Date.now() + seconds * 1000;
    let frames = 0;
    while (Date.now() < end) {
      // A NIC moves by itself; the model in this thread moves when it is told to.
      model?.step(2 * BATCH);
      frames += forward() + backward();
    }
    console.log(`${first} (${a.mac}) <-> ${second} (${b.mac})`);
    console.log(`forwarded ${frames} frames, ${(frames / seconds / 1e6).toFixed(2)} Mpps`);
    if (model !== undefined) console.table(model.counters());
  } finally {
    a.close();
    b.close();
    model?.close();
  }
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}

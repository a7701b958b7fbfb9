// Writes what a VF receives to a pcap file that tcpdump and Wireshark read.
//
//   node dist/examples/pcap.js FILE [DEV] [FRAMES]
//
// Without an address it makes a software 82599 whose port generates frames of
// mixed sizes.

import { createModel, mempool, open, PcapWriter, packetViews } from 'ixy.ts';

const BATCH = 32;
const QUIET_MS = 2000;

async function main(args: readonly string[]): Promise<void> {
  const [file, ...rest] = args;
  if (file === undefined) throw new RangeError('pcap: expected a file to write, got none');
  const frames = Number(rest.find((arg) => /^\d+$/.test(arg)) ?? 1000);
  const address = rest.find((arg) => !/^\d+$/.test(arg));
  const model =
    address === undefined ? createModel({ ports: [{ vfs: 1, wire: 'gen:size=imix' }] }) : undefined;
  const writer = new PcapWriter(file, { nanosecond: true });
  const buffers = mempool({ count: 2048 });
  const options = { mempool: buffers, ...(model === undefined ? {} : { model }) };
  const vf = await open(address ?? 'model:0.0', options);
  try {
    const views = packetViews(buffers);
    const [rx] = vf.rx;
    const bufs = new Int32Array(BATCH);
    let captured = 0;
    let lastFrame = Date.now();
    // Ends when it has them all, or when nothing came for two seconds.
    while (captured < frames && Date.now() - lastFrame < QUIET_MS) {
      model?.step(BATCH);
      const n = rx.batch(bufs, 0, Math.min(BATCH, frames - captured));
      if (n === 0) continue;
      lastFrame = Date.now();
      const seconds = Math.floor(lastFrame / 1000);
      const nanoseconds = (lastFrame % 1000) * 1e6;
      for (let i = 0; i < n; i++) writer.append(views.frame(bufs[i]), seconds, nanoseconds);
      buffers.giveBatch(bufs, 0, n);
      captured += n;
    }
    console.log(`${vf.address} (${vf.mac}): wrote ${captured} frames to ${file}`);
  } finally {
    writer.close();
    vf.close();
    model?.close();
  }
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}

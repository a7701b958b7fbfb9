// A packet generator: 60-byte UDP frames (64 with CRC), each with a sequence
// number and right checksums.
//
//   node dist/examples/pktgen.js [DEV] [SECONDS]
//
// Without an address it makes a software 82599 with two ports joined by a cable,
// sends on one, and checks the sequence of what arrives on the other.

import { createModel, type Mempool, mempool, open, type PacketViews, packetViews } from 'ixy.ts';

const BATCH = 64;
const LENGTH = 60;
const SEQUENCE = 44;

/** Ones-complement sum of 16-bit big-endian words, folded (RFC 1071). */
function sum16(bytes: Uint8Array, from: number, to: number, start = 0): number {
  let sum = start;
  for (let i = from; i < to; i += 2) sum += (bytes[i] << 8) | bytes[i + 1];
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

/** A frame from 10.0.0.1:42 to 10.0.0.2:1337, sequence number 0 at byte 44 and its complement at byte 48. */
function makeFrame(source: Uint8Array, destination: Uint8Array): Uint8Array {
  const frame = new Uint8Array(LENGTH);
  frame.set(destination, 0);
  frame.set(source, 6);
  frame.set([0x08, 0x00, 0x45, 0, 0, LENGTH - 14, 0, 0, 0, 0, 64, 17, 0, 0], 12);
  frame.set([10, 0, 0, 1, 10, 0, 0, 2, 0, 42, 1337 >> 8, 1337 & 0xff, 0, LENGTH - 34, 0, 0], 26);
  frame.set([0xff, 0xff, 0xff, 0xff], SEQUENCE + 4);
  const ip = ~sum16(frame, 14, 34);
  frame.set([(ip >> 8) & 0xff, ip & 0xff], 24);
  // The pseudo header: addresses, protocol 17, UDP length. A sequence number and its complement always
  // add up to the same, so this checksum holds for every frame.
  const udp = ~sum16(frame, 34, LENGTH, sum16(frame, 26, 34, 17 + LENGTH - 34)) & 0xffff;
  frame.set(udp === 0 ? [0xff, 0xff] : [udp >> 8, udp & 0xff], 40);
  return frame;
}

/** Takes frames and counts those that are not the next in sequence. */
function makeChecker(
  buffers: Mempool,
  views: PacketViews,
): (bufs: Int32Array, n: number) => number {
  let next = 0;
  return (bufs, n) => {
    let wrong = 0;
    for (let i = 0; i < n; i++) {
      const sequence = views.words[(views.offset(bufs[i]) + SEQUENCE) >>> 2];
      if (sequence !== next) wrong++;
      next = (sequence + 1) | 0;
    }
    buffers.giveBatch(bufs, 0, n);
    return wrong;
  };
}

async function main(args: readonly string[]): Promise<void> {
  const seconds = Number(args.find((arg) => /^\d+$/.test(arg)) ?? 3);
  const address = args.find((arg) => !/^\d+$/.test(arg));
  const ports = [0, 1].map(() => ({ vfs: 1, wire: 'cable:0' }));
  const model = address === undefined ? createModel({ ports }) : undefined;
  const buffers = mempool({ count: 4096 });
  const options = { mempool: buffers, ...(model === undefined ? {} : { model }) };
  const vf = await open(address ?? 'model:0.0', options);
  const peer = model === undefined ? undefined : await open('model:1.0', options);
  try {
    const views = packetViews(buffers);
    const frame = makeFrame(vf.macBytes, peer?.macBytes ?? new Uint8Array(6).fill(0xff));
    const check = makeChecker(buffers, views);
    const [tx] = vf.tx;
    const bufs = new Int32Array(BATCH);
    const received = new Int32Array(BATCH);
    let sequence = 0;
    let arrived = 0;
    let wrong = 0;
    const end = Date.now() + seconds * 1000;
    while (Date.now() < end) {
      const n = buffers.takeBatch(bufs, 0, BATCH);
      for (let i = 0; i < n; i++) {
        views.fill(bufs[i], frame);
        const word = (views.offset(bufs[i]) + SEQUENCE) >>> 2;
        views.words[word] = (sequence + i) | 0;
        views.words[word + 1] = ~(sequence + i);
      }
      const sent = tx.batch(bufs, 0, n);
      sequence += sent;
      buffers.giveBatch(bufs, sent, n - sent);
      // A NIC moves by itself; the model in this thread moves when it is told to.
      model?.step(BATCH);
      const k = peer?.rx[0].batch(received, 0, BATCH) ?? 0;
      wrong += check(received, k);
      arrived += k;
    }
    console.log(
      `${vf.address} (${vf.mac}): sent ${sequence} frames, ${(sequence / seconds / 1e6).toFixed(2)} Mpps`,
    );
    if (peer !== undefined)
      console.log(`${peer.address}: received ${arrived}, ${wrong} out of sequence`);
  } finally {
    vf.close();
    peer?.close();
    model?.close();
  }
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}

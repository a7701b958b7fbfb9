// A process of virtualization on the host's side: the software switch, a receiver behind it, or a
// receiver with a VF of its own. Polls, works until nothing is there, sleeps.
// Usage: host switch|behind|assigned SOCKET RECEIVER RECEIVERS POLL_US
//   (with the board at fd 3; a receiver behind the switch does not use SOCKET)

import { type Mempool, mempool, open, packetViews } from 'ixy.ts';
import { processArena } from '#dist/memory/arena.js';
import { systemClock } from '#dist/support/clock.js';
import { BUCKETS, bucketOf, histogramRows } from '#dist/support/histogram.js';
import { mapBoard, PHASE, RING, ringWord } from './board.ts';
import { FRAME, receiverOf, STAMP_PER_US } from './frame.ts';
import { Phases } from './phases.ts';

const BATCH = 32;
const VF_RING = 1024;
const BUFFERS = 4096;
/** A copy of up to so many words is a loop; a longer one a call, which costs more to begin with. */
const LOOP_WORDS = 32;
/** Turns without a sleep while there is work. */
const TURNS = 64;

const [role, socket, ...numbers] = process.argv.slice(2);
const [receiver, receivers, pollUs] = numbers.map(Number);
const board = mapBoard(receivers);
const bufs = new Int32Array(BATCH);
const counts = { received: 0, lost: 0, dropped: 0 };
const buckets = new Float64Array(BUCKETS);
let expected = -1;

async function openQueue(): Promise<{ pool: Mempool; receive: () => number; close: () => void }> {
  const pool = mempool({ count: BUFFERS });
  const vf = await open(`vfio-user:${socket}`, { mempool: pool, rxRingSize: VF_RING });
  const [queue] = vf.rx;
  return { pool, receive: () => queue.batch(bufs, 0, BATCH), close: () => vf.close() };
}

/** What a receiver does with a frame, wherever it lies: sequence and time. */
function makeConsume(): (word: number, stamp: number) => void {
  const words = processArena().views.i32;
  return (word, stamp) => {
    const sequence = words[word + FRAME.SEQUENCE];
    if (expected >= 0) counts.lost += sequence - expected;
    expected = sequence + 1;
    counts.received++;
    buckets[bucketOf((stamp - words[word + FRAME.STAMP]) | 0)]++;
  };
}

const stampNow = (): number => Math.floor(systemClock.nowUs() * STAMP_PER_US) | 0;

/** Receives from a VF of its own. */
async function makeAssigned(): Promise<{ step: () => number; close: () => void }> {
  const { pool, receive, close } = await openQueue();
  const views = packetViews(pool);
  const consume = makeConsume();
  const step = (): number => {
    const n = receive();
    if (n === 0) return 0;
    const stamp = stampNow();
    for (let i = 0; i < n; i++) consume(views.offset(bufs[i]) >>> 2, stamp);
    pool.giveBatch(bufs, 0, n);
    return n;
  };
  return { step, close };
}

/** Receives from the ring that the switch fills. */
function makeBehind(): { step: () => number; close: () => void } {
  const words = processArena().views.i32;
  const ring = ringWord(board, receiver);
  const consume = makeConsume();
  const step = (): number => {
    let tail = words[ring + RING.TAIL];
    const n = Math.min(BATCH, (words[ring + RING.HEAD] - tail) | 0);
    if (n === 0) return 0;
    const stamp = stampNow();
    for (let i = 0; i < n; i++) {
      consume(ring + RING.FRAMES + (tail & (RING.SLOTS - 1)) * RING.SLOT_WORDS, stamp);
      tail = (tail + 1) | 0;
    }
    words[ring + RING.TAIL] = tail;
    return n;
  };
  return { step, close: () => {} };
}

/** The software switch: from the VF into the rings. */
async function makeSwitch(): Promise<{ step: () => number; close: () => void }> {
  const { pool, receive, close } = await openQueue();
  const views = packetViews(pool);
  const { i32: words, u8: bytes } = processArena().views;
  const rings = Int32Array.from({ length: receivers }, (_, r) => ringWord(board, r));
  const heads = new Int32Array(receivers);
  const copy = (from: number, to: number, length: number): void => {
    const n = (length + 3) >>> 2;
    if (n <= LOOP_WORDS) for (let k = 0; k < n; k++) words[to + k] = words[from + k];
    else bytes.copyWithin(to * 4, from * 4, from * 4 + length);
  };
  const step = (): number => {
    const n = receive();
    if (n === 0) return 0;
    for (let i = 0; i < n; i++) {
      const from = views.offset(bufs[i]) >>> 2;
      const length = views.length[bufs[i]];
      const to = receiverOf(words[from + FRAME.RECEIVER]);
      const ring = rings[to];
      const head = heads[to];
      if (((head - words[ring + RING.TAIL]) | 0) >= RING.SLOTS) {
        counts.dropped++;
        continue;
      }
      const slot = head & (RING.SLOTS - 1);
      copy(from, ring + RING.FRAMES + slot * RING.SLOT_WORDS, length);
      words[ring + RING.LENGTHS + slot] = length;
      heads[to] = (head + 1) | 0;
    }
    // Shown to the receivers once a batch, as a doorbell is rung.
    for (let r = 0; r < receivers; r++) words[rings[r] + RING.HEAD] = heads[r];
    counts.received += n;
    pool.giveBatch(bufs, 0, n);
    return n;
  };
  return { step, close };
}

const { step, close } =
  role === 'switch'
    ? await makeSwitch()
    : role === 'assigned'
      ? await makeAssigned()
      : makeBehind();
const inNs = (stamps: number): number => (stamps * 1000) / STAMP_PER_US;
const phases = new Phases(board, () => ({
  ...counts,
  buckets: histogramRows(buckets).map(([stamps, n]) => [inNs(stamps), n] as const),
}));
phases.ready();
while (phases.look() !== PHASE.END) {
  let moved = 0;
  for (let i = 0; i < TURNS; i++) {
    const n = step();
    if (n === 0) break;
    moved += n;
  }
  if (moved === 0) systemClock.sleepUs(pollUs);
}
phases.report();
close();

// A program on the public API, one VF, in a process of its own: prints its MAC, then every frame
// that it receives as a line of hex, and sends what it is told on stdin ("send HEX HEX ...").
// It ends with its stdin and closes the VF in order.

import { createInterface } from 'node:readline';
import { mempool, open, packetViews } from 'ixy.ts';

const BATCH = 32;
const IDLE_MS = 1;
const SEND_MS = 1000;

const buffers = mempool({ count: 2048 });
const vf = await open(process.argv[2], { mempool: buffers });
const views = packetViews(buffers);
const [rx] = vf.rx;
const [tx] = vf.tx;
const bufs = new Int32Array(BATCH);
let over = false;

function send(frames) {
  for (const hex of frames) {
    const one = new Int32Array(1);
    if (buffers.takeBatch(one, 0, 1) !== 1) throw new Error('no buffer left');
    views.fill(one[0], Buffer.from(hex, 'hex'));
    if (tx.batchWait(one, 0, 1, SEND_MS) !== 1) throw new Error('the tx ring took nothing');
  }
}

function receive() {
  const n = rx.batch(bufs, 0, BATCH);
  for (let i = 0; i < n; i++) console.log(Buffer.from(views.frame(bufs[i])).toString('hex'));
  buffers.giveBatch(bufs, 0, n);
  tx.clean();
  if (over) vf.close();
  else setTimeout(receive, n === BATCH ? 0 : IDLE_MS);
}

createInterface({ input: process.stdin })
  .on('line', (line) => send(line.split(' ').slice(1)))
  .on('close', () => {
    over = true;
  });
console.log(vf.mac);
receive();

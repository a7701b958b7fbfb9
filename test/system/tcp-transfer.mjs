// One TCP transfer whose bytes are checked: `serve ADDRESS` prints "listening", takes one
// connection and prints what came as JSON {bytes, sha256}; `send ADDRESS BYTES` sends that many
// bytes that no compression or repetition could hide an error in, and prints the same of them.

import { createHash } from 'node:crypto';
import { connect, createServer } from 'node:net';

const PORT = 5201;
const CHUNK_BYTES = 1 << 18;

function print(bytes, hash) {
  console.log(JSON.stringify({ bytes, sha256: hash.digest('hex') }));
}

/** Pseudo-random bytes: xorshift, so that both ends need no file. */
function* chunks(total) {
  let state = 0x9e3779b9;
  for (let left = total; left > 0; left -= CHUNK_BYTES) {
    const words = new Int32Array(CHUNK_BYTES / 4);
    for (let i = 0; i < words.length; i++) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      words[i] = state;
    }
    yield new Uint8Array(words.buffer, 0, Math.min(left, CHUNK_BYTES));
  }
}

function serve(address) {
  const server = createServer((socket) => {
    const hash = createHash('sha256');
    let bytes = 0;
    socket.on('data', (data) => {
      hash.update(data);
      bytes += data.length;
    });
    socket.on('end', () => {
      print(bytes, hash);
      socket.end();
      server.close();
    });
  });
  server.listen(PORT, address, () => console.log('listening'));
}

async function send(address, total) {
  const socket = connect(PORT, address);
  const hash = createHash('sha256');
  for (const chunk of chunks(total)) {
    hash.update(chunk);
    if (!socket.write(chunk)) await new Promise((resolve) => socket.once('drain', resolve));
  }
  socket.end();
  socket.resume();
  await new Promise((resolve) => socket.once('close', resolve));
  print(total, hash);
}

const [role, address, total] = process.argv.slice(2);
if (role === 'serve') serve(address);
else await send(address, Number(total));

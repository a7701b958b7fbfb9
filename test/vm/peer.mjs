// Traffic that knows what it must get, for both ends of a link; run by node on the host and in the
// guest (over 9p). Exit status 0: everything arrived as sent.
//   peer.mjs tcp-serve ADDRESS PORT           one connection: answers with count and digest of what came
//   peer.mjs tcp-send ADDRESS PORT BYTES      sends that many bytes, compares the answer
//   peer.mjs group-receive GROUP PORT ADDRESS COUNT   joins on the interface of ADDRESS; COUNT datagrams
//   peer.mjs group-send GROUP PORT ADDRESS COUNT

import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';

const LIMIT_MS = 250_000;
const CHUNK = 1 << 16;
const CONNECT_RETRY_MS = 200;
const DATAGRAM_GAP_MS = 5;

function fail(text) {
  console.log(text);
  process.exit(1);
}

/** Bytes that repeat only after 4 GiB: a swapped or repeated segment shows. */
function fill(chunk, words) {
  const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  for (let i = 0; i + 4 <= chunk.byteLength; i += 4)
    view.setUint32(i, Math.imul(words + i / 4, 0x9e3779b1) >>> 0);
}

function serve(address, port) {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const hash = createHash('sha256');
    let count = 0;
    socket.on('data', (data) => {
      hash.update(data);
      count += data.length;
    });
    socket.on('end', () => {
      socket.end(`${count} ${hash.digest('hex')}\n`);
      server.close();
    });
    socket.on('error', (error) => fail(error.message));
  });
  server.listen(Number(port), address, () => console.log('listening'));
}

function send(address, port, bytes) {
  const hash = createHash('sha256');
  const total = Number(bytes);
  const begin = performance.now();
  const socket = connect({ host: address, port: Number(port), allowHalfOpen: true });
  let answer = '';
  let connected = false;
  socket.on('error', (error) => {
    if (connected) fail(error.message);
    setTimeout(() => send(address, port, bytes), CONNECT_RETRY_MS);
  });
  socket.on('connect', () => {
    connected = true;
    let sent = 0;
    const more = () => {
      while (sent < total) {
        const chunk = Buffer.alloc(Math.min(CHUNK, total - sent));
        fill(chunk, sent / 4);
        hash.update(chunk);
        sent += chunk.length;
        if (!socket.write(chunk)) return socket.once('drain', more);
      }
      socket.end();
    };
    more();
  });
  socket.on('data', (data) => {
    answer += data;
  });
  socket.on('end', () => {
    const expected = `${total} ${hash.digest('hex')}\n`;
    if (answer !== expected) fail(`expected ${expected}got ${answer}`);
    const seconds = (performance.now() - begin) / 1000;
    console.log(`${(total / 1e6).toFixed(0)} MB in ${seconds.toFixed(1)} s`);
    process.exit(0);
  });
}

function groupReceive(group, port, address, count) {
  const socket = createSocket({ type: 'udp4', reuseAddr: true });
  const seen = new Set();
  socket.on('message', (data) => {
    seen.add(data.toString());
    if (seen.size === Number(count)) {
      console.log(`${seen.size} datagrams`);
      process.exit(0);
    }
  });
  socket.bind(Number(port), () => {
    socket.addMembership(group, address);
    console.log('joined');
  });
  setTimeout(() => fail(`expected ${count} datagrams, got ${seen.size}`), LIMIT_MS / 3);
}

function groupSend(group, port, address, count) {
  const socket = createSocket('udp4');
  socket.bind(0, address, () => {
    socket.setMulticastInterface(address);
    let i = 0;
    const timer = setInterval(() => {
      socket.send(`datagram ${i}`, Number(port), group);
      if (++i === Number(count)) {
        clearInterval(timer);
        setTimeout(() => process.exit(0), DATAGRAM_GAP_MS);
      }
    }, DATAGRAM_GAP_MS);
  });
}

const ROLES = {
  'tcp-serve': serve,
  'tcp-send': send,
  'group-receive': groupReceive,
  'group-send': groupSend,
};
const [role, ...args] = process.argv.slice(2);
setTimeout(() => fail(`${role}: not done within ${LIMIT_MS / 1000} s`), LIMIT_MS).unref();
ROLES[role](...args);

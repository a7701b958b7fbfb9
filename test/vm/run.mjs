// Linux guests in QEMU on the software 82599: fetches QEMU and kernels, runs the scenarios, two at a
// time, prints a table. Exit status: 0 done, 1 something failed, 2 bad usage, 77 where
// everything was skipped.
//   node test/vm/run.mjs [--only TEXT] [--iommufd]
//     --only TEXT         scenarios whose name contains TEXT
//     --iommufd           with those that need a kernel built here: 10 minutes the first time
//   IXY_CACHE_DIR=DIR     default: .cache of this checkout

import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { output, UnavailableError } from '../support/debian.mjs';
import { Guest } from './guest.mjs';
import { buildKernel } from './kernel-build.mjs';
import { guestParts } from './packages.mjs';
import { expectMatch, Report } from './report.mjs';
import { driverFeatures, driverFeaturesTrapped } from './scenarios/driver-features.mjs';
import { firstErrors, noIommuErrors } from './scenarios/first-errors.mjs';
import { hotplug } from './scenarios/hotplug.mjs';
import {
  dmaOutside,
  ownDriver,
  ownDriverIommufd,
  ownDriverTrapped,
} from './scenarios/own-driver.mjs';
import { sriov } from './scenarios/sriov.mjs';
import { stockDriver, stockDriverTrapped } from './scenarios/stock-driver.mjs';
import { stockSilicon } from './scenarios/stock-silicon.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const VITEST = fileURLToPath(new URL('../../node_modules/.bin/vitest', import.meta.url));
const ABI_TEST = 'test/vfio/kernel/ioctl.test.ts';

/** A kernel that /dev/kvm cannot boot shows nothing; one that it can takes a second. */
const PROBE_MS = 10_000;

/** Runs only when asked for. */
const IOMMUFD = 'vfio-iommufd';

/**
 * Two lists of name, kernel (suite of Debian, or `iommufd`), PF personality, scenario. A lane runs a
 * list, then helps with the other: guests with Linux's driver mostly wait, those with ours compute.
 */
const LISTS = [
  [
    ['stock-6.1', 'bookworm', 'linux-6.1', stockDriver],
    ['stock-6.12', 'trixie', 'linux-6.1', stockDriver],
    ['trapped-stock-6.12', 'trixie', 'dpdk', stockDriverTrapped],
    ['stock-7.3', 'trixie-backports', 'linux-7.3', stockDriver],
    ['no-iommu-6.12', 'trixie', 'linux-6.1', noIommuErrors],
    ['dma-6.12', 'trixie', 'linux-6.1', dmaOutside],
    ['sriov-6.12', 'trixie', 'linux-6.1', sriov],
    ['hotplug-6.12', 'trixie', 'linux-6.1', hotplug],
    ['silicon-6.12', 'trixie', 'linux-6.1', stockSilicon],
  ],
  [
    ['user-6.12', 'trixie', 'linux-6.1', firstErrors],
    ['vfio-6.1', 'bookworm', 'linux-6.1', ownDriver],
    ['vfio-6.12', 'trixie', 'linux-6.1', ownDriver],
    ['features-6.1', 'bookworm', 'linux-6.1', driverFeatures],
    ['features-6.12', 'trixie', 'linux-6.1', driverFeatures],
    ['trapped-features-6.12', 'trixie', 'linux-6.1', driverFeaturesTrapped],
    ['trapped-vfio-6.12', 'trixie', 'linux-6.1', ownDriverTrapped],
    [IOMMUFD, 'iommufd', 'linux-6.1', ownDriverIommufd],
  ],
];
const SCENARIOS = LISTS.flat();

/** kvm where a kernel boots with it, else tcg. */
async function accelerator(parts) {
  const kernel = Object.values(parts.kernels)[0];
  const { tools } = parts;
  const begin = performance.now();
  try {
    const what = { tools, kernel, accel: 'kvm', limitMs: 2 * PROBE_MS, bootMs: PROBE_MS };
    const guest = await Guest.boot(what);
    await guest.close();
    console.log(`KVM: a kernel boots in ${(guest.bootMs / 1000).toFixed(1)} s`);
    return 'kvm';
  } catch (error) {
    const took = ((performance.now() - begin) / 1000).toFixed(1);
    console.log(`no KVM, so TCG: ${error.message.split('\n', 1)[0]} (${took} s)`);
    return 'tcg';
  }
}

async function main() {
  const { values } = parseArgs({
    options: { only: { type: 'string' }, iommufd: { type: 'boolean' } },
  });
  const named = SCENARIOS.filter(([name]) => name.includes(values.only ?? ''));
  const chosen = named.filter(([name]) => name !== IOMMUFD || values.iommufd === true);
  if (named.length === 0) {
    console.error(`--only: expected part of ${SCENARIOS.map(([name]) => name).join(', ')}`);
    return 2;
  }
  const report = new Report();
  if (chosen.length < named.length) report.skip(IOMMUFD, 'needs a kernel built here: --iommufd');
  if (chosen.length === 0) return report.finish();
  let parts;
  try {
    const kinds = [...new Set(chosen.map(([, kind]) => kind))];
    const say = (what) => console.log(`fetching ${what}`);
    parts = guestParts(kinds, say, { iommufd: buildKernel });
  } catch (error) {
    if (!(error instanceof UnavailableError)) throw error;
    for (const [name] of chosen) report.skip(name, `packages cannot be had: ${error.message}`);
    return report.finish();
  }
  if (values.only === undefined) await headerChecks(report, parts.headers);
  const accel = await accelerator(parts);
  const results = new Map();
  const waiting = LISTS.map((list) => list.filter((scenario) => chosen.includes(scenario)));
  const lane = async (lists) => {
    for (;;) {
      const scenario = lists.find((list) => list.length > 0)?.shift();
      if (scenario === undefined) return;
      results.set(scenario, await runScenario(scenario, parts, accel));
    }
  };
  const [first, second] = waiting;
  await Promise.all([lane([first, second]), lane([second, first])]);
  for (const scenario of chosen) report.add(results.get(scenario));
  return report.finish();
}

/** Struct layouts and request numbers against headers that have iommufd, which a host's may lack. */
async function headerChecks(report, headers) {
  report.section('The ABI in kernel headers');
  for (const { suite, include } of headers) {
    await report.check(
      `sizes, offsets and numbers are those of ${suite}'s vfio.h and iommufd.h`,
      () => {
        const env = { ...process.env, IXY_KERNEL_HEADERS: include, NO_COLOR: '1' };
        delete env.IXY_TEST_COUNTS;
        const said = output(VITEST, ['run', ABI_TEST], { cwd: ROOT, env });
        expectMatch(said, /Tests +\d+ passed \(/, 'vitest, nothing skipped');
      },
    );
  }
}

/** Runs one; what it has to say is printed at its end. @returns its Report */
async function runScenario([name, kind, personality, scenario], { tools, kernels }, accel) {
  const lines = [];
  const report = new Report((line) => lines.push(line));
  const begin = performance.now();
  console.log(`${name} begins`);
  try {
    await scenario({ report, tools, kernel: kernels[kind], accel, personality });
  } catch (error) {
    report.fail(name, error);
  }
  const took = ((performance.now() - begin) / 1000).toFixed(0);
  console.log(`${lines.join('\n')}\n${name} took ${took} s`);
  return report;
}

for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
]) {
  // Exit handlers kill what runs.
  process.on(signal, () => process.exit(status));
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!error.code?.startsWith?.('ERR_PARSE_ARGS')) throw error;
  console.error(error.message);
  process.exitCode = 2;
}

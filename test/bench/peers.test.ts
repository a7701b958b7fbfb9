// bench peers as far as it goes without DPDK; test/dpdk/peers.test.ts has the rest.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { countsIn } from '../../bench/peers/testpmd-contender.ts';
import { runBench } from './run-bench.ts';

it("finds the counts in testpmd's last words", () => {
  const text = `
  ---------------------- Forward statistics for port 0  ----------------------
  RX-packets: 7              RX-dropped: 0             RX-total: 7
  TX-packets: 7              TX-dropped: 0             TX-total: 7
  +++++++++++++++ Accumulated forward statistics for all ports+++++++++++++++
  RX-packets: 1000012        RX-dropped: 0             RX-total: 1000012
  TX-packets: 1000000        TX-dropped: 12            TX-total: 1000012
  `;
  expect(countsIn(text)).toEqual({ rxPackets: 1_000_012, txPackets: 1_000_000, txDropped: 12 });
  expect(countsIn('no counts')).toBeNull();
});

it('bench peers says in one line that there is no testpmd, and exits with 77', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ixy-peers-'));
  try {
    // A system without apt.
    for (const name of ['unshare', 'true']) {
      const path = execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim();
      if (path.startsWith('/')) symlinkSync(path, join(folder, name));
    }
    const env = { PATH: folder, IXY_CACHE_DIR: folder };
    const { status, stdout, stderr, left } = await runBench('peers', ['--quick'], { env });
    expect(stderr).toMatch(/^bench peers: no testpmd to compare with: .+\n$/);
    expect({ status, stdout, left }).toEqual({ status: 77, stdout: '', left: [] });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

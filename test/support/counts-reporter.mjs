// A vitest reporter that writes what .ci/run adds up: { passed, failed, skipped, skips }, where
// skips names each skipped test with its reason. Written at the end only, so that a run which
// died leaves no file.

import { writeFileSync } from 'node:fs';

export default class CountsReporter {
  constructor({ file }) {
    this.file = file;
  }

  onTestRunEnd(modules, unhandledErrors) {
    const counts = { passed: 0, failed: unhandledErrors.length, skipped: 0, skips: [] };
    for (const module of modules) {
      let failedHere = 0;
      for (const test of module.children.allTests()) {
        const result = test.result();
        counts[result.state === 'pending' ? 'failed' : result.state] += 1;
        if (result.state === 'failed') failedHere += 1;
        if (result.state === 'skipped') {
          const reason = result.note ?? 'no reason given';
          counts.skips.push(`${module.relativeModuleId}: ${test.fullName}: ${reason}`);
        }
      }
      // A file that could not be loaded, or whose hooks failed, has no failed test to count.
      if (failedHere === 0 && module.state() === 'failed') counts.failed += 1;
    }
    writeFileSync(this.file, JSON.stringify(counts));
  }
}

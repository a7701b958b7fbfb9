// Property tests draw the same cases in every CI run: a failure there is one of the change, not of chance. Elsewhere
// they draw new ones each time, and fast-check prints the seed of a failure.

import { readFileSync } from 'node:fs';
import { expect } from 'vitest';

const SEED = 82599;

if (process.env.CI) {
  // Loading fast-check takes 0.1 s, so only files that use it pay for it.
  if (readFileSync(expect.getState().testPath, 'utf8').includes("from 'fast-check'")) {
    const { configureGlobal } = await import('fast-check');
    configureGlobal({ seed: SEED });
    console.log(`seed of property tests: ${SEED}`);
  }
}

// `npm run test:quiet`: what has to have both processors for itself. Under other load V8 may be
// thrown back to code that is not optimised, in which every number is an object.

import { runApart } from '../../vitest.config.ts';

export default runApart({
  include: ['test/quiet/**/*.test.ts', 'test/driver/steady.test.ts'],
  testTimeout: 120_000,
  setupFiles: ['./test/support/watchdog.mjs'],
});

// The one entry of the benches. Each case is a program in a folder of its own, which reads the rest of the command line.
// Usage: npm run bench -- CASE [options of the case]

/** What there is to measure, and the program that does it. */
const CASES: Readonly<Record<string, { readonly what: string; load(): Promise<unknown> }>> = {
  forward: {
    what: 'ns a packet of the hot path beside the same work in C, or beside another build',
    load: () => import('./forward/command.ts'),
  },
  l2fwd: {
    what: 'end to end on the model: rate by frame size, loss-free rate, latency',
    load: () => import('./l2fwd/command.ts'),
  },
  peers: {
    what: "beside Debian's dpdk-testpmd on the same model",
    load: () => import('./peers/command.ts'),
  },
  start: {
    what: 'how long the first frame takes, beside an empty Node.js program',
    load: () => import('./start/command.ts'),
  },
  virtualization: {
    what: 'CPU time of a software switch that copies, against a VF for each receiver',
    load: () => import('./virtualization/command.ts'),
  },
  micro: {
    what: 'single calls of the hot path, by mitata',
    load: () => import('./micro/command.ts'),
  },
  report: {
    what: 'one HTML page from the files that the others wrote to --json',
    load: () => import('./report/command.ts'),
  },
};

const [name = ''] = process.argv.splice(2, 1);
if (Object.hasOwn(CASES, name)) await CASES[name].load();
else {
  const rows = Object.entries(CASES).map(([key, { what }]) => `  ${key.padEnd(15)} ${what}`);
  process.stderr.write(
    `bench: expected a case, got '${name}'\nusage: npm run bench -- CASE [options]\n${rows.join('\n')}\n`,
  );
  process.exitCode = 2;
}

// One HTML page from what the benches wrote to --json: plots as inline SVG, tables, what is and is
// not counted. Self-contained.
// Usage: npm run bench:report -- [--html FILE] bench.json l2fwd.json peers.json virtualization.json

import { writeFileSync } from 'node:fs';
import { page, paragraphs, type Section } from './lib/html.ts';
import { BenchError, runBench } from './lib/life.ts';
import { NO_SILICON } from './lib/machine.ts';
import { readOptions } from './lib/options.ts';
import { hotPathSection } from './lib/report-hot-path.ts';
import { l2fwdSection } from './lib/report-l2fwd.ts';
import { peersSection } from './lib/report-peers.ts';
import { virtualizationSection } from './lib/report-virtualization.ts';
import { readResults } from './lib/results.ts';

await runBench('bench:report', async () => {
  const { values, positionals } = readOptions('bench:report', {
    options: { html: { type: 'string', default: 'bench-report.html' } },
    allowPositionals: true,
  });
  if (positionals.length === 0) {
    throw new BenchError('expected the files that benches wrote to --json, got none', 2);
  }
  const { hotPath, l2fwd, peers, virtualization } = readResults(positionals);
  const sections = [
    ...hotPath.map(hotPathSection),
    ...l2fwd.map(l2fwdSection),
    ...peers.map(peersSection),
    ...virtualization.map(virtualizationSection),
  ].filter((section): section is Section => section !== undefined);
  if (sections.length === 0) throw new BenchError(`no figures in ${positionals.join(', ')}`);
  const intro = `<p class="warning">${NO_SILICON}</p>${paragraphs(
    'ixy.ts is a userspace driver for Intel 82599 Virtual Functions in TypeScript. Each section names the machine that it was measured on; on virtual CPUs, the host’s other work shows in every figure, so compare what was measured in turns, not one page with another.',
  )}`;
  writeFileSync(values.html, page('ixy.ts: measured', intro, sections));
  console.log(`${values.html}: ${sections.map(({ title }) => title).join('; ')}`);
});

// Makes an HTML page of tables and plots from the files that the benches wrote to --json.
// Usage: npm run bench -- report -- [--html FILE] bench.json l2fwd.json peers.json virtualization.json

import { readFileSync, writeFileSync } from 'node:fs';
import { renderReport, type Section } from '#dist/report/page.js';
import { BenchError, runBench } from '../method/life.ts';
import { NO_SILICON } from '../method/machine.ts';
import { readOptions } from '../method/options.ts';
import { forwardSection } from './forward.ts';
import { l2fwdSection } from './l2fwd.ts';
import { peersSection } from './peers.ts';
import { virtualizationSection } from './virtualization.ts';

/** What makes a section, by the bench that wrote a file; undefined where the file holds no figure. */
const SECTIONS: Readonly<Record<string, (result: never) => Section | undefined>> = {
  forward: forwardSection,
  l2fwd: l2fwdSection,
  peers: peersSection,
  virtualization: virtualizationSection,
};

function readSection(file: string): Section | undefined {
  const expected = `${file}: expected what a bench wrote to --json`;
  let result: { readonly bench?: string };
  try {
    result = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new BenchError(`${expected}: ${(error as Error).message}`);
  }
  const bench = result.bench ?? ('forward' in result ? 'forward' : '');
  if (!Object.hasOwn(SECTIONS, bench)) throw new BenchError(`${expected}, got something else`);
  return SECTIONS[bench](result as never);
}

await runBench('bench report', async () => {
  const { values, positionals } = readOptions('bench report', {
    options: { html: { type: 'string', default: 'bench-report.html' } },
    allowPositionals: true,
  });
  if (positionals.length === 0) {
    throw new BenchError('expected the files that benches wrote to --json, got none', 2);
  }
  const sections = positionals.map(readSection).filter((section) => section !== undefined);
  if (sections.length === 0) throw new BenchError(`no figures in ${positionals.join(', ')}`);
  const lead =
    'ixy.ts is a userspace driver for Intel 82599 Virtual Functions in TypeScript. Each section names the machine that it was measured on. On virtual CPUs, the host’s other work shows in every figure, so compare what was measured in turns, not one page with another.';
  writeFileSync(
    values.html,
    renderReport({ title: 'ixy.ts: measured', warning: NO_SILICON, lead, sections }),
  );
  console.log(`${values.html}: ${sections.map(({ heading }) => heading).join('; ')}`);
});

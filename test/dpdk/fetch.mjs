// Debian's dpdk-testpmd with its libraries and loader, in the cache folder. The last line of stdout is a JSON object:
// where the parts are. Exit status: 0 done, 77 where packages cannot be had here (no apt, no network), 1 failed.
//   node test/dpdk/fetch.mjs [SUITE]    trixie has DPDK 24.11, bookworm 22.11; default: as apt is set up

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  cacheFolder,
  filesUnder,
  findFile,
  makeFolder,
  PrivateApt,
  UnavailableError,
  unpack,
} from '../support/debian.mjs';

const UNAVAILABLE = 77;
/** The plug-ins that testpmd loads for an 82599 VF; each package's name ends in the number of DPDK's ABI. */
const PLUGINS = ['librte-bus-pci', 'librte-mempool-ring', 'librte-net-ixgbe'];
/** What testpmd needs of all that its package dpdk-dev, which also holds scripts, depends on. */
const LIBRARY = /^(lib\S*(?<!-dev)|ibverbs-providers)$/;

function fetchInto(folder, suite) {
  const apt = new PrivateApt(`${folder}.apt`, suite && [suite]);
  try {
    process.stderr.write('fetching DPDK: package lists\n');
    const { version, depends } = apt.show('dpdk-dev');
    const abi = /librte-eal(\d+)/.exec(depends)?.[1];
    if (abi === undefined) throw new UnavailableError(`dpdk-dev ${version} names no librte-eal`);
    const libraries = depends.split(/[ ,|]+/).filter((name) => LIBRARY.test(name));
    process.stderr.write(`fetching DPDK ${version}\n`);
    const plugins = PLUGINS.map((name) => `${name}${abi}`);
    unpack(apt.downloadAll([...libraries, ...plugins]), folder);
    unpack(apt.download(['dpdk-dev']), folder);
    writeFileSync(join(folder, 'version'), version);
  } finally {
    apt.close();
  }
}

try {
  const [suite] = process.argv.slice(2);
  if (!/^[a-z][a-z0-9-]*$/.test(suite ?? 'system'))
    throw new Error(`expected the name of a suite such as trixie, got '${suite}'`);
  // A folder with other contents gets another number.
  const folder = cacheFolder(`dpdk-2-${suite ?? 'system'}`);
  makeFolder(folder, (draft) => fetchInto(draft, suite));
  const files = filesUnder(folder);
  const plugins = PLUGINS.map((name) => {
    const library = name.replaceAll('-', '_');
    return findFile(files, new RegExp(`/pmds-[^/]*/${library}\\.so\\.\\d+$`));
  });
  const parts = {
    version: readFileSync(join(folder, 'version'), 'utf8'),
    testpmd: findFile(files, /\/bin\/dpdk-testpmd$/),
    loader: findFile(files, /\/ld-linux-x86-64\.so\.2$/),
    libraries: ['lib', 'usr/lib'].map((path) => join(folder, path, 'x86_64-linux-gnu')),
    plugins,
  };
  console.log(JSON.stringify(parts));
} catch (error) {
  console.error(`fetching DPDK: ${error.message}`);
  process.exitCode = error instanceof UnavailableError ? UNAVAILABLE : 1;
}

// The file behind BAR0 that a server shares. The server is not trusted: a file that is shorter than
// it says is refused, and one that could be truncated later (which would end this process by
// SIGBUS) is not mapped at all; messages reach the same registers.

import { PAGE_SIZE } from '../../hw/registers.ts';
import { VfioError } from '../../support/errors.ts';
import { ERRNO, F_SEAL } from '../../support/linux.ts';
import type { Log } from '../../support/log.ts';
import { native } from '../../support/native.ts';
import { type BarFile, type BarPages, mappablePages } from '../bar-pages.ts';

/**
 * Maps what the server shares of BAR0, and closes the file, also when it throws: mappings outlive it.
 * @param file its fd is -1 where the server shares nothing
 * @throws VfioError where the file is too short or mmap fails; nothing stays mapped then
 */
export function mapBarFile(bar: BarPages, file: BarFile, log: Log): void {
  const { fd, path } = file;
  if (fd < 0) return;
  try {
    if (staysAsLong(file)) bar.map(file);
    else
      log.warn(
        `${path}: the file behind BAR0 is not sealed against shrinking; its pages are accessed by messages, which is slow`,
      );
  } finally {
    native().close(fd);
  }
}

/** False for a file that may shrink, if anything of it is to be mapped; throws for one that is already too short. */
function staysAsLong({ fd, path, fileOffset, areas }: BarFile): boolean {
  const last = mappablePages(areas).lastIndexOf(true);
  if (last < 0) return true;
  const facts = new Float64Array(4);
  const result = native().fstat(fd, facts);
  if (result < 0) throw new VfioError('map BAR0', -result, path, 'fstat of its file');
  const needed = fileOffset + (last + 1) * PAGE_SIZE;
  const sizeBytes = facts[2];
  if (sizeBytes < needed) {
    const detail = `file behind it: expected at least ${needed} bytes, got ${sizeBytes}`;
    throw new VfioError('map BAR0', ERRNO.EINVAL, path, detail);
  }
  const seals = native().seals(fd);
  return seals >= 0 && (seals & F_SEAL.SHRINK) !== 0;
}

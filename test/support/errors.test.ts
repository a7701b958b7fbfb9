import { describe, expect, it } from 'vitest';
import { cureFor, VfioError } from '../../src/support/errors.ts';
import { ERRNO } from '../../src/support/linux.ts';
import { notOpened } from '../../src/vfio/kernel/advice.ts';

describe('VfioError', () => {
  it.each([
    ['EMFILE', /this process has as many files open as it may; raise .*ulimit -n.*LimitNOFILE=/],
    ['ENFILE', /the system has as many files open as it may; raise the sysctl fs.file-max/],
    ['EROFS', /the file system is read-only; use a folder on another one .*TMPDIR/],
    ['EDQUOT', /the disk quota is used up; free space/],
    ['ENOSPC', /the disk is full; free space/],
    ['ENOENT', /there is no such file or folder$/],
    ['ENOTDIR', /a part of this path is a file, not a folder$/],
    ['EISDIR', /this is a folder; give the name of a file$/],
    ['EACCES', /this user has no right to it; use another place/],
    ['ENOMEM', /no memory or address space is left; raise the limit .*ulimit -v/],
  ] as const)('says what to do about %s where its thrower does not', (name, cure) => {
    const error = new VfioError('make it', ERRNO[name], '/it');
    expect(error.message).toMatch(/^make it \(\/it\): E[A-Z]+: /);
    expect(error.message).toContain(`: ${name}: `);
    expect(error.message).toMatch(cure);
    expect(error.detail).toBe(cureFor(ERRNO[name]));
  });

  it('leaves what its thrower says, and an errno without a cure, as they are', () => {
    expect(new VfioError('make it', ERRNO.EROFS, '/it', 'mend it').message).toBe(
      'make it (/it): EROFS: mend it',
    );
    expect(new VfioError('make it', ERRNO.EIO, '/it').message).toBe('make it (/it): EIO');
    expect(new VfioError('make it', 0, '/it').message).toBe('make it (/it)');
  });
});

it('a VFIO file that cannot be opened for want of files is no fault of a module', () => {
  const file = { path: '/dev/vfio/7', module: 'vfio-pci', udev: '' };
  expect(notOpened(file, ERRNO.EMFILE, '0000:03:10.0', true).message).toMatch(
    /EMFILE: this process/,
  );
});

// One ioctl as the files of this folder make it: a named request on a file, whose failure is a
// VfioError with the request's name. Who can say more about an errno than its name uses tryCall.

import { VfioError } from '../../support/errors.ts';
import { REQUEST, type RequestName } from './abi.ts';
import { foreign } from './ffi.ts';

/** An open file of VFIO, and what it is called in messages. */
export interface OpenFile {
  readonly fd: number;
  readonly path: string;
}

/**
 * Makes the request.
 * @param argument a struct's buffer, or the value itself
 * @returns the ioctl's own result, or -errno
 */
export function tryCall(fd: number, name: RequestName, argument: Buffer | number): number {
  return typeof argument === 'number'
    ? foreign().ioctlValue(fd, REQUEST[name], argument)
    : foreign().ioctlPointer(fd, REQUEST[name], argument);
}

/**
 * The same for who has no use for the errno.
 * @returns the ioctl's own result
 * @throws VfioError
 */
export function call(
  file: OpenFile,
  operation: string,
  name: RequestName,
  argument: Buffer | number,
): number {
  const result = tryCall(file.fd, name, argument);
  if (result < 0) throw new VfioError(operation, -result, file.path, name);
  return result;
}

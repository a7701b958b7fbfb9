// What a command does about what its host does to a device while it runs. The VF recovers by itself; here it is said, on
// stderr, and a device that is removed ends the command unless it is awaited.

import type { IxgbeVf } from '../../ixgbevf/vf.ts';
import type { Session } from './session.ts';

/** How a command opens its devices. */
export function recovering(waitForDevice: boolean): { recover: true; waitForDevice: boolean } {
  return { recover: true, waitForDevice };
}

/** @param name what the command line calls the device */
export function followDevice(
  vf: IxgbeVf,
  name: string,
  session: Session,
  waitForDevice: boolean,
): void {
  const warn = (text: string): void => {
    process.stderr.write(`warning: ${name}: ${text}\n`);
  };
  vf.on('reset', (reason) => warn(`stopped: ${reason}`));
  vf.on('restarted', (tookMs) => warn(`goes on after ${Math.round(tookMs)} ms`));
  vf.on('error', (error) => warn(error.message));
  vf.on('removed', (reason) => {
    if (waitForDevice) warn(`waiting for the device: ${reason}`);
    else session.fail(new Error(reason));
  });
}

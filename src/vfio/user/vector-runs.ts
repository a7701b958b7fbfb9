// How a set of eventfds becomes SET_IRQS messages. The protocol has no "-1": a message either
// carries an fd for each of its vectors or none and disconnects them (vfio-user spec,
// "VFIO_USER_DEVICE_SET_IRQS"). So a full set is one message, a set with holes one for each run.

/** One message: vectors [start, start + count), with as many fds, or none to disconnect. */
export interface VectorRun {
  readonly start: number;
  readonly count: number;
  readonly fds: readonly number[];
}

/**
 * The messages that take the vectors from `connected` to `wanted`; none for what is and stays disconnected.
 * @param wanted an fd or -1 for each vector
 * @param connected true for each vector that has an eventfd now
 * @param maxFds fds the server takes in one message; 0 is taken as 1, or nothing could ever be connected
 */
export function vectorRuns(
  wanted: readonly number[],
  connected: readonly boolean[],
  maxFds: number,
): VectorRun[] {
  const runs: VectorRun[] = [];
  const limit = Math.max(1, maxFds);
  for (let start = 0; start < wanted.length; ) {
    const connect = wanted[start] >= 0;
    let end = start + 1;
    while (end < wanted.length && wanted[end] >= 0 === connect) {
      if (connect && end - start === limit) break;
      end++;
    }
    const fds = connect ? wanted.slice(start, end) : [];
    if (connect || connected.slice(start, end).includes(true)) {
      runs.push({ start, count: end - start, fds });
    }
    start = end;
  }
  return runs;
}

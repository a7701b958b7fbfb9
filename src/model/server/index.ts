// A model with its vfio-user server, put together: BAR memory, NIC, sockets.

import type { Arena } from '../../memory/arena.ts';
import { ModelHost } from '../host/host.ts';
import { Nic, type NicOptions } from '../nic.ts';
import { BarMemory } from './bar-memory.ts';
import { ModelServer } from './server.ts';
import type { ServedVf } from './vf-endpoint.ts';

export { runModel } from './loop.ts';

/** How a served model is made: a NIC's options less those that follow. */
export interface ServedModelOptions extends Omit<NicOptions, 'memory' | 'barWindow'> {
  readonly arena: Arena;
  /** Directory of the sockets. */
  readonly directory: string;
}

/** A NIC whose VFs clients can attach to. */
export interface ServedModel {
  readonly nic: Nic;
  readonly server: ModelServer;
  /** Cables, and VFs that are taken away and come back; `ixy pf` reaches it through DIR/control.sock. */
  readonly host: ModelHost;
  /** Hangs up, removes the sockets, closes the ports, unmaps. Idempotent. */
  close(): void;
}

/**
 * Makes a NIC and serves all its VFs.
 * @throws RangeError for a wrong setup, VfioError where sockets or memory cannot be had; then nothing is left
 */
export function serveModel(options: ServedModelOptions): ServedModel {
  const { arena, directory, ...nicOptions } = options;
  const bars = new Map<string, BarMemory>();
  let nic: Nic | undefined;
  let server: ModelServer | undefined;
  let closed = false;
  const close = (): void => {
    if (closed) return;
    closed = true;
    server?.close();
    nic?.close();
    for (const bar of bars.values()) bar.close();
  };
  try {
    nic = new Nic({
      ...nicOptions,
      memory: arena,
      barWindow: (port, vf) => {
        const bar = new BarMemory(arena, port, vf);
        bars.set(`${port}.${vf}`, bar);
        return bar.offset;
      },
    });
    const vfs: ServedVf[] = [];
    for (const [port, { vfs: count }] of options.ports.entries()) {
      for (let vf = 0; vf < count; vf++) {
        const target = nic.function(port, vf);
        const bar = target.trapAll ? undefined : bars.get(`${port}.${vf}`);
        vfs.push({ target, bar: bar ?? null });
      }
    }
    server = new ModelServer({
      arena,
      vfs,
      directory,
      ...(options.log === undefined ? {} : { log: options.log }),
    });
    const host = new ModelHost(nic, server.slots, options.clock);
    server.administer(host);
    return { nic, server, host, close };
  } catch (error) {
    close();
    throw error;
  }
}

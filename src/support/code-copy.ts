// A copy of a hot module's machine code for each of its users. Two queues that run
// through one function share its type feedback, and their arrays are no longer
// constants of its code. A module that is imported under a query string of its own
// is compiled by itself. Where two devices share the code of their queues, a
// forwarder takes 2.7, 2.3 and 2.3 times as long on Node 20, 24 and 26 at batch 32,
// and 2.3 times at batch 1. Where its own loop is shared by both directions, it takes
// 1.10, 1.15 and 1.13 times as long (batch 1: 1.2 times). The same holds for a copy whose first user is gone, so
// each user gets a new one, until there are so many that memory counts for more:
// modules are never freed, and each takes about 75 KB.

const freeSlots = new Map<string, number[]>();
const nextSlot = new Map<string, number>();

/** From this many copies of a module on, copies that were given back are used again. */
export const FRESH_COPIES = 128;

/** A loaded copy. Its user gives it back with `releaseCopy` when it is closed. */
export interface CodeCopy<Module> {
  readonly module: Module;
  readonly key: string;
  readonly slot: number;
}

function extensionOf(url: string): string {
  const path = url.replace(/[?#].*$/, '');
  return path.slice(path.lastIndexOf('.'));
}

function takeSlot(key: string): number {
  const next = nextSlot.get(key) ?? 0;
  const used = next < FRESH_COPIES ? undefined : freeSlots.get(key)?.pop();
  if (used !== undefined) return used;
  nextSlot.set(key, next + 1);
  return next;
}

/** Copies that were loaded before anybody asked for them. */
const ahead = new Map<string, Promise<CodeCopy<unknown>>[]>();

/** Loads copies that `freshCopy` hands out later, in a thread that has time before it makes its queues. */
export function loadAhead(name: string, importer: string, shared: unknown, count: number): void {
  const key = new URL(name, importer).href;
  const copies = Array.from({ length: count }, () => load(key, importer, shared));
  ahead.set(key, [...(ahead.get(key) ?? []), ...copies]);
}

/**
 * Imports a copy of the module `name` (such as './rx-ring', without its extension), relative to `importer`, that nobody
 * else uses. Where the loader knows no query strings, as in a bundle, all users share one copy.
 * @param importer `import.meta.url` of the caller
 * @param shared the module as imported normally
 */
export async function freshCopy<Module>(
  name: string,
  importer: string,
  shared: Module,
): Promise<CodeCopy<Module>> {
  const key = new URL(name, importer).href;
  return (ahead.get(key)?.shift() ?? load(key, importer, shared)) as Promise<CodeCopy<Module>>;
}

async function load<Module>(
  key: string,
  importer: string,
  shared: Module,
): Promise<CodeCopy<Module>> {
  const slot = takeSlot(key);
  try {
    const href = `${key}${extensionOf(importer)}?q=${slot}`;
    return { module: (await import(/* @vite-ignore */ href)) as Module, key, slot };
  } catch {
    return { module: shared, key, slot };
  }
}

/** Gives a copy back, for a later user. */
export function releaseCopy(copy: CodeCopy<unknown>): void {
  const free = freeSlots.get(copy.key);
  if (free === undefined) freeSlots.set(copy.key, [copy.slot]);
  else if (!free.includes(copy.slot)) free.push(copy.slot);
}

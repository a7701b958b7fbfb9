// A fresh copy of a hot module's machine code. Two queues that run through one
// function body share its type feedback and its constants no longer fold, which
// costs 1.1 to 1.5 times (Node 20 to 24); a module imported under a query string
// of its own is compiled by itself. The same holds for a copy whose first user is
// gone: a second one finds its constants no longer folded and runs at less than
// half the speed. So each user gets a new copy, until there are so many that
// memory counts for more: modules are never freed (about 75 KB each).

const freeSlots = new Map<string, number[]>();
const nextSlot = new Map<string, number>();

/** From this many copies of a module on, copies that were given back are used again. */
export const FRESH_COPIES = 128;

/** A loaded copy. Give `slot` back with `releaseCopy` when its user is closed. */
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

/** Loads copies that `freshCopy` hands out later: for a thread that has time before it makes its queues. */
export function loadAhead(name: string, importer: string, shared: unknown, count: number): void {
  const key = new URL(name, importer).href;
  const copies = Array.from({ length: count }, () => load(key, importer, shared));
  ahead.set(key, [...(ahead.get(key) ?? []), ...copies]);
}

/**
 * Imports the module `name` (such as './rx-ring', no extension) relative to `importer` under a slot nobody uses.
 * Falls back to the shared copy where the loader knows no query strings (a bundle).
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

/** Makes a slot available again. */
export function releaseCopy(copy: CodeCopy<unknown>): void {
  const free = freeSlots.get(copy.key);
  if (free === undefined) freeSlots.set(copy.key, [copy.slot]);
  else if (!free.includes(copy.slot)) free.push(copy.slot);
}

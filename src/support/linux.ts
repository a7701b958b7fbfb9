// Numbers of Linux's ABI that more than one room uses. What Node.js knows (errno) is taken from it;
// the rest is written out from the headers of linux-x64, the only platform there is.

import { constants } from 'node:os';

/** errno values by name. Node.js leaves out EBADFD, which the kernel has for a file in a bad state. */
export const ERRNO = { ...constants.errno, EBADFD: 77 } as const;

/** Symbolic name of a positive errno, "errno N" where there is none. */
export function errnoName(errno: number): string {
  return Object.entries(ERRNO).find(([, value]) => value === errno)?.[0] ?? `errno ${errno}`;
}

/** Protection of a mapping: readable and writable (asm-generic/mman-common.h). */
export const PROT_READ_WRITE = 0x3;
/** A mapping whose stores reach the file and everybody else who maps it (linux/mman.h). */
export const MAP_SHARED = 0x1;

/** What a memfd's owner may promise of it (linux/fcntl.h, F_ADD_SEALS). */
export const F_SEAL = { SEAL: 0x1, SHRINK: 0x2, GROW: 0x4 } as const;

/** Events of poll(2) (asm-generic/poll.h). ERR and HUP are reported without being asked for. */
export const POLL = { IN: 0x1, OUT: 0x4, ERR: 0x8, HUP: 0x10 } as const;

/** Commands of membarrier(2) (linux/membarrier.h). A process registers before it uses the other one. */
export const MEMBARRIER = { PRIVATE_EXPEDITED: 0x8, REGISTER_PRIVATE_EXPEDITED: 0x10 } as const;

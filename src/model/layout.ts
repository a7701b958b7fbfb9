// Where the datapath keeps its state: as words of the heap, one block a VF and in it one block a queue, so that
// the hot loops touch one Int32Array only (docs/hot-path.md). All values are int32. No driver sees any of this:
// what a driver sees are the words of its BAR and its descriptors.
//
// The loops name places by one letter, always an index of 32-bit words into the heap:
//   h  the heap itself, an Int32Array
//   v  a VF block: h[v + V_POOL] and the other V_*, and its counters C_*
//   q  a queue block inside it: h[q + Q_HEAD] is the queue's head; Q_* of both kinds, R_* of rx, T_* of tx queues
//   w  the first word of a frame
//   d  a descriptor, of four words: h[d], h[d + 1] hold the buffer's address, h[d + 2] and h[d + 3] the rest
//   e  an answer of the switch's lookup, E_* (switch/lookup.ts)

import { MAX_QUEUES } from '../hw/registers.ts';

// ---- VF block ----

/** Bits of V_POOL: the pool's row of the switch tables. */
export const POOL_RX = 1;
export const POOL_TX = 2;
export const POOL_MAC_SPOOF = 4;
export const POOL_VLAN_SPOOF = 8;
export const POOL_UNTAGGED = 16;

export const V_POOL = 0;
/** VMVIR as the PF set it: 0, or VMVIR_INSERT and the tag that goes into every frame. */
export const V_PORT_VLAN = 1;
/** 1: the tag of a port VLAN is taken from received frames and shown nowhere (QDE.HIDE_VLAN). */
export const V_HIDE_TAG = 5;
/** Rx queues that frames are spread over, by RSS or by traffic class: 1 to 8. */
export const V_QUEUES = 2;
/** Traffic classes of the port, whose queues they go by where there are several: then there is no RSS. */
export const V_CLASSES = 6;
/**
 * The rx queue block of queue 0 while everything about it is plain: the only queue, running, bus mastering on, the
 * ring in one writable piece; else 0.
 */
export const V_PLAIN_RX = 3;
/** Bit i: tx queue i has something to interrupt for. */
export const V_TX_RAISE = 4;
/** 1 while the function may do DMA (COMMAND.BusMaster). */
export const V_MASTER = 7;
/** The last source MAC that passed anti-spoofing: bytes 0,1 and 2..5 as they lie in words; V_SOURCE_OK 1 where valid. */
export const V_SOURCE_HIGH = 8;
export const V_SOURCE_LOW = 9;
export const V_SOURCE_OK = 10;
/** Index of the VF among all VFs of the NIC. */
export const V_SLOT = 11;
/** Counts since they were last taken over into totals; COUNTERS of them. */
export const V_COUNTERS = 16;
/** Counted by queue (Q_PACKETS); its place among the totals. */
export const C_RX_PACKETS = V_COUNTERS;
export const C_RX_OCTETS = V_COUNTERS + 1;
export const C_RX_MULTICAST = V_COUNTERS + 2;
export const C_TX_PACKETS = V_COUNTERS + 3;
export const C_TX_OCTETS = V_COUNTERS + 4;
export const C_NO_DESCRIPTOR = V_COUNTERS + 5;
export const C_DISABLED = V_COUNTERS + 6;
export const C_SPOOFED = V_COUNTERS + 7;
export const C_FILTERED = V_COUNTERS + 8;
export const C_FAULTS = V_COUNTERS + 9;
export const COUNTERS = 10;
/** First rx queue block, first tx queue block, words a queue block and a VF block. */
export const V_RX_QUEUES = 32;
export const QUEUE_WORDS = 80;
export const V_TX_QUEUES = V_RX_QUEUES + MAX_QUEUES * QUEUE_WORDS;
export const VF_WORDS = V_TX_QUEUES + MAX_QUEUES * QUEUE_WORDS + 16;

// ---- queue block ----

export const STATE_DISABLED = 0;
export const STATE_RUNNING = 1;
/** Enabled, but stopped by a fault or a descriptor it cannot take, until it is disabled or reset. */
export const STATE_HUNG = 2;

export const Q_STATE = 0;
export const Q_HEAD = 1;
/** Tail as last read from the BAR word; a new one is fetched only when this is used up. */
export const Q_TAIL = 2;
/** Descriptors of the ring. */
export const Q_COUNT = 3;
/** Heap word of the tail register. */
export const Q_TAIL_WORD = 4;
/** Byte offset of the ring's base inside its first 4 KiB page. */
export const Q_SKEW = 5;
/** Address window of the last buffer: high word, first low word, bytes, heap byte offset. Bytes is -1 when empty. */
export const Q_WINDOW_HIGH = 6;
export const Q_WINDOW_START = 7;
export const Q_WINDOW_BYTES = 8;
export const Q_WINDOW_BASE = 9;
/** 1: some page of the ring cannot be written. */
export const Q_READ_ONLY = 10;
/** Heap word of the VF block. */
export const Q_VF = 11;
export const Q_INDEX = 12;
/** Ring base as the BAR words gave it when the queue was enabled. */
export const Q_BASE_LOW = 13;
export const Q_BASE_HIGH = 14;
/** Bits WARN_*: recorded once, not at every frame. */
export const Q_WARNED = 15;
export const WARN_TAIL = 1;
export const WARN_CONTEXT = 2;
export const WARN_IFCS = 4;
export const WARN_SHORT = 8;
/** Heap word of descriptor 0 where the ring is in one writable piece, else -1. */
export const Q_RING = 21;
/** Rx: frames delivered, modulo 2^32; how many of them were counted, and interrupted for. */
export const Q_PACKETS = 22;
export const Q_COUNTED = 23;
export const Q_RAISED = 36;

/** Rx: bytes of a buffer; 1 where tags are stripped. */
export const R_BUFFER = 16;
export const R_STRIP = 17;

/** Tx: bit i: context slot i is loaded. */
export const T_CONTEXTS = 16;
/** First descriptor that was consumed and not yet written back. */
export const T_WRITTEN = 17;
export const T_WTHRESH = 18;
/** Head write-back address, bit 0 of the low word enables. */
export const T_HEAD_LOW = 19;
export const T_HEAD_HIGH = 20;
/** Two context descriptors of 4 words. */
export const T_CONTEXT = 24;
/** Frames already cut from the segmentation request at the head. */
export const T_SEGMENT = 32;

/** Heap word of each 4 KiB page the ring lies in, -1 where nothing readable is mapped. */
export const Q_PAGES = 40;
export const RING_PAGES = 33;
/** Longest ring: what RING_PAGES hold whatever the skew ("validated datasheet maximum", DPDK 9fd2193e56). */
export const MAX_DESCRIPTORS = 8192;

// The vfio-user wire format, all of it: what the client in this folder and the server in
// src/model use. Pure functions over DataViews; sockets and fds are elsewhere.

export type { MmapArea } from '../bar-pages.ts';
export * from '../linux-vfio.ts';
export * from './dma-messages.ts';
export * from './info-messages.ts';
export * from './irq-messages.ts';
export * from './region-messages.ts';
export * from './version.ts';
export * from './wire.ts';

// What the three shapes of baseline.c have in common: buffers, queues, and the stub of a NIC that only sets DD.

#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#define RING 512
#define MASK (RING - 1)
#define FILL 448
#define BUFFERS 4096
#define BUFFER_BYTES 2048
#define HEADER 64
#define FRAME 60
#define BLOCK 32
#define SLICE_NS 25e6
#define IOVA_BASE 0x100000000ULL
#define RX_DONE 3u
#define TX_DONE 1u
#define TX_RS (1u << 27)
#define TX_COMMAND 0x23300000u

typedef struct {
  volatile uint32_t word[4];
} descriptor;

typedef struct pool pool;

typedef struct {
  uint64_t iova;
  pool *home;
  uint32_t index;
  uint32_t size;
  uint8_t reserved[HEADER - 24];
  uint8_t data[];
} packet;

struct pool {
  uint8_t *base;
  uint32_t top;
  uint32_t stack[BUFFERS];
};

typedef struct {
  descriptor *ring;
  volatile uint32_t tail;
  uint32_t next;
  uint32_t clean;
  uint32_t head; // the stub's
  void *slot[RING];
  uint32_t buf[RING];
} queue;

typedef struct {
  queue rx, tx;
} nic;

static pool packets;
static uint16_t length_of[BUFFERS];
static nic nics[2];

static void *must_map(size_t bytes) {
  void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) {
    perror("baseline: mmap");
    exit(1);
  }
  memset(p, 0, bytes);
  return p;
}

static packet *packet_at(uint32_t i) { return (packet *)(packets.base + (size_t)i * BUFFER_BYTES); }
static uint64_t iova_of(uint32_t i) { return IOVA_BASE + (uint64_t)i * BUFFER_BYTES; }

static void arm_rx(descriptor *d, uint64_t iova) {
  d->word[0] = (uint32_t)iova;
  d->word[1] = (uint32_t)(iova >> 32);
  d->word[2] = 0;
  d->word[3] = 0;
}

static void set_up(int headers) {
  packets.base = must_map((size_t)BUFFERS * BUFFER_BYTES);
  for (uint32_t i = 0; i < BUFFERS; i++) {
    packets.stack[i] = BUFFERS - 1 - i;
    packet *p = packet_at(i);
    *p = (packet){.iova = iova_of(i), .home = &packets, .index = i};
  }
  packets.top = BUFFERS;
  for (int n = 0; n < 2; n++) {
    queue *rx = &nics[n].rx, *tx = &nics[n].tx;
    rx->ring = must_map(RING * sizeof(descriptor));
    tx->ring = must_map(RING * sizeof(descriptor));
    for (uint32_t i = 0; i < RING; i++) {
      uint32_t buf = packets.stack[--packets.top];
      rx->buf[i] = buf;
      rx->slot[i] = packet_at(buf);
      arm_rx(&rx->ring[i], iova_of(buf) + (headers ? HEADER : 0));
    }
    rx->tail = RING - 1;
  }
}

static void fill(queue *rx) {
  for (uint32_t n = 0; rx->head != rx->tail && n < FILL; n++) {
    rx->ring[rx->head].word[3] = FRAME;
    rx->ring[rx->head].word[2] = RX_DONE;
    rx->head = (rx->head + 1) & MASK;
  }
}

static void drain(queue *tx) {
  while (tx->head != tx->tail) {
    if (tx->ring[tx->head].word[2] & TX_RS) tx->ring[tx->head].word[3] |= TX_DONE;
    tx->head = (tx->head + 1) & MASK;
  }
}

// The same work as case.ts in C, three shapes: "ixy" keeps a 64-byte header in front of each
// packet and asks for a report on every descriptor; "side" keeps metadata in side tables and
// asks once in 32; "fused" receives, touches and transmits in one pass. The device is the same
// stub: it only sets DD, and its work is not timed.
// Usage: baseline SHAPE BATCH   prints "ready", and for each line of its standard input
// measures one slice: see method/slices.ts. A round is a ring's fill both ways.

#include "baseline-stub.h"

// ---- a header in every buffer ----

static __attribute__((noinline)) uint32_t ixy_rx(queue *rx, packet **bufs, uint32_t n) {
  uint32_t i = rx->next, k = 0, last = i;
  for (; k < n; k++) {
    descriptor *d = &rx->ring[i];
    if (!(d->word[2] & 1)) break;
    if (!packets.top) break;
    packet *p = rx->slot[i];
    p->size = d->word[3] & 0xffff;
    packet *fresh = packet_at(packets.stack[--packets.top]);
    arm_rx(d, fresh->iova + HEADER);
    rx->slot[i] = fresh;
    bufs[k] = p;
    last = i;
    i = (i + 1) & MASK;
  }
  if (k) {
    rx->tail = last;
    rx->next = i;
  }
  return k;
}

static __attribute__((noinline)) uint32_t ixy_tx(queue *tx, packet **bufs, uint32_t n) {
  uint32_t clean = tx->clean, next = tx->next;
  for (;;) {
    uint32_t used = (next - clean) & MASK;
    if (used < BLOCK) break;
    uint32_t end = (clean + BLOCK - 1) & MASK;
    if (!(tx->ring[end].word[3] & TX_DONE)) break;
    for (uint32_t i = clean;; i = (i + 1) & MASK) {
      packet *p = tx->slot[i];
      p->home->stack[p->home->top++] = p->index;
      if (i == end) break;
    }
    clean = (end + 1) & MASK;
  }
  tx->clean = clean;
  uint32_t k = 0;
  for (; k < n; k++) {
    uint32_t after = (next + 1) & MASK;
    if (after == clean) break;
    packet *p = bufs[k];
    descriptor *d = &tx->ring[next];
    uint64_t iova = p->iova + HEADER;
    tx->slot[next] = p;
    d->word[0] = (uint32_t)iova;
    d->word[1] = (uint32_t)(iova >> 32);
    d->word[2] = TX_COMMAND | TX_RS | p->size;
    d->word[3] = p->size << 14;
    next = after;
  }
  tx->next = next;
  tx->tail = next;
  return k;
}

static uint32_t ixy_forward(queue *rx, queue *tx, uint32_t batch) {
  packet *bufs[256];
  uint32_t moved = 0, n;
  while ((n = ixy_rx(rx, bufs, batch)) != 0) {
    for (uint32_t i = 0; i < n; i++) bufs[i]->data[0]++;
    if (ixy_tx(tx, bufs, n) != n) abort();
    moved += n;
  }
  return moved;
}

// ---- metadata in side tables ----

static void clean_blocks(queue *tx) {
  while (((tx->next - tx->clean) & MASK) >= BLOCK) {
    uint32_t end = (tx->clean + BLOCK - 1) & MASK;
    if (!(tx->ring[end].word[3] & TX_DONE)) return;
    memcpy(&packets.stack[packets.top], &tx->buf[tx->clean], BLOCK * sizeof(uint32_t));
    packets.top += BLOCK;
    tx->clean = (end + 1) & MASK;
  }
}

static inline void post(queue *tx, uint32_t at, uint32_t buf, uint32_t length) {
  descriptor *d = &tx->ring[at];
  uint64_t iova = iova_of(buf);
  d->word[0] = (uint32_t)iova;
  d->word[1] = (uint32_t)(iova >> 32);
  d->word[2] = TX_COMMAND | length | ((at & (BLOCK - 1)) == BLOCK - 1 ? TX_RS : 0);
  d->word[3] = 0x80 | length << 14;
  tx->buf[at] = buf;
}

static __attribute__((noinline)) uint32_t side_rx(queue *rx, uint32_t *bufs, uint32_t n) {
  uint32_t i = rx->next, k = 0;
  for (; k < n && packets.top; k++) {
    descriptor *d = &rx->ring[i];
    if ((d->word[2] & RX_DONE) != RX_DONE) break;
    uint32_t buf = rx->buf[i];
    length_of[buf] = (uint16_t)d->word[3];
    bufs[k] = buf;
    rx->buf[i] = packets.stack[--packets.top];
    arm_rx(d, iova_of(rx->buf[i]));
    i = (i + 1) & MASK;
  }
  if (k) {
    rx->tail = (i - 1) & MASK;
    rx->next = i;
  }
  return k;
}

static __attribute__((noinline)) uint32_t side_tx(queue *tx, const uint32_t *bufs, uint32_t n) {
  clean_blocks(tx);
  uint32_t room = RING - 1 - ((tx->next - tx->clean) & MASK);
  if (n > room) n = room;
  for (uint32_t k = 0; k < n; k++) {
    post(tx, tx->next, bufs[k], length_of[bufs[k]]);
    tx->next = (tx->next + 1) & MASK;
  }
  tx->tail = tx->next;
  return n;
}

static uint32_t side_forward(queue *rx, queue *tx, uint32_t batch) {
  uint32_t bufs[256], moved = 0, n;
  while ((n = side_rx(rx, bufs, batch)) != 0) {
    for (uint32_t i = 0; i < n; i++) packets.base[(size_t)bufs[i] * BUFFER_BYTES]++;
    if (side_tx(tx, bufs, n) != n) abort();
    moved += n;
  }
  return moved;
}

// ---- one pass ----

static __attribute__((noinline)) uint32_t fused_batch(queue *rx, queue *tx, uint32_t n) {
  clean_blocks(tx);
  uint32_t i = rx->next, at = tx->next, k = 0;
  uint32_t room = RING - 1 - ((tx->next - tx->clean) & MASK);
  if (n > room) n = room;
  for (; k < n && packets.top; k++) {
    descriptor *d = &rx->ring[i];
    if ((d->word[2] & RX_DONE) != RX_DONE) break;
    uint32_t buf = rx->buf[i], length = d->word[3] & 0xffff;
    rx->buf[i] = packets.stack[--packets.top];
    arm_rx(d, iova_of(rx->buf[i]));
    i = (i + 1) & MASK;
    packets.base[(size_t)buf * BUFFER_BYTES]++;
    post(tx, at, buf, length);
    at = (at + 1) & MASK;
  }
  if (k) {
    rx->next = i;
    tx->next = at;
    rx->tail = (i - 1) & MASK;
    tx->tail = at;
  }
  return k;
}

static uint32_t fused_forward(queue *rx, queue *tx, uint32_t batch) {
  uint32_t moved = 0, n;
  while ((n = fused_batch(rx, tx, batch)) != 0) moved += n;
  return moved;
}

static double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

// More rounds than a slice holds.
static double rounds[1 << 14];

// Prints nanoseconds a packet of the median round, involuntary switches, and the longest round in microseconds.
static void slice(uint32_t (*forward)(queue *, queue *, uint32_t), uint32_t batch) {
  struct rusage before, after;
  getrusage(RUSAGE_SELF, &before);
  double now = now_ns(), end = now + SLICE_NS, longest = 0;
  size_t count = 0;
  while (now < end && count < sizeof rounds / sizeof rounds[0]) {
    for (int i = 0; i < 2; i++) drain(&nics[i].tx);
    for (int i = 0; i < 2; i++) fill(&nics[i].rx);
    double start = now_ns();
    double moved = forward(&nics[0].rx, &nics[1].tx, batch);
    moved += forward(&nics[1].rx, &nics[0].tx, batch);
    double stop = now_ns();
    rounds[count++] = (stop - start) / moved;
    if (stop - now > longest) longest = stop - now;
    now = stop;
  }
  qsort(rounds, count, sizeof rounds[0], compare);
  getrusage(RUSAGE_SELF, &after);
  printf("%.4f %ld %.0f\n", rounds[count / 2], after.ru_nivcsw - before.ru_nivcsw, longest / 1000);
}

int main(int argc, char **argv) {
  uint32_t (*forward)(queue *, queue *, uint32_t) = NULL;
  if (argc == 3 && !strcmp(argv[1], "ixy")) forward = ixy_forward;
  if (argc == 3 && !strcmp(argv[1], "side")) forward = side_forward;
  if (argc == 3 && !strcmp(argv[1], "fused")) forward = fused_forward;
  uint32_t batch = argc == 3 ? (uint32_t)atoi(argv[2]) : 0;
  if (!forward || batch < 1 || batch > 256) {
    fprintf(stderr, "usage: baseline ixy|side|fused BATCH\n");
    return 2;
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  set_up(forward == ixy_forward);
  puts("ready");
  for (int c; (c = getchar()) != EOF;)
    if (c == '\n') slice(forward, batch);
  return 0;
}

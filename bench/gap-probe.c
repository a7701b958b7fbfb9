// What the machine itself adds to latency: spins on the clock of one CPU and looks at the gaps
// between two readings, in which somebody else had the CPU: interrupts, other threads, the host.
// Usage: gap-probe CPU MILLISECONDS   (CPU -1: not pinned)   prints a line of JSON: the largest
// gap, the 99.9th percentile over readings, the same over time (of all moments, 0.1 % lie in a
// longer gap), and the share of time in gaps above 1 us

#define _GNU_SOURCE
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

// Log-linear: 64 steps an octave, so 1.6 %.
#define STEPS 64
#define BUCKETS (64 * STEPS)

static uint64_t counts[BUCKETS];

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static unsigned bucket_of(uint64_t ns) {
  if (ns < STEPS) return (unsigned)ns;
  int octave = 63 - __builtin_clzll(ns) - 6;
  return (unsigned)(octave * STEPS + (int)(ns >> octave));
}

static uint64_t value_of(unsigned bucket) {
  if (bucket < STEPS) return bucket;
  unsigned octave = bucket / STEPS - 1;
  return (uint64_t)(bucket - octave * STEPS) << octave;
}

int main(int argc, char **argv) {
  int cpu = argc == 3 ? atoi(argv[1]) : 0;
  int ms = argc == 3 ? atoi(argv[2]) : 0;
  if (ms < 1 || cpu >= CPU_SETSIZE) {
    fprintf(stderr, "usage: gap-probe CPU MILLISECONDS\n");
    return 2;
  }
  if (cpu >= 0) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set)) {
      perror("gap-probe: sched_setaffinity");
      return 1;
    }
  }
  for (int i = 0; i < BUCKETS; i++) counts[i] = 0; // pages touched before it counts
  uint64_t reads = 0, largest = 0, lost = 0;
  uint64_t start = now_ns(), before = start, end = start + (uint64_t)ms * 1000000u;
  while (before < end) {
    uint64_t now = now_ns(), gap = now - before;
    counts[bucket_of(gap)]++;
    if (gap > largest) largest = gap;
    if (gap > 1000) lost += gap;
    before = now;
    reads++;
  }
  uint64_t total = before - start, above = 0, longest_reads = 0, longest_time = 0;
  double in_gaps = 0;
  for (int i = BUCKETS - 1; i >= 0; i--) {
    if (!counts[i]) continue;
    above += counts[i];
    in_gaps += (double)counts[i] * (double)value_of((unsigned)i);
    if (!longest_reads && above * 1000 >= reads) longest_reads = value_of((unsigned)i);
    if (!longest_time && in_gaps * 1000 >= (double)total) longest_time = value_of((unsigned)i);
  }
  printf("{\"seconds\":%.3f,\"reads\":%llu,\"largestNs\":%llu,\"p999Ns\":%llu,\"timeP999Ns\":%llu,\"lostShare\":%.6f}\n",
         (double)total / 1e9, (unsigned long long)reads, (unsigned long long)largest,
         (unsigned long long)longest_reads, (unsigned long long)longest_time, (double)lost / (double)total);
  return 0;
}

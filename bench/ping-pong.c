// What a cache line costs between two CPUs: two threads hand one word to and fro. Virtual machines
// are moved between states in which this differs several times over, and every figure with it.
// Usage: ping-pong CPU CPU MILLISECONDS   (CPU -1: not pinned)   prints the median round trip in ns

#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TRIPS 64
#define BATCHES 65536
#define STOP UINT32_MAX

static _Alignas(128) volatile uint32_t ball;
static _Alignas(128) double batches[BATCHES];

static void pin(int cpu) {
  cpu_set_t set;
  if (cpu < 0) return;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set)) {
    perror("ping-pong: sched_setaffinity");
    exit(1);
  }
}

static double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

// Odd values are this thread's to answer.
static void *echo(void *argument) {
  pin(*(int *)argument);
  for (;;) {
    uint32_t value = ball;
    if (value == STOP) return NULL;
    if (value & 1) ball = value + 1;
  }
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(int argc, char **argv) {
  int here = argc == 4 ? atoi(argv[1]) : 0, there = argc == 4 ? atoi(argv[2]) : 0;
  int ms = argc == 4 ? atoi(argv[3]) : 0;
  if (ms < 1 || here >= CPU_SETSIZE || there >= CPU_SETSIZE) {
    fprintf(stderr, "usage: ping-pong CPU CPU MILLISECONDS\n");
    return 2;
  }
  pthread_t thread;
  if (pthread_create(&thread, NULL, echo, &there)) {
    perror("ping-pong: pthread_create");
    return 1;
  }
  pin(here);
  size_t n = 0;
  double start = now_ns(), before = start, end = start + ms * 1e6;
  uint32_t value = 0;
  while (before < end && n < BATCHES) {
    for (int i = 0; i < TRIPS; i++) {
      ball = value + 1;
      value += 2;
      if (value >= STOP - 2) value = 0;
      while ((ball & 1) != 0) {
      }
    }
    double now = now_ns();
    batches[n++] = (now - before) / TRIPS;
    before = now;
  }
  ball = STOP;
  pthread_join(thread, NULL);
  qsort(batches, n, sizeof batches[0], ascending);
  printf("%.1f\n", batches[n / 2]);
  return 0;
}

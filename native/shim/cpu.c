// The calling thread's CPU and the time.
#include "shim.h"

#include <sched.h>
#include <time.h>

static int64_t js_yieldCpu(ixy_args *args) {
  (void)args;
  sched_yield();
  return IXY_UNDEFINED;
}

// performance.now() allocates a number at each call; this writes into the caller's array.
static int64_t js_monotonicUs(ixy_args *args) {
  struct timespec now;
  double *out = ixy_arg_float64s(args, 0, 1);
  if (args->failed) return 0;
  clock_gettime(CLOCK_MONOTONIC, &now);
  out[0] = (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
  return IXY_UNDEFINED;
}

static const ixy_function functions[] = {IXY_FUNCTION(monotonicUs), IXY_FUNCTION(yieldCpu)};
const ixy_table ixy_cpu_table = IXY_TABLE(functions);

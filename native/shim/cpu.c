// The calling thread's CPU and the time, and what one thread has to know of the others.
#include "shim.h"

#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

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

static int64_t js_threadId(ixy_args *args) {
  (void)args;
  return syscall(SYS_gettid);
}

// Signal 0 is sent to nobody: the kernel only looks whether the thread is there.
static int64_t js_probeThread(ixy_args *args) {
  pid_t thread = (pid_t)ixy_arg_int(args, 0, 1, INT_MAX);
  return args->failed ? 0 : IXY_CALL(syscall(SYS_tgkill, getpid(), thread, 0));
}

static int64_t js_membarrier(ixy_args *args) {
  int command = (int)ixy_arg_int(args, 0, 0, INT_MAX);
  return args->failed ? 0 : IXY_CALL(syscall(SYS_membarrier, command, 0, 0));
}

static const ixy_function functions[] = {
    IXY_FUNCTION(monotonicUs), IXY_FUNCTION(yieldCpu), IXY_FUNCTION(threadId),
    IXY_FUNCTION(probeThread), IXY_FUNCTION(membarrier),
};
const ixy_table ixy_cpu_table = IXY_TABLE(functions);

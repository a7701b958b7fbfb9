// Which CPUs the calling thread may use, pinning it to one, and the time.
#include "shim.h"

#include <sched.h>
#include <time.h>

static napi_value js_pinCpu(napi_env env, napi_callback_info info) {
  ixy_args args;
  cpu_set_t set;
  ixy_args_read(&args, env, info, "pinCpu");
  int64_t cpu = ixy_arg_int(&args, 0, 0, CPU_SETSIZE - 1);
  if (args.failed) return NULL;
  CPU_ZERO(&set);
  CPU_SET((size_t)cpu, &set);
  return ixy_number(env, ixy_errno(sched_setaffinity(0, sizeof set, &set)));
}

static napi_value js_affinity(napi_env env, napi_callback_info info) {
  ixy_args args;
  cpu_set_t set;
  ixy_args_read(&args, env, info, "affinity");
  ixy_int32s out = ixy_arg_int32s(&args, 0, true);
  if (args.failed) return NULL;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return ixy_number(env, -errno);
  for (size_t word = 0; word < out.count; word++) {
    uint32_t bits = 0;
    for (size_t bit = 0; bit < 32; bit++)
      if (word * 32 + bit < CPU_SETSIZE && CPU_ISSET(word * 32 + bit, &set)) bits |= 1U << bit;
    out.data[word] = (int32_t)bits;
  }
  return ixy_number(env, CPU_COUNT(&set));
}

static napi_value js_currentCpu(napi_env env, napi_callback_info info) {
  (void)info;
  return ixy_number(env, ixy_errno(sched_getcpu()));
}

static napi_value js_yieldCpu(napi_env env, napi_callback_info info) {
  (void)env;
  (void)info;
  sched_yield();
  return NULL;
}

// performance.now() allocates a number at each call; this writes into the caller's array.
static napi_value js_monotonicUs(napi_env env, napi_callback_info info) {
  ixy_args args;
  struct timespec now;
  ixy_args_read(&args, env, info, "monotonicUs");
  double *out = ixy_arg_float64s(&args, 0, 1);
  if (args.failed) return NULL;
  clock_gettime(CLOCK_MONOTONIC, &now);
  out[0] = (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
  return NULL;
}

static const napi_property_descriptor functions[] = {IXY_METHOD(pinCpu), IXY_METHOD(affinity),
                                                     IXY_METHOD(currentCpu),
                                                     IXY_METHOD(monotonicUs),
                                                     IXY_METHOD(yieldCpu)};
const ixy_table ixy_cpu_table = IXY_TABLE(functions);

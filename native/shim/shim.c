// Entry of the native shim: a Node-API 8 module, context-aware, so that the main thread and every
// Worker can load it. Declared for TypeScript in src/support/native.ts.
#include "shim.h"

// What JavaScript calls for every function of the shim, which comes as the callback's data.
static napi_value call(napi_env env, napi_callback_info info) {
  ixy_args args = {.env = env};
  size_t count = IXY_MAX_ARGS;
  void *data = NULL;
  napi_value value = NULL;
  // Values beyond those given become undefined.
  if (napi_get_cb_info(env, info, &count, args.values, NULL, &data) != napi_ok) return NULL;
  const ixy_function *function = data;
  args.name = function->name;
  int64_t result = function->call(&args);
  if (!args.failed && result != IXY_UNDEFINED) napi_create_int64(env, result, &value);
  return value;
}

NAPI_MODULE_INIT() {
  const ixy_table *const tables[] = {
      &ixy_memory_table,  &ixy_guard_table, &ixy_file_table, &ixy_event_table, &ixy_socket_table,
      &ixy_message_table, &ixy_frame_table, &ixy_cpu_table,  &ixy_watch_table,
  };
  for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++)
    for (size_t i = 0; i < tables[t]->count; i++) {
      const ixy_function *function = &tables[t]->functions[i];
      napi_property_descriptor property = {
          function->name, NULL, call, NULL, NULL, NULL, napi_enumerable, (void *)function};
      if (napi_define_properties(env, exports, 1, &property) == napi_ok) continue;
      napi_throw_error(env, NULL, "ixy shim: cannot define its functions");
      return NULL;
    }
  return exports;
}

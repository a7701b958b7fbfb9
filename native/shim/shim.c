// Entry of the native shim: a Node-API 8 module, context-aware, so that the main
// thread and every Worker can load it. Declared for TypeScript in src/support/native.ts.
#include "shim.h"

NAPI_MODULE_INIT() {
  const ixy_table *const tables[] = {
      &ixy_memory_table,  &ixy_guard_table, &ixy_file_table, &ixy_event_table, &ixy_socket_table,
      &ixy_message_table, &ixy_frame_table, &ixy_cpu_table,  &ixy_watch_table,
  };
  for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
    if (napi_define_properties(env, exports, tables[i]->count, tables[i]->functions) != napi_ok) {
      napi_throw_error(env, NULL, "ixy shim: cannot define its functions");
      return NULL;
    }
  }
  return exports;
}

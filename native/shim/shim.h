// What the files of the native shim share: reading JavaScript arguments, and the table of functions
// that each file offers. The shim holds what JavaScript and ffi cannot do, one system call or a
// fixed sequence of them a function. It knows nothing of VFIO, of the 82599 or of the vfio-user
// protocol beyond "a message says its size at byte 4".
#ifndef IXY_SHIM_H
#define IXY_SHIM_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define NAPI_VERSION 8

#include "../unix-stream.h"

#include <errno.h>
#include <limits.h>
#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IXY_MAX_ARGS 8
#define IXY_MAX_SAFE 9007199254740991LL // 2^53 - 1, the last exact integer of a JavaScript number
#define IXY_UNDEFINED INT64_MIN         // what a function returns that gives JavaScript no value

// The arguments of one call from JavaScript.
typedef struct {
  napi_env env;
  const char *name; // JavaScript name of the function, for messages
  bool failed;      // an exception is pending: return at once, the value is not looked at
  napi_value values[IXY_MAX_ARGS];
} ixy_args;

// A function that JavaScript calls. It returns a number >= 0, or -errno.
typedef struct {
  const char *name;
  int64_t (*call)(ixy_args *args);
} ixy_function;

typedef struct {
  const ixy_function *functions;
  size_t count;
} ixy_table;

#define IXY_FUNCTION(name) {#name, js_##name}
#define IXY_TABLE(list) {(list), sizeof(list) / sizeof((list)[0])}

extern const ixy_table ixy_memory_table;
extern const ixy_table ixy_guard_table;
extern const ixy_table ixy_file_table;
extern const ixy_table ixy_event_table;
extern const ixy_table ixy_socket_table;
extern const ixy_table ixy_message_table;
extern const ixy_table ixy_frame_table;
extern const ixy_table ixy_cpu_table;
extern const ixy_table ixy_watch_table;

typedef struct {
  uint8_t *data;
  size_t bytes;
} ixy_view;

typedef struct {
  int32_t *data; // NULL where null was given
  size_t count;
} ixy_int32s;

// Throws "name: argument i: expected ..., got ..." once; range chooses RangeError over TypeError.
void ixy_args_fail(ixy_args *args, int index, const char *expected, bool range);
napi_valuetype ixy_arg_type(ixy_args *args, int index);
int64_t ixy_arg_int(ixy_args *args, int index, int64_t min, int64_t max);
bool ixy_arg_bool(ixy_args *args, int index);
void ixy_arg_string(ixy_args *args, int index, char *out, size_t capacity);
ixy_view ixy_arg_view(ixy_args *args, int index);
// [offset, offset + length) of a view, or a RangeError that blames argument `index`.
uint8_t *ixy_view_slice(ixy_args *args, int index, ixy_view view, int64_t offset, int64_t length);
// Three arguments from `index` on: a view, an offset into it and a length, as the slice they name.
ixy_view ixy_arg_slice(ixy_args *args, int index);
// An Int32Array or a Float64Array of at least `count` elements.
ixy_int32s ixy_arg_int32s(ixy_args *args, int index, size_t count);
ixy_int32s ixy_arg_int32s_or_null(ixy_args *args, int index);
double *ixy_arg_float64s(ixy_args *args, int index, size_t count);

static inline int ixy_arg_fd(ixy_args *args, int index) {
  // -1 passes, so that the kernel answers EBADF to it.
  return (int)ixy_arg_int(args, index, -1, INT_MAX);
}

#endif

// Shared by the files of the native shim: reading JavaScript arguments, and the
// table of functions that each file offers. The shim holds what JavaScript and ffi
// cannot do, one system call or a fixed sequence of them a function. It knows
// nothing of VFIO, of the 82599 or of the vfio-user protocol beyond "a message
// says its size at byte 4". Every function gives a number >= 0, or -errno.
#ifndef IXY_SHIM_H
#define IXY_SHIM_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define NAPI_VERSION 8

#include <errno.h>
#include <limits.h>
#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Visible to dlsym, so that ffi can call the same function without Node-API.
#define IXY_EXPORT __attribute__((visibility("default")))

#define IXY_MAX_ARGS 8
#define IXY_MAX_SAFE 9007199254740991LL // 2^53 - 1, the last exact integer of a JavaScript number

typedef struct {
  napi_env env;
  const char *name; // JavaScript name of the function, for messages
  bool failed;      // an exception is pending: return NULL at once
  napi_value values[IXY_MAX_ARGS];
} ixy_args;

typedef struct {
  uint8_t *data; // NULL where null was given
  size_t bytes;
} ixy_view;

typedef struct {
  int32_t *data;
  size_t count;
} ixy_int32s;

void ixy_args_read(ixy_args *args, napi_env env, napi_callback_info info, const char *name);
// Throws "name: argument i: expected ..., got ..." once; range chooses RangeError over TypeError.
void ixy_args_fail(ixy_args *args, int index, const char *expected, bool range);
int64_t ixy_arg_int(ixy_args *args, int index, int64_t min, int64_t max);
int64_t ixy_arg_int_or(ixy_args *args, int index, int64_t min, int64_t max, int64_t absent);
bool ixy_arg_bool(ixy_args *args, int index);
bool ixy_arg_is_null(ixy_args *args, int index); // null or undefined
ixy_view ixy_arg_view(ixy_args *args, int index);
ixy_int32s ixy_arg_int32s(ixy_args *args, int index, bool nullable);
double *ixy_arg_float64s(ixy_args *args, int index, size_t count);
void ixy_arg_string(ixy_args *args, int index, char *out, size_t capacity);
// [offset, offset + length) of a view, or a RangeError that blames argument `index`.
uint8_t *ixy_view_slice(ixy_args *args, int index, ixy_view view, int64_t offset, int64_t length);
napi_value ixy_number(napi_env env, int64_t value);
napi_value ixy_undefined(napi_env env);

static inline int ixy_arg_fd(ixy_args *args, int index) {
  // -1 passes, so that the kernel answers EBADF to it.
  return (int)ixy_arg_int(args, index, -1, INT_MAX);
}

// A system call's -1 becomes -errno.
static inline int64_t ixy_errno(int64_t result) { return result < 0 ? -(int64_t)errno : result; }

// Repeats a system call that a signal interrupted.
#define IXY_RETRY(result, call)                                                                    \
  do {                                                                                             \
    (result) = (call);                                                                             \
  } while ((result) == -1 && errno == EINTR)

int64_t ixy_now_ms(void);
// Milliseconds until the deadline, 0 when it is past.
int ixy_left_ms(int64_t deadline_ms);

typedef struct {
  const napi_property_descriptor *functions;
  size_t count;
} ixy_table;

#define IXY_METHOD(name) {#name, NULL, js_##name, NULL, NULL, NULL, napi_enumerable, NULL}
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

#endif

// Reading JavaScript arguments: every wrong type is a TypeError, every number
// outside its range a RangeError, and nothing unchecked reaches a system call.
#include "shim.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

void ixy_args_read(ixy_args *args, napi_env env, napi_callback_info info, const char *name) {
  size_t count = IXY_MAX_ARGS;
  args->env = env;
  args->name = name;
  // Values beyond those given become undefined.
  args->failed = napi_get_cb_info(env, info, &count, args->values, NULL, NULL) != napi_ok;
}

static void describe(ixy_args *args, int index, char *out, size_t capacity) {
  static const char *const names[] = {"undefined", "null",   "a boolean", "a number", "a string",
                                      "a symbol",  "object", "function",  "external", "a bigint"};
  napi_valuetype type = napi_undefined;
  double number = 0;
  napi_typeof(args->env, args->values[index], &type);
  if (type == napi_number && napi_get_value_double(args->env, args->values[index], &number) == napi_ok)
    snprintf(out, capacity, "%.17g", number);
  else
    snprintf(out, capacity, "%s", (unsigned)type < 10 ? names[type] : "something else");
}

void ixy_args_fail(ixy_args *args, int index, const char *expected, bool range) {
  if (args->failed) return;
  char got[64];
  char message[256];
  args->failed = true;
  describe(args, index, got, sizeof got);
  snprintf(message, sizeof message, "%s: argument %d: expected %s, got %s", args->name, index + 1,
           expected, got);
  if (range)
    napi_throw_range_error(args->env, NULL, message);
  else
    napi_throw_type_error(args->env, NULL, message);
}

int64_t ixy_arg_int(ixy_args *args, int index, int64_t min, int64_t max) {
  double number = 0;
  if (args->failed) return 0;
  if (napi_get_value_double(args->env, args->values[index], &number) != napi_ok) {
    ixy_args_fail(args, index, "an integer", false);
    return 0;
  }
  if (!(number >= (double)min && number <= (double)max) || number != trunc(number)) {
    char expected[96];
    snprintf(expected, sizeof expected, "an integer from %" PRId64 " to %" PRId64, min, max);
    ixy_args_fail(args, index, expected, true);
    return 0;
  }
  return (int64_t)number;
}

int64_t ixy_arg_int_or(ixy_args *args, int index, int64_t min, int64_t max, int64_t absent) {
  napi_valuetype type = napi_undefined;
  napi_typeof(args->env, args->values[index], &type);
  return type == napi_undefined ? absent : ixy_arg_int(args, index, min, max);
}

bool ixy_arg_bool(ixy_args *args, int index) {
  bool value = false;
  if (!args->failed && napi_get_value_bool(args->env, args->values[index], &value) != napi_ok)
    ixy_args_fail(args, index, "a boolean", false);
  return value;
}

bool ixy_arg_is_null(ixy_args *args, int index) {
  napi_valuetype type = napi_undefined;
  napi_typeof(args->env, args->values[index], &type);
  return type == napi_null || type == napi_undefined;
}

static size_t element_bytes(napi_typedarray_type type) {
  switch (type) {
  case napi_int8_array:
  case napi_uint8_array:
  case napi_uint8_clamped_array:
    return 1;
  case napi_int16_array:
  case napi_uint16_array:
    return 2;
  case napi_int32_array:
  case napi_uint32_array:
  case napi_float32_array:
    return 4;
  case napi_float64_array:
  case napi_bigint64_array:
  case napi_biguint64_array:
    return 8;
  default:
    return 0; // a kind newer than this file
  }
}

// Works on views of a SharedArrayBuffer and of a WebAssembly.Memory too, where asking Node-API
// for the buffer itself would fail: hence no use of the arraybuffer out parameter.
ixy_view ixy_arg_view(ixy_args *args, int index) {
  ixy_view view = {NULL, 0};
  napi_typedarray_type type = (napi_typedarray_type)-1;
  size_t count = 0;
  void *data = NULL;
  napi_value value = args->values[index];
  if (args->failed) return view;
  if (napi_get_typedarray_info(args->env, value, &type, &count, &data, NULL, NULL) == napi_ok &&
      element_bytes(type) != 0) {
    view.data = data;
    view.bytes = count * element_bytes(type);
  } else if (napi_get_dataview_info(args->env, value, &count, &data, NULL, NULL) == napi_ok) {
    view.data = data;
    view.bytes = count;
  } else {
    ixy_args_fail(args, index, "a typed array or DataView", false);
  }
  return view;
}

ixy_int32s ixy_arg_int32s(ixy_args *args, int index, bool nullable) {
  ixy_int32s out = {NULL, 0};
  napi_typedarray_type type = (napi_typedarray_type)-1;
  void *data = NULL;
  size_t count = 0;
  if (args->failed || (nullable && ixy_arg_is_null(args, index))) return out;
  if (napi_get_typedarray_info(args->env, args->values[index], &type, &count, &data, NULL, NULL) !=
          napi_ok ||
      type != napi_int32_array) {
    ixy_args_fail(args, index, nullable ? "an Int32Array or null" : "an Int32Array", false);
    return out;
  }
  out.data = data;
  out.count = count;
  return out;
}

double *ixy_arg_float64s(ixy_args *args, int index, size_t wanted) {
  napi_typedarray_type type = (napi_typedarray_type)-1;
  void *data = NULL;
  size_t count = 0;
  if (args->failed) return NULL;
  if (napi_get_typedarray_info(args->env, args->values[index], &type, &count, &data, NULL, NULL) !=
          napi_ok ||
      type != napi_float64_array) {
    ixy_args_fail(args, index, "a Float64Array", false);
    return NULL;
  }
  if (count < wanted) {
    ixy_args_fail(args, index, "a longer Float64Array", true);
    return NULL;
  }
  return data;
}

void ixy_arg_string(ixy_args *args, int index, char *out, size_t capacity) {
  size_t length = 0;
  if (args->failed) return;
  if (napi_get_value_string_utf8(args->env, args->values[index], NULL, 0, &length) != napi_ok) {
    ixy_args_fail(args, index, "a string", false);
  } else if (length >= capacity) {
    ixy_args_fail(args, index, "a shorter string", true);
  } else {
    napi_get_value_string_utf8(args->env, args->values[index], out, capacity, &length);
    if (strlen(out) != length) ixy_args_fail(args, index, "a string without NUL", false);
  }
}

uint8_t *ixy_view_slice(ixy_args *args, int index, ixy_view view, int64_t offset, int64_t length) {
  if (args->failed) return NULL;
  if (offset < 0 || length < 0 || (uint64_t)offset > view.bytes ||
      (uint64_t)length > view.bytes - (uint64_t)offset) {
    char expected[128];
    snprintf(expected, sizeof expected,
             "a view that holds bytes %" PRId64 " to %" PRId64 " (it has %zu)", offset,
             offset + length, view.bytes);
    ixy_args_fail(args, index, expected, true);
    return NULL;
  }
  return view.data == NULL ? NULL : view.data + offset;
}

napi_value ixy_number(napi_env env, int64_t value) {
  napi_value result = NULL;
  napi_create_int64(env, value, &result);
  return result;
}

napi_value ixy_undefined(napi_env env) {
  napi_value result = NULL;
  napi_get_undefined(env, &result);
  return result;
}

int64_t ixy_now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int ixy_left_ms(int64_t deadline_ms) {
  int64_t left = deadline_ms - ixy_now_ms();
  return left <= 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

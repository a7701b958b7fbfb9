// Reading JavaScript arguments: every wrong type is a TypeError, every number
// outside its range a RangeError, and nothing unchecked reaches a system call.
#include "shim.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

napi_valuetype ixy_arg_type(ixy_args *args, int index) {
  napi_valuetype type = napi_undefined;
  napi_typeof(args->env, args->values[index], &type);
  return type;
}

static void describe(ixy_args *args, int index, char *out, size_t capacity) {
  static const char *const names[] = {"undefined", "null",   "a boolean", "a number", "a string",
                                      "a symbol",  "object", "function",  "external", "a bigint"};
  napi_valuetype type = ixy_arg_type(args, index);
  double number = 0;
  if (napi_get_value_double(args->env, args->values[index], &number) == napi_ok)
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

bool ixy_arg_bool(ixy_args *args, int index) {
  bool value = false;
  if (!args->failed && napi_get_value_bool(args->env, args->values[index], &value) != napi_ok)
    ixy_args_fail(args, index, "a boolean", false);
  return value;
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

ixy_view ixy_arg_slice(ixy_args *args, int index) {
  ixy_view view = ixy_arg_view(args, index);
  int64_t offset = ixy_arg_int(args, index + 1, 0, IXY_MAX_SAFE);
  int64_t length = ixy_arg_int(args, index + 2, 0, IXY_MAX_SAFE);
  return (ixy_view){ixy_view_slice(args, index, view, offset, length), (size_t)length};
}

// The elements of a typed array of one kind, named `name`, and how many. NULL and 0 where it is
// another kind or holds fewer than `least`.
static void *elements(ixy_args *args, int index, napi_typedarray_type wanted, const char *name,
                      size_t least, size_t *count) {
  napi_typedarray_type type = (napi_typedarray_type)-1;
  char expected[64];
  void *data = NULL;
  *count = 0;
  if (args->failed) return NULL;
  bool right = napi_get_typedarray_info(args->env, args->values[index], &type, count, &data, NULL,
                                        NULL) == napi_ok &&
               type == wanted;
  if (right && *count >= least) return data;
  snprintf(expected, sizeof expected, "%s of %zu elements or more", name, least);
  ixy_args_fail(args, index, expected, right);
  *count = 0;
  return NULL;
}

ixy_int32s ixy_arg_int32s(ixy_args *args, int index, size_t count) {
  ixy_int32s out;
  out.data = elements(args, index, napi_int32_array, "an Int32Array", count, &out.count);
  return out;
}

ixy_int32s ixy_arg_int32s_or_null(ixy_args *args, int index) {
  napi_valuetype type = ixy_arg_type(args, index);
  if (type == napi_null || type == napi_undefined) return (ixy_int32s){NULL, 0};
  return ixy_arg_int32s(args, index, 0);
}

double *ixy_arg_float64s(ixy_args *args, int index, size_t count) {
  size_t got;
  return elements(args, index, napi_float64_array, "a Float64Array", count, &got);
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

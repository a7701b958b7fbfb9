// An instruction that reads or writes memory once, decoded (decode.c), and the memory it acts on.
#ifndef IXY_DECODE_H
#define IXY_DECODE_H

#include <stdbool.h>
#include <stdint.h>

typedef enum {
  IXY_LOAD,
  IXY_LOAD_SIGNED,
  IXY_STORE,
  IXY_EXCHANGE,
  IXY_ADD,
  IXY_OR,
  IXY_AND,
  IXY_SUB,
  IXY_XOR,
  IXY_COMPARE,
  IXY_TEST,
} ixy_operation;

typedef struct {
  ixy_operation operation;
  uint8_t length;    // bytes of code
  uint8_t width;     // bytes of memory: 1, 2, 4, 8
  uint8_t reg_width; // bytes of the register: more than width in movzx and movsx
  uint8_t reg;       // 0..15 in the order of the encoding
  bool high;         // ah, ch, dh, bh
  bool to_register;  // register = register op memory; else memory = memory op source
  bool immediate;
  int64_t value;
} ixy_instruction;

typedef struct {
  uint64_t (*load)(void *context, unsigned width);
  void (*store)(void *context, unsigned width, uint64_t value);
  void *context;
} ixy_memory;

// Reads no byte behind the instruction. False for one that is not understood.
bool ixy_decode(const uint8_t *code, ixy_instruction *instruction);
// Does what the instruction does, rip apart; `registers` are a ucontext's.
void ixy_execute(const ixy_instruction *instruction, long long *registers,
                 const ixy_memory *memory);

#endif

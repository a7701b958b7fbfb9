// x86-64 instructions that read or write memory once: decoding them, and carrying them out on the
// registers of a ucontext with memory that is asked through functions. Source: Intel SDM volume 2,
// chapters 2 (formats) and 3 to 5 (opcodes). Where the operand lies is not computed: the fault
// says so. What a compiler does not make of a volatile 32-bit access is mostly left out.
#define _GNU_SOURCE // for the names of a ucontext's registers
#include "decode.h"

#include <string.h>
#include <sys/ucontext.h>

#define FLAG_CF 0x001
#define FLAG_PF 0x004
#define FLAG_AF 0x010
#define FLAG_ZF 0x040
#define FLAG_SF 0x080
#define FLAG_OF 0x800

// The group of 80, 81 and 83, and bits 5:3 of opcodes 00 to 3B; adc and sbb are not understood.
static const int arithmetic[8] = {IXY_ADD, IXY_OR, -1, -1, IXY_AND, IXY_SUB, IXY_XOR, IXY_COMPARE};

typedef struct {
  const uint8_t *at;
  uint8_t rex;
  bool wide16;
  uint8_t extension; // the reg field of modrm, without REX.R
} cursor;

static int64_t read_immediate(cursor *c, unsigned bytes) {
  int8_t i8;
  int16_t i16;
  int32_t i32;
  const uint8_t *at = c->at;
  c->at += bytes;
  switch (bytes) {
  case 1:
    return (memcpy(&i8, at, 1), i8);
  case 2:
    return (memcpy(&i16, at, 2), i16);
  default:
    return (memcpy(&i32, at, 4), i32);
  }
}

// Reads past modrm, sib and displacement. False where the operand is a register.
static bool read_modrm(cursor *c, ixy_instruction *out) {
  uint8_t modrm = *c->at++;
  uint8_t mode = modrm >> 6, base = modrm & 7;
  c->extension = modrm >> 3 & 7;
  out->reg = c->extension | (c->rex & 4) << 1;
  if (mode == 3) return false;
  if (base == 4) base = *c->at++ & 7; // a sib byte; its base 5 means the same as modrm's
  if (mode == 1) c->at += 1;
  else if (mode == 2 || base == 5) {
    // Base 5 in mode 0 has a disp32: behind rip without a sib byte, alone with one.
    c->at += 4;
  }
  return true;
}

static unsigned operand_width(const cursor *c) { return c->rex & 8 ? 8 : c->wide16 ? 2 : 4; }

static void read_source(cursor *c, ixy_instruction *out, unsigned bytes) {
  out->immediate = true;
  out->value = read_immediate(c, bytes);
}

// Of 0F 38 only movdiri, with which DPDK writes registers where the processor has it.
static bool decode_three_bytes(cursor *c, ixy_instruction *out) {
  uint8_t opcode = *c->at++;
  if (opcode != 0xF9 || c->wide16 || !read_modrm(c, out)) return false;
  out->operation = IXY_STORE;
  out->width = out->reg_width = operand_width(c);
  return true;
}

static bool decode_two_bytes(cursor *c, ixy_instruction *out) {
  uint8_t opcode = *c->at++;
  if (opcode == 0x38) return decode_three_bytes(c, out);
  if (!read_modrm(c, out)) return false;
  out->reg_width = operand_width(c);
  out->to_register = true;
  switch (opcode) {
  case 0xB6: // movzx
  case 0xB7:
    out->operation = IXY_LOAD;
    break;
  case 0xBE: // movsx
  case 0xBF:
    out->operation = IXY_LOAD_SIGNED;
    break;
  case 0xC3: // movnti
    out->operation = IXY_STORE;
    out->to_register = false;
    out->width = out->reg_width;
    return out->width != 2;
  default:
    return false;
  }
  out->width = opcode & 1 ? 2 : 1;
  return true;
}

static bool decode_one_byte(cursor *c, uint8_t opcode, ixy_instruction *out) {
  unsigned full = operand_width(c);
  if (!read_modrm(c, out)) return false;
  out->width = out->reg_width = opcode & 1 ? full : 1;
  unsigned immediate = out->width == 8 ? 4 : out->width;
  if (opcode < 0x40 && (opcode & 7) < 4) {
    if (arithmetic[opcode >> 3] < 0) return false;
    out->operation = arithmetic[opcode >> 3];
    out->to_register = (opcode & 2) != 0;
    return true;
  }
  switch (opcode) {
  case 0x63: // movsxd
    out->operation = IXY_LOAD_SIGNED;
    out->width = 4;
    out->to_register = true;
    return full == 8;
  case 0x80:
  case 0x81:
  case 0x83:
    if (arithmetic[c->extension] < 0) return false;
    out->operation = arithmetic[c->extension];
    read_source(c, out, opcode == 0x83 ? 1 : immediate);
    return true;
  case 0x84:
  case 0x85:
    out->operation = IXY_TEST;
    return true;
  case 0x86:
  case 0x87:
    out->operation = IXY_EXCHANGE;
    return true;
  case 0x88:
  case 0x89:
    out->operation = IXY_STORE;
    return true;
  case 0x8A:
  case 0x8B:
    out->operation = IXY_LOAD;
    out->to_register = true;
    return true;
  case 0xC6:
  case 0xC7:
    out->operation = IXY_STORE;
    read_source(c, out, immediate);
    return c->extension == 0;
  case 0xF6:
  case 0xF7:
    if (c->extension > 1) return false;
    out->operation = IXY_TEST;
    read_source(c, out, immediate);
    return true;
  default:
    return false;
  }
}

bool ixy_decode(const uint8_t *code, ixy_instruction *out) {
  cursor c = {.at = code};
  memset(out, 0, sizeof *out);
  // Only 66 matters, the 16-bit operand. F0, lock, changes nothing for memory that only we touch;
  // 67 and the segments (26, 2E, 36, 3E, 64, 65) change the address, which the fault has told.
  for (;; c.at++) {
    uint8_t prefix = *c.at;
    if (prefix == 0x66) c.wide16 = true;
    else if (prefix != 0xF0 && prefix != 0x67 && (prefix & 0xE7) != 0x26 && (prefix & 0xFE) != 0x64)
      break;
    if (c.at - code > 8) return false;
  }
  if ((*c.at & 0xF0) == 0x40) c.rex = *c.at++;
  uint8_t opcode = *c.at++;
  bool understood = opcode == 0x0F ? decode_two_bytes(&c, out) : decode_one_byte(&c, opcode, out);
  if (!understood) return false;
  // Without a REX prefix the byte registers 4 to 7 are ah, ch, dh, bh.
  if (out->reg_width == 1 && !out->immediate && c.rex == 0 && out->reg >= 4) {
    out->high = true;
    out->reg -= 4;
  }
  out->length = c.at - code;
  return true;
}

// --- Carrying out

static const uint8_t order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                  REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                  REG_R12, REG_R13, REG_R14, REG_R15};

static uint64_t mask_of(unsigned width) { return width == 8 ? ~0ULL : (1ULL << width * 8) - 1; }

static uint64_t register_value(const ixy_instruction *i, const long long *registers) {
  uint64_t value = registers[order[i->reg]];
  return (i->high ? value >> 8 : value) & mask_of(i->reg_width);
}

static void register_put(const ixy_instruction *i, long long *registers, uint64_t value) {
  uint64_t old = registers[order[i->reg]], mask = mask_of(i->reg_width);
  if (i->high) value = (old & ~0xFF00ULL) | (value & 0xFF) << 8;
  else if (i->reg_width < 4) value = (old & ~mask) | (value & mask);
  else value &= mask; // 32-bit results clear the upper half
  registers[order[i->reg]] = value;
}

static uint64_t compute(ixy_operation operation, uint64_t a, uint64_t b, unsigned width,
                        long long *flags) {
  uint64_t mask = mask_of(width), sign = 1ULL << (width * 8 - 1), result, set = 0;
  switch (operation) {
  case IXY_ADD:
    result = (a + b) & mask;
    if (result < a) set |= FLAG_CF;
    if ((a ^ result) & (b ^ result) & sign) set |= FLAG_OF;
    break;
  case IXY_SUB:
  case IXY_COMPARE:
    result = (a - b) & mask;
    if (a < b) set |= FLAG_CF;
    if ((a ^ b) & (a ^ result) & sign) set |= FLAG_OF;
    break;
  case IXY_OR:
    result = a | b;
    break;
  case IXY_XOR:
    result = a ^ b;
    break;
  default:
    result = a & b;
    break;
  }
  if (operation == IXY_ADD || operation == IXY_SUB || operation == IXY_COMPARE)
    set |= (a ^ b ^ result) & FLAG_AF;
  if (result == 0) set |= FLAG_ZF;
  if (result & sign) set |= FLAG_SF;
  if (!__builtin_parity(result & 0xFF)) set |= FLAG_PF;
  *flags = (*flags & ~(FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)) | set;
  return result;
}

static uint64_t extend(uint64_t value, unsigned width) {
  unsigned shift = 64 - width * 8;
  return (uint64_t)((int64_t)(value << shift) >> shift);
}

void ixy_execute(const ixy_instruction *i, long long *registers, const ixy_memory *memory) {
  uint64_t source = (i->immediate ? (uint64_t)i->value : register_value(i, registers));
  source &= mask_of(i->width);
  if (i->operation == IXY_STORE) {
    memory->store(memory->context, i->width, source);
    return;
  }
  uint64_t value = memory->load(memory->context, i->width) & mask_of(i->width);
  switch (i->operation) {
  case IXY_LOAD:
    register_put(i, registers, value);
    return;
  case IXY_LOAD_SIGNED:
    register_put(i, registers, extend(value, i->width));
    return;
  case IXY_EXCHANGE:
    memory->store(memory->context, i->width, source);
    register_put(i, registers, value);
    return;
  default:
    break;
  }
  uint64_t left = i->to_register ? source : value, right = i->to_register ? value : source;
  uint64_t result = compute(i->operation, left, right, i->width, &registers[REG_EFL]);
  if (i->operation == IXY_COMPARE || i->operation == IXY_TEST) return;
  if (i->to_register) register_put(i, registers, result);
  else memory->store(memory->context, i->width, result);
}

// Runs each form of instruction twice from the same registers, flags and memory: once on plain
// memory, once with the page closed, where the preload library's decoder carries it out. What
// differs afterwards is printed; the last line counts. Linked with native/preload/decode.c.
#define _GNU_SOURCE
#include "../../native/preload/decode.h"

#include <cpuid.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ucontext.h>
#include <unistd.h>

#define PAGE 4096
#define TESTED_FLAGS 0x8D5 // CF PF AF ZF SF OF
#define AF 0x10

struct state {
  uint64_t rax, rcx, rdx, rbx, r8, r9, r10, r15, flags;
};

// rsi, r12, r13 and rbp point at the memory; rdi + 4 * r14 and rsp do too in their forms.
#define FORMS(X)                                                                                   \
  X(load32, "movl (%rsi), %eax")                                                                   \
  X(load32_high_register, "movl (%rsi), %r9d")                                                     \
  X(load32_disp8, "movl -8(%rsi), %edx")                                                           \
  X(load32_disp32, "movl 0x204(%rsi), %ebx")                                                       \
  X(load32_sib, "movl (%rdi,%r14,4), %eax")                                                        \
  X(load32_sib_disp32, "movl 0x200(%rdi,%r14,4), %r15d")                                           \
  X(load32_r12, "movl (%r12), %ecx")                                                               \
  X(load32_r13, "movl (%r13), %ecx")                                                               \
  X(load32_rbp_index, "movl 4(%rbp,%r14,1), %r8d")                                                 \
  X(load32_no_base, "movl page+2048(,%r14,4), %eax")                                               \
  X(load32_rip, "movl page+2052(%rip), %eax")                                                      \
  X(load16, "movw 2(%rsi), %cx")                                                                   \
  X(load8, "movb 1(%rsi), %dl")                                                                    \
  X(load8_ah, "movb 1(%rsi), %ah")                                                                 \
  X(load8_bh, "movb 1(%rsi), %bh")                                                                 \
  X(load8_rex, "movb 1(%rsi), %r10b")                                                              \
  X(load64, "movq (%rsi), %rax")                                                                   \
  X(load64_high_register, "movq (%r13), %r15")                                                     \
  X(movzx8, "movzbl 3(%rsi), %eax")                                                                \
  X(movzx8_to_16, "movzbw 3(%rsi), %ax")                                                           \
  X(movzx16, "movzwl 2(%rsi), %r9d")                                                               \
  X(movzx16_to_64, "movzwq 2(%rsi), %rdx")                                                         \
  X(movsx8, "movsbl 3(%rsi), %eax")                                                                \
  X(movsx16_to_64, "movswq 2(%rsi), %rbx")                                                         \
  X(movsxd, "movslq (%rsi), %rax")                                                                 \
  X(store32, "movl %eax, (%rsi)")                                                                  \
  X(store32_high_register, "movl %r10d, 0x100(%r12)")                                              \
  X(store32_rip, "movl %ecx, page+2052(%rip)")                                                     \
  X(store16, "movw %dx, 2(%rsi)")                                                                  \
  X(store8, "movb %bl, 1(%rsi)")                                                                   \
  X(store8_ch, "movb %ch, 1(%rsi)")                                                                \
  X(store64, "movq %r8, (%rsi)")                                                                   \
  X(store_immediate32, "movl $0x89ABCDEF, (%rsi)")                                                 \
  X(store_immediate32_disp8, "movl $4, 0x10(%rsi)")                                                \
  X(store_immediate32_rip, "movl $0x1234567, page+2052(%rip)")                                     \
  X(store_immediate16, "movw $0x8765, 2(%rsi)")                                                    \
  X(store_immediate8, "movb $0x5A, 1(%rsi)")                                                       \
  X(store_immediate64, "movq $-2, (%rsi)")                                                         \
  X(movnti32, "movnti %eax, (%rsi)")                                                               \
  X(movnti64, "movnti %r15, (%rsi)")                                                               \
  X(movdiri32, "movdiri %eax, (%rsi)")                                                             \
  X(movdiri64, "movdiri %r15, 8(%rsi)")                                                            \
  X(test32, "testl %eax, (%rsi)")                                                                  \
  X(test8, "testb %cl, (%rsi)")                                                                    \
  X(test_immediate32, "testl $0x80000001, (%rsi)")                                                 \
  X(test_immediate16, "testw $0x8001, (%rsi)")                                                     \
  X(test_immediate8, "testb $0x80, 3(%rsi)")                                                       \
  X(test64, "testq %r9, (%rsi)")                                                                   \
  X(compare32, "cmpl %eax, (%rsi)")                                                                \
  X(compare32_left, "cmpl (%rsi), %eax")                                                           \
  X(compare_immediate8, "cmpl $-1, (%rsi)")                                                        \
  X(compare_immediate32, "cmpl $0x7FFFFFFF, 4(%rsi)")                                              \
  X(compare_byte, "cmpb $0x7F, 1(%rsi)")                                                           \
  X(compare16, "cmpw %dx, (%rsi)")                                                                 \
  X(compare64, "cmpq (%rsi), %r8")                                                                 \
  X(and32, "andl %eax, (%rsi)")                                                                    \
  X(and32_left, "andl (%rsi), %ecx")                                                               \
  X(and_immediate, "andl $0xFFFF00FF, (%rsi)")                                                     \
  X(or32, "orl %edx, (%rsi)")                                                                      \
  X(or32_left, "orl (%rsi), %r9d")                                                                 \
  X(or_immediate8, "orl $4, (%rsi)")                                                               \
  X(or_byte, "orb $0x80, 1(%rsi)")                                                                 \
  X(xor32, "xorl %ebx, (%rsi)")                                                                    \
  X(xor64_left, "xorq (%rsi), %rax")                                                               \
  X(add32, "addl %eax, (%rsi)")                                                                    \
  X(add32_left, "addl (%rsi), %eax")                                                               \
  X(add_immediate8, "addl $1, (%rsi)")                                                             \
  X(add16_left, "addw (%rsi), %cx")                                                                \
  X(add8_left, "addb (%rsi), %ah")                                                                 \
  X(add64, "addq %r15, (%rsi)")                                                                    \
  X(add_locked, "lock addl %edx, (%rsi)")                                                          \
  X(sub32, "subl %eax, (%rsi)")                                                                    \
  X(sub32_left, "subl (%rsi), %edx")                                                               \
  X(sub_immediate32, "subl $0x80000000, (%rsi)")                                                   \
  X(exchange32, "xchgl %eax, (%rsi)")                                                              \
  X(exchange8, "xchgb %ch, (%rsi)")                                                                \
  X(exchange64, "xchgq %r10, (%rsi)")

// name(struct state *): the registers from the state, the instruction, the registers to it.
#define DEFINE(name, text)                                                                         \
  void form_##name(struct state *);                                                                \
  __asm__(".text\nform_" #name ":\n" \
          "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; push %rdi\n" \
          "lea page+2048(%rip), %rsi; mov %rsi, %r12; mov %rsi, %r13; mov %rsi, %rbp\n" \
          "mov $2, %r14d; pushq 64(%rdi); popfq\n" \
          "mov (%rdi), %rax; mov 8(%rdi), %rcx; mov 16(%rdi), %rdx; mov 24(%rdi), %rbx\n" \
          "mov 32(%rdi), %r8; mov 40(%rdi), %r9; mov 48(%rdi), %r10; mov 56(%rdi), %r15\n" \
          "lea -8(%rsi), %rdi\n" text "\n" \
          "pushfq; pop %r11; pop %rdi\n" \
          "mov %rax, (%rdi); mov %rcx, 8(%rdi); mov %rdx, 16(%rdi); mov %rbx, 24(%rdi)\n" \
          "mov %r8, 32(%rdi); mov %r9, 40(%rdi); mov %r10, 48(%rdi); mov %r15, 56(%rdi)\n" \
          "mov %r11, 64(%rdi)\n" \
          "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret\n");
FORMS(DEFINE)

static const struct {
  const char *name, *text;
  void (*run)(struct state *);
} forms[] = {
#define ENTRY(name, text) {#name, text, form_##name},
    FORMS(ENTRY)};

// Not for the decoder: the caller then reports them instead of guessing.
static const struct {
  const char *what;
  uint8_t code[15];
} refused[] = {
    {"mov between registers", {0x89, 0xC3}},
    {"adc", {0x11, 0x06}},
    {"movdir64b", {0x66, 0x0F, 0x38, 0xF8, 0x06}},
    {"movbe", {0x0F, 0x38, 0xF1, 0x06}},
    {"sbb with an immediate", {0x83, 0x1E, 0x01}},
    {"lea", {0x8D, 0x06}},
    {"movups", {0x0F, 0x10, 0x06}},
    {"movdqu", {0xF3, 0x0F, 0x6F, 0x06}},
    {"rep movsb", {0xF3, 0xA4}},
    {"push from memory", {0xFF, 0x36}},
    {"not", {0xF7, 0x16}},
    {"VEX", {0xC5, 0xFA, 0x6F, 0x06}},
    {"C7 /1", {0xC7, 0x0E, 0, 0, 0, 0}},
};

__attribute__((aligned(PAGE))) uint8_t page[PAGE];
static uint8_t *alias; // the same memory, always open
static uint64_t fault_offset;
static int decoded;

static bool processor_has_movdiri(void) {
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c >> 27 & 1) != 0;
}

static uint64_t load(void *context, unsigned width) {
  uint64_t value = 0;
  (void)context;
  memcpy(&value, alias + fault_offset, width);
  return value;
}

static void store(void *context, unsigned width, uint64_t value) {
  (void)context;
  memcpy(alias + fault_offset, &value, width);
}

static void on_fault(int number, siginfo_t *info, void *opaque) {
  long long *registers = ((ucontext_t *)opaque)->uc_mcontext.gregs;
  ixy_instruction instruction;
  fault_offset = (uint8_t *)info->si_addr - page;
  if (fault_offset >= PAGE || !ixy_decode((uint8_t *)registers[REG_RIP], &instruction)) {
    dprintf(1, "signal %d: not decoded\n", number);
    _exit(1);
  }
  ixy_execute(&instruction, registers, &(ixy_memory){load, store, NULL});
  registers[REG_RIP] += instruction.length;
  decoded++;
}

static const uint64_t values[] = {0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x0123456789ABCDEF,
                                  0x8000000000000000, 0xFFFFFFFFFFFFFFFF, 0x7F80FF017F80FF01};
#define VALUES (sizeof values / sizeof values[0])

static void fill(uint64_t value) {
  for (size_t i = 0; i < PAGE; i += 8) memcpy(alias + i, &value, 8);
}

static bool agrees(size_t form, uint64_t reg, uint64_t memory, uint64_t flags) {
  struct state plain = {reg, reg ^ 1, reg + 0x1234, ~reg, reg, reg >> 1, reg * 3, reg, flags};
  struct state trapped = plain;
  uint8_t after[PAGE];
  fill(memory);
  forms[form].run(&plain);
  memcpy(after, alias, PAGE);
  fill(memory);
  mprotect(page, PAGE, PROT_NONE);
  forms[form].run(&trapped);
  mprotect(page, PAGE, PROT_READ | PROT_WRITE);
  // What and, or, xor and test leave in AF is undefined.
  const char *text = forms[form].text;
  bool logic = strncmp(text, "and", 3) == 0 || strncmp(text, "or", 2) == 0 ||
               strncmp(text, "xor", 3) == 0 || strncmp(text, "test", 4) == 0;
  uint64_t mask = logic ? TESTED_FLAGS & ~AF : TESTED_FLAGS;
  plain.flags &= mask;
  trapped.flags &= mask;
  return memcmp(&plain, &trapped, sizeof plain) == 0 && memcmp(after, alias, PAGE) == 0;
}

int main(void) {
  int fd = memfd_create("page", 0), bad = 0;
  if (fd < 0 || ftruncate(fd, PAGE) != 0) return 2;
  alias = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (alias == MAP_FAILED) return 2;
  if (mmap(page, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) != page) return 2;
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
  sigaction(SIGSEGV, &action, NULL);
  for (size_t form = 0; form < sizeof forms / sizeof forms[0]; form++) {
    if (strncmp(forms[form].text, "movdiri", 7) == 0 && !processor_has_movdiri()) {
      printf("%s not run: this processor does not have it\n", forms[form].name);
      continue;
    }
    bool good = true;
    int before = decoded, runs = 0;
    for (size_t i = 0; i < VALUES * VALUES * 2 && good; i++, runs++)
      good = agrees(form, values[i % VALUES], values[i / VALUES % VALUES],
                    i / VALUES / VALUES ? 0x202 | TESTED_FLAGS : 0x202);
    if (good && decoded == before + runs) continue;
    printf("%s (%s) differs\n", forms[form].name, forms[form].text);
    bad++;
  }
  for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
    ixy_instruction instruction;
    if (!ixy_decode(refused[i].code, &instruction)) continue;
    printf("%s was decoded\n", refused[i].what);
    bad++;
  }
  printf("%zu forms, %zu refusals, %d wrong\n", sizeof forms / sizeof forms[0],
         sizeof refused / sizeof refused[0], bad);
  return bad == 0 ? 0 : 1;
}

/* context_aarch64.S - void *sched_context_swap(void **save, void *sp, void *value), AAPCS64.
 *
 * Where branch targets are checked (BTI) only `ret` may go back to a caller; else
 * it is a jump, since a `ret` would be predicted from the other context's calls.
 * A return address on a stack is signed where the compiler signs them (PAC). */
#ifdef __aarch64__
#if defined(__ARM_FEATURE_PAC_DEFAULT)
#define ENTRY  hint #25 /* paciasp, a landing pad as well */
#define VERIFY hint #29 /* autiasp */
#elif defined(__ARM_FEATURE_BTI_DEFAULT)
#define ENTRY  hint #34 /* bti c */
#define VERIFY
#else
#define ENTRY
#define VERIFY
#endif
    .text
    .globl sched_context_swap
    .type sched_context_swap, %function
    .p2align 5
sched_context_swap:
    .cfi_startproc
    ENTRY
    stp x29, x30, [sp, #-160]!
    stp x19, x20, [sp, #16]
    stp x21, x22, [sp, #32]
    stp x23, x24, [sp, #48]
    stp x25, x26, [sp, #64]
    stp x27, x28, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    mov x0, x2
    ldp x19, x20, [sp, #16]
    ldp x21, x22, [sp, #32]
    ldp x23, x24, [sp, #48]
    ldp x25, x26, [sp, #64]
    ldp x27, x28, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    ldp x29, x30, [sp], #160
    VERIFY
#if defined(__ARM_FEATURE_BTI_DEFAULT)
    ret
#else
    br x30
#endif
    .cfi_endproc
    .size sched_context_swap, . - sched_context_swap

/* The first return address of a context: x19 is begin(), x20 its second argument, x0 the value it was given. */
    .globl sched_context_begin
    .type sched_context_begin, %function
    .p2align 5
sched_context_begin:
    .cfi_startproc
    .cfi_undefined x30
    mov x1, x20
    mov x29, #0
    mov x30, #0
    blr x19
    brk #1
    .cfi_endproc
    .size sched_context_begin, . - sched_context_begin

/* The linker says that a program checks branches if each of its objects does. */
#if defined(__ARM_FEATURE_BTI_DEFAULT) || defined(__ARM_FEATURE_PAC_DEFAULT)
    .section .note.gnu.property, "a"
    .p2align 3
    .word 4, 16, 5
    .asciz "GNU"
    .word 0xc0000000, 4
#if defined(__ARM_FEATURE_BTI_DEFAULT) && defined(__ARM_FEATURE_PAC_DEFAULT)
    .word 3, 0
#elif defined(__ARM_FEATURE_BTI_DEFAULT)
    .word 1, 0
#else
    .word 2, 0
#endif
#endif
#endif
    .section .note.GNU-stack, "", %progbits

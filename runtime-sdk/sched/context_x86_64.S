/* context_x86_64.S - void *sched_context_swap(void **save, void *sp, void *value), System V.
 *
 * It ends with `ret`, not with a jump: tasks that wait wait in the same call, so the
 * processor's return stack, though filled by another context, holds the addresses that
 * this and the next returns go to; a jump would leave it one entry behind. */
#ifdef __x86_64__
    .text
    .globl sched_context_swap
    .type sched_context_swap, @function
    .p2align 5
sched_context_swap:
    .cfi_startproc
    endbr64
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    movq %rdx, %rax
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .cfi_endproc
    .size sched_context_swap, . - sched_context_swap

/* The first return address of a context: rbx is begin(), r12 its second argument, rax the value it was given. */
    .globl sched_context_begin
    .type sched_context_begin, @function
    .p2align 5
sched_context_begin:
    .cfi_startproc
    .cfi_undefined rip
    endbr64
    movq %rax, %rdi
    movq %r12, %rsi
    xorl %ebp, %ebp
    callq *%rbx
    ud2
    .cfi_endproc
    .size sched_context_begin, . - sched_context_begin
#endif
    .section .note.GNU-stack, "", @progbits

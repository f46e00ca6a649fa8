/* The library that a zygote loads (zygote.h): the Makefile links it. */
    .section .rodata
    .global zygote_library, zygote_library_end
    .hidden zygote_library, zygote_library_end
    .balign 16
zygote_library:
    .incbin "build/pic/zygote.so"
zygote_library_end:
    .byte 0
    .section .note.GNU-stack, "", %progbits

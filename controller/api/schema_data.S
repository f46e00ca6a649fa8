/* schema_data.S - proto/function.schema.json inside the program. */
    .section .rodata
    .global schema_data_begin, schema_data_end
    .hidden schema_data_begin, schema_data_end
    .balign 16
schema_data_begin:
    .incbin "proto/function.schema.json"
schema_data_end:
    .byte 0
    .section .note.GNU-stack,"",@progbits

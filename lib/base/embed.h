/* A file put into the program by the assembler. */
#ifndef LIB_BASE_EMBED_H
#define LIB_BASE_EMBED_H

/* At file scope: the bytes of `file` (a string literal, the path when it is compiled) as read-only
 * data from NAME_begin to NAME_end, followed by a zero byte that does not count. Who builds names
 * the file and builds the source again when it changes (CMake: OBJECT_DEPENDS). */
#define MLT_EMBED(name, file)                                \
    __asm__(".section .rodata." #name ", \"a\", @progbits\n" \
            ".global " #name "_begin\n"                      \
            ".hidden " #name "_begin\n" #name "_begin:\n"    \
            ".incbin \"" file "\"\n"                         \
            ".global " #name "_end\n"                        \
            ".hidden " #name "_end\n" #name "_end:\n"        \
            ".byte 0\n"                                      \
            ".text\n");                                      \
    extern const char name##_begin[], name##_end[]

#endif

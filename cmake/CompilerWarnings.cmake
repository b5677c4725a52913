# Warnings for all of our own code. They are errors where MLTRAIN_WERROR is on (CI), so that a newer
# compiler never stops somebody who only wants to build a release.
option(MLTRAIN_WERROR "Treat compiler warnings as errors" OFF)

add_library(mltrain_warnings INTERFACE)
target_compile_options(mltrain_warnings INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wmissing-prototypes -Wstrict-prototypes
  -Wold-style-definition -Wvla -Wformat=2 -Wundef -Wcast-qual -Wpointer-arith -Wwrite-strings
  # clang sees the fall-through within uthash's HASH_JEN, whose comments a macro does not keep.
  $<$<C_COMPILER_ID:GNU>:-Wimplicit-fallthrough> $<$<BOOL:${MLTRAIN_WERROR}>:-Werror>)

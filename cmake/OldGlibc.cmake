# mltrain_old_glibc(TARGET symbols) -> the program TARGET runs with every glibc from 2.31 on, whatever glibc it is built with.
#
# A linker takes each symbol in the newest version that the build machine's libc has (dlopen and __libc_start_main: 2.34 on
# Debian 12), and an older libc then refuses the program. So TARGET is linked against empty libraries of the same names that have
# the functions of the file `symbols` (one a line) in the first version that the architecture ever had, which every glibc keeps for
# its old programs. A function that is not in the file is an error of the linker; whoever adds one looks up that it is as old as that.
# glibc before 2.34 runs no constructors of a program linked so (it expects them in __libc_csu_init), so there must be none.
function(mltrain_old_glibc target symbols)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
    set(version GLIBC_2.2.5)
  elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
    set(version GLIBC_2.17)
  else()
    message(STATUS "${target}: first version of glibc's symbols on ${CMAKE_SYSTEM_PROCESSOR} not known; it needs this machine's glibc")
    return()
  endif()
  set(folder ${CMAKE_BINARY_DIR}/generated/old_glibc)
  file(WRITE ${folder}/version.map "${version} { global: *; };\n")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${symbols})
  file(STRINGS ${symbols} lines REGEX "^[a-z_]")
  set(c_text "")
  set(dl_text "")
  foreach(line ${lines})
    if(line MATCHES "^dl[a-z]+$")
      string(APPEND dl_text "void ${line}(void) {}\n")
    else()
      string(APPEND c_text "void ${line}(void) {}\n")
    endif()
  endforeach()
  file(CONFIGURE OUTPUT ${folder}/c.c CONTENT "${c_text}" @ONLY)
  file(CONFIGURE OUTPUT ${folder}/dl.c CONTENT "${dl_text}" @ONLY)
  file(CONFIGURE OUTPUT ${folder}/pthread.c CONTENT "void mltrain_nothing(void) {}\n" @ONLY)
  foreach(library "c;6" "dl;2" "pthread;0")
    list(GET library 0 name)
    list(GET library 1 number)
    add_library(old_${name} SHARED ${folder}/${name}.c)
    target_compile_options(old_${name} PRIVATE -w -fno-builtin -fvisibility=default)
    target_link_options(old_${name} PRIVATE -nostdlib -Wl,--version-script=${folder}/version.map)
    set_target_properties(old_${name} PROPERTIES OUTPUT_NAME ${name} SOVERSION ${number}
                          LIBRARY_OUTPUT_DIRECTORY ${folder}/lib)
    target_link_libraries(${target} PRIVATE old_${name})
  endforeach()
  target_compile_options(${target} PRIVATE -U_FORTIFY_SOURCE -fno-stack-protector)
  # libpthread is needed by PMIx, and has to be there before it is loaded.
  target_link_options(${target} PRIVATE -nodefaultlibs -Wl,--no-as-needed)
  set_target_properties(${target} PROPERTIES SKIP_BUILD_RPATH TRUE)
endfunction()

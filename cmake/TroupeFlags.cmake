# SPDX-License-Identifier: Apache-2.0
#
# How every C file is compiled, and which libraries of the system are used.

if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}")
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}")
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}")
set(CMAKE_INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
enable_testing()

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(LIBUV REQUIRED IMPORTED_TARGET libuv)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3>=3.40)
pkg_check_modules(LZ4 REQUIRED IMPORTED_TARGET liblz4)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(CRYPTO REQUIRED IMPORTED_TARGET libssl>=3.0 libcrypto>=3.0)

# Flags of everything that is built here; not of programs that use an installed Troupe.
add_library(troupe_flags INTERFACE)
target_compile_definitions(troupe_flags INTERFACE
    _GNU_SOURCE TROUPE_VERSION_TEXT="${PROJECT_VERSION}")
target_compile_options(troupe_flags INTERFACE
    -Wall -Wextra -Wconversion -Wshadow -fno-omit-frame-pointer -fno-semantic-interposition
    # TP_ASSERT(!"what must not be") is a way of ours; clang counts it to -Wconversion.
    $<$<C_COMPILER_ID:Clang>:-Wno-string-conversion>
    # Assertions name files by their place in the repository.
    "-fmacro-prefix-map=${CMAKE_SOURCE_DIR}/=")
if(TROUPE_WERROR)
    target_compile_options(troupe_flags INTERFACE -Werror)
endif()

if(TROUPE_SANITIZE STREQUAL "address")
    set(sanitizers address,undefined)
elseif(TROUPE_SANITIZE STREQUAL "thread")
    set(sanitizers thread)
elseif(TROUPE_SANITIZE)
    message(FATAL_ERROR "TROUPE_SANITIZE is '${TROUPE_SANITIZE}': it may be empty, address or thread")
endif()
if(TROUPE_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
        message(FATAL_ERROR "TROUPE_FUZZ needs clang: cmake --preset fuzz")
    endif()
    set(sanitizers fuzzer-no-link,address,undefined)
endif()
if(sanitizers)
    target_compile_options(troupe_flags INTERFACE
        -fsanitize=${sanitizers} -fno-sanitize-recover=all -O1
        # Instrumented, gcc forgets the ranges of counters and warns of what cannot be; without
        # sanitizers it does know them, and the release build heeds this warning.
        $<$<C_COMPILER_ID:GNU>:-Wno-format-truncation>)
    target_link_options(troupe_flags INTERFACE -fsanitize=${sanitizers})
endif()
if(TROUPE_COVERAGE)
    target_compile_options(troupe_flags INTERFACE --coverage -O0)
    target_link_options(troupe_flags INTERFACE --coverage)
endif()

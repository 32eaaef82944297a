# SPDX-License-Identifier: Apache-2.0
#
# libtroupe and libtroupe_testkit. The sources are compiled once, into object libraries.
#
# troupe_static holds the tp_ symbols too: unit tests, benchmarks and fuzzers link it. The shared
# libraries export troupe_ symbols only. libtroupe_testkit.so contains the whole runtime, because the
# simulator drives its inside: a program links libtroupe.so or libtroupe_testkit.so, never both.

file(GLOB troupe_sources CONFIGURE_DEPENDS
    "${CMAKE_SOURCE_DIR}/src/*/*.c" "${CMAKE_SOURCE_DIR}/src/*/*.S"
    # A provider in a folder of its own is a module, but this one, which needs no client library.
    "${CMAKE_SOURCE_DIR}/src/providers/file/*.c")
# The gateway is a module, too.
list(FILTER troupe_sources EXCLUDE REGEX "/src/gateway/[^/]+$")
file(GLOB testkit_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/testkit/*.c")

add_library(troupe_deps INTERFACE)
target_link_libraries(troupe_deps INTERFACE PkgConfig::LIBUV PkgConfig::XXHASH
    PkgConfig::JANSSON PkgConfig::YAML PkgConfig::SQLITE PkgConfig::LZ4 PkgConfig::ZSTD
    PkgConfig::CRYPTO Threads::Threads ${CMAKE_DL_LIBS} m)

# The inside of the house, as its own files see it: <troupe.h>, "base/pool.h", "testkit/world.h".
add_library(troupe_inside INTERFACE)
target_include_directories(troupe_inside INTERFACE
    "${CMAKE_SOURCE_DIR}/include" "${CMAKE_SOURCE_DIR}/src" "${CMAKE_SOURCE_DIR}")
target_link_libraries(troupe_inside INTERFACE troupe_flags troupe_deps)

if(NOT troupe_sources)
    message(STATUS "src/ holds no sources yet: only tests of the house are built")
    return()
endif()

add_library(troupe_objects OBJECT ${troupe_sources})
target_link_libraries(troupe_objects PRIVATE troupe_inside)
# The hot path runs through a dozen files: optimised together it is a fifth faster. The objects hold
# ordinary code too (fat), so that libtroupe.a links without the plug-in; what is linked here uses it.
set(TROUPE_LTO "")
set(TROUPE_NO_LTO "")
if(CMAKE_C_COMPILER_ID STREQUAL "GNU" AND CMAKE_BUILD_TYPE MATCHES "Rel" AND NOT TROUPE_SANITIZE)
    set(TROUPE_LTO -flto=auto)
    set(TROUPE_NO_LTO -fno-lto)
    target_compile_options(troupe_objects PRIVATE -flto=auto -ffat-lto-objects)
endif()
# gcc clears small structs by `rep stos`, whose start costs as much as a short turn.
if(CMAKE_C_COMPILER_ID STREQUAL "GNU" AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    target_compile_options(troupe_objects PRIVATE
        "-mmemset-strategy=unrolled_loop:256:noalign,libcall:-1:noalign")
endif()

add_library(troupe_shared SHARED)
target_link_libraries(troupe_shared PRIVATE troupe_objects troupe_flags troupe_deps)
target_include_directories(troupe_shared INTERFACE
    "$<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include>" "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
set_target_properties(troupe_shared PROPERTIES OUTPUT_NAME troupe EXPORT_NAME troupe
    VERSION ${PROJECT_VERSION} SOVERSION 0)
target_link_options(troupe_shared PRIVATE -Wl,-Bsymbolic-functions ${TROUPE_LTO})

add_library(troupe_static STATIC)
target_link_libraries(troupe_static PRIVATE troupe_objects INTERFACE troupe_deps)
target_include_directories(troupe_static INTERFACE "${CMAKE_SOURCE_DIR}/include")
set_target_properties(troupe_static PROPERTIES OUTPUT_NAME troupe)

if(testkit_sources)
    add_library(testkit_objects OBJECT ${testkit_sources})
    target_link_libraries(testkit_objects PRIVATE troupe_inside)

    add_library(troupe_testkit SHARED)
    target_link_libraries(troupe_testkit PRIVATE
        testkit_objects troupe_objects troupe_flags troupe_deps)
    target_include_directories(troupe_testkit INTERFACE "${CMAKE_SOURCE_DIR}/include")
    set_target_properties(troupe_testkit PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 0)
    target_link_options(troupe_testkit PRIVATE -Wl,-Bsymbolic-functions ${TROUPE_NO_LTO})

    add_library(troupe_testkit_static STATIC)
    target_link_libraries(troupe_testkit_static PRIVATE testkit_objects INTERFACE troupe_static)
    set_target_properties(troupe_testkit_static PROPERTIES OUTPUT_NAME troupe_testkit)
else()
    add_library(troupe_testkit_static INTERFACE)
    target_link_libraries(troupe_testkit_static INTERFACE troupe_static)
endif()

# A name left undefined should fail here, not in a user's program. Sanitizers leave theirs undefined.
if(NOT sanitizers)
    target_link_options(troupe_shared PRIVATE -Wl,-z,defs)
    if(TARGET troupe_testkit)
        target_link_options(troupe_testkit PRIVATE -Wl,-z,defs)
    endif()
endif()

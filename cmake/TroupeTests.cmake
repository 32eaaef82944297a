# SPDX-License-Identifier: Apache-2.0
#
# Tests and fuzz targets. A test's ctest name is area/name, its label is the area.
#
# tests/store/<provider>[_…]_test.c and tests/crash/<provider>[_…]_test.c link src/providers/<provider>,
# and need the provider's client library: without it configuring fails if TROUPE_TESTS is ON, and with
# AUTO they are left out, with a line at each configure.
# tests/crash and tests/member also use what the tests of tests/store share; tests/member links the
# providers of membership likewise.
#
# tests/gateway links the inside of the gateway, likewise.
#
# A folder of tests that cannot run under a sanitizer says so in tests/<area>/NO_TSAN or NO_ASAN, a
# file with the reason in it; the reason is printed at each configure and by tools/test.

if(TROUPE_FUZZ AND TARGET troupe_static)
    file(GLOB fuzz_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/fuzz/*_fuzz.c")
    foreach(file IN LISTS fuzz_sources)
        cmake_path(GET file STEM stem)
        string(REGEX REPLACE "_fuzz$" "" name "${stem}")
        if(name MATCHES "^(route|alarm)$" AND NOT TARGET gateway_objects)
            message(STATUS "fuzz_${name} is NOT built: the gateway is not")
            continue()
        endif()
        add_executable(fuzz_${name} "${file}")
        target_link_libraries(fuzz_${name} PRIVATE cmd_shared troupe_inside troupe_testkit_static)
        if(name MATCHES "^(route|alarm)$")
            target_link_libraries(fuzz_${name} PRIVATE gateway_objects)
        endif()
        target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
        set_target_properties(fuzz_${name} PROPERTIES
            RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/fuzz")
    endforeach()
endif()

if(TROUPE_FUZZ OR TROUPE_TESTS STREQUAL "OFF")
    return()
endif()
if(TROUPE_TESTS STREQUAL "AUTO")
    pkg_check_modules(CMOCKA QUIET IMPORTED_TARGET cmocka)
else()
    pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
endif()
if(NOT CMOCKA_FOUND)
    message(STATUS "cmocka is not installed: no tests are built (make deps-test)")
    return()
endif()

set(refused "")
set(mark_of_address NO_ASAN)
set(mark_of_thread NO_TSAN)
if(TROUPE_SANITIZE)
    file(GLOB marks CONFIGURE_DEPENDS
        "${CMAKE_SOURCE_DIR}/tests/*/${mark_of_${TROUPE_SANITIZE}}")
    foreach(mark IN LISTS marks)
        cmake_path(GET mark PARENT_PATH folder)
        cmake_path(GET folder FILENAME area)
        file(READ "${mark}" reason)
        string(STRIP "${reason}" reason)
        message(STATUS "tests/${area} does NOT run with TROUPE_SANITIZE=${TROUPE_SANITIZE}: ${reason}")
        list(APPEND refused ${area})
    endforeach()
endif()

set(test_environment
    "TROUPE_SOURCE=${CMAKE_SOURCE_DIR}" "TROUPE_BUILD=${CMAKE_BINARY_DIR}" "CC=${CMAKE_C_COMPILER}"
    "ASAN_OPTIONS=strict_string_checks=1:detect_leaks=1" "LSAN_OPTIONS=print_suppressions=0"
    "UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1" "TSAN_OPTIONS=halt_on_error=1:history_size=4")

function(troupe_register name area)
    set_tests_properties(${name} PROPERTIES LABELS ${area} TIMEOUT 300 SKIP_RETURN_CODE 77
        ENVIRONMENT "${test_environment}" WORKING_DIRECTORY "${CMAKE_BINARY_DIR}")
endfunction()

file(GLOB test_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/tests/*/*_test.c")
file(GLOB test_scripts CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/tests/*/*_test.sh")
foreach(file IN LISTS test_sources test_scripts)
    cmake_path(GET file STEM stem)
    cmake_path(GET file EXTENSION kind)
    cmake_path(GET file PARENT_PATH folder)
    cmake_path(GET folder FILENAME area)
    string(REGEX REPLACE "_test$" "" name "${stem}")
    if(area IN_LIST refused)
        continue()
    endif()
    if(kind STREQUAL ".sh")
        add_test(NAME ${area}/${name} COMMAND sh "${file}")
        troupe_register(${area}/${name} ${area})
    elseif(TARGET troupe_static)
        string(REGEX REPLACE "_.*" "" provider "${name}")
        if(NOT (area MATCHES "^(store|crash|member)$" AND provider IN_LIST provider_names))
            set(provider "")
        elseif(NOT TARGET provider_${provider})
            if(TROUPE_TESTS STREQUAL "AUTO")
                message(STATUS "${area}/${name} is NOT built: provider ${provider} is not")
            else()
                message(SEND_ERROR "${area}/${name}: provider ${provider} is not built; make deps-test "
                    "installs what it needs, TROUPE_TESTS=AUTO leaves its tests out")
            endif()
            continue()
        endif()
        if(area STREQUAL "gateway" AND NOT TARGET gateway_objects)
            if(TROUPE_TESTS STREQUAL "AUTO")
                message(STATUS "${area}/${name} is NOT built: the gateway is not")
            else()
                message(SEND_ERROR "${area}/${name}: the gateway is not built; make deps-test "
                    "installs what it needs, TROUPE_TESTS=AUTO leaves its tests out")
            endif()
            continue()
        endif()
        set(target test_${area}_${name})
        # What is beside a test and is no test itself is shared by the tests of its folder.
        file(GLOB shared_sources CONFIGURE_DEPENDS "${folder}/*.c")
        list(FILTER shared_sources EXCLUDE REGEX "_test\\.c$")
        if(shared_sources AND NOT TARGET shared_${area})
            add_library(shared_${area} OBJECT ${shared_sources})
            target_compile_options(shared_${area} PRIVATE -UNDEBUG)
            target_link_libraries(shared_${area} PRIVATE troupe_inside PkgConfig::CMOCKA)
        endif()
        add_executable(${target} "${file}")
        if(shared_sources)
            target_link_libraries(${target} PRIVATE shared_${area})
        endif()
        if(area MATCHES "^(crash|member)$")
            target_link_libraries(${target} PRIVATE shared_store)
        endif()
        # assert() in a test must stay a check in every build.
        target_compile_options(${target} PRIVATE -UNDEBUG)
        target_link_libraries(${target} PRIVATE
            cmd_shared troupe_inside troupe_testkit_static PkgConfig::CMOCKA)
        if(provider)
            target_link_libraries(${target} PRIVATE provider_${provider})
        endif()
        if(area STREQUAL "gateway")
            target_link_libraries(${target} PRIVATE gateway_objects)
        endif()
        if(TROUPE_NO_LTO) # the objects' ordinary code: dozens of links must not optimise each anew
            target_link_options(${target} PRIVATE ${TROUPE_NO_LTO})
        endif()
        set_target_properties(${target} PROPERTIES OUTPUT_NAME ${name}_test
            RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests/${area}")
        add_test(NAME ${area}/${name} COMMAND ${target})
        troupe_register(${area}/${name} ${area})
    endif()
endforeach()

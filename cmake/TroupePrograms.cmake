# SPDX-License-Identifier: Apache-2.0
#
# The daemon, the command line tool, examples, benchmarks.

if(NOT TARGET troupe_shared)
    return()
endif()

# What both programs share: the admin protocol as bytes, and names. Tests and fuzzers link it too.
file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/cmd/shared/*.c")
if(sources)
    add_library(cmd_shared STATIC ${sources})
    target_include_directories(cmd_shared PUBLIC
        "${CMAKE_SOURCE_DIR}/cmd" "${CMAKE_SOURCE_DIR}/include")
    target_link_libraries(cmd_shared PRIVATE troupe_flags PUBLIC troupe_deps)
endif()

# The client library: what the tool calls nodes by, for others. Names and ids are libtroupe's.
file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/cmd/client/*.c")
if(sources)
    add_library(troupe_client SHARED ${sources})
    target_link_libraries(troupe_client
        PUBLIC troupe_shared PRIVATE cmd_shared troupe_flags troupe_deps)
    target_include_directories(troupe_client PRIVATE
        "${CMAKE_SOURCE_DIR}/cmd" "${CMAKE_SOURCE_DIR}/include")
    set_target_properties(troupe_client PROPERTIES EXPORT_NAME client INSTALL_RPATH "$ORIGIN"
        VERSION "${PROJECT_VERSION}" SOVERSION "${PROJECT_VERSION_MAJOR}")
endif()

# The daemon links libtroupe.so: its modules do too, and must find the same runtime.
file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/cmd/trouped/*.c")
if(sources)
    add_executable(trouped ${sources})
    target_include_directories(trouped PRIVATE "${CMAKE_SOURCE_DIR}/cmd")
    target_link_libraries(trouped PRIVATE cmd_shared troupe_shared troupe_flags troupe_deps)
endif()

# The tool holds the runtime and the simulator itself, all of it, and exports its API: a module that
# `troupe sim` loads then binds to this runtime and not to a second one.
file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/cmd/troupe/*.c")
if(sources)
    add_executable(troupe ${sources})
    target_include_directories(troupe PRIVATE
        "${CMAKE_SOURCE_DIR}/cmd" "${CMAKE_SOURCE_DIR}/include" "${CMAKE_SOURCE_DIR}")
    target_link_libraries(troupe PRIVATE cmd_shared troupe_objects troupe_flags troupe_deps)
    target_link_options(troupe PRIVATE ${TROUPE_NO_LTO})
    if(TARGET testkit_objects)
        target_link_libraries(troupe PRIVATE testkit_objects)
    endif()
    set_target_properties(troupe PROPERTIES ENABLE_EXPORTS ON)
endif()

# Examples see what a user sees: libtroupe.so and the public headers. In one folder, module.c becomes
# lib<name>.so, provider.c a storage provider libtroupe_<name>.so, simulation.c lib<name>_simulation.so for
# `troupe sim --load`, each other file with a main a program, and files with neither are part of all of them.
set(example_directory "${CMAKE_BINARY_DIR}/examples")
add_custom_target(examples)
add_custom_target(modules)

function(troupe_example target output main)
    set_target_properties(${target} PROPERTIES OUTPUT_NAME ${output} C_VISIBILITY_PRESET default
        RUNTIME_OUTPUT_DIRECTORY "${example_directory}" LIBRARY_OUTPUT_DIRECTORY "${example_directory}")
    target_link_libraries(${target} PRIVATE troupe_shared troupe_flags Threads::Threads m)
    add_dependencies(examples ${target})
endfunction()

file(GLOB example_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/examples/*/*.c")
set(example_names "")
foreach(file IN LISTS example_sources)
    cmake_path(GET file PARENT_PATH folder)
    cmake_path(GET folder FILENAME name)
    list(APPEND example_names ${name})
endforeach()
list(REMOVE_DUPLICATES example_names)
foreach(name IN LISTS example_names)
    set(mains "")
    set(shared "")
    foreach(file IN LISTS example_sources)
        if(NOT file MATCHES "/examples/${name}/[^/]+$" OR file MATCHES "/(module|provider|simulation)\\.c$")
            continue()
        endif()
        file(STRINGS "${file}" found REGEX "^(int )?main\\(")
        if(found)
            list(APPEND mains "${file}")
        else()
            list(APPEND shared "${file}")
        endif()
    endforeach()
    list(LENGTH mains count)
    foreach(file IN LISTS mains)
        cmake_path(GET file STEM stem)
        set(target example_${name})
        if(count GREATER 1 AND NOT stem STREQUAL name AND NOT stem STREQUAL "main")
            set(target example_${name}_${stem})
        endif()
        add_executable(${target} "${file}" ${shared})
        troupe_example(${target} ${target} "${file}")
    endforeach()
    set(module "${CMAKE_SOURCE_DIR}/examples/${name}/module.c")
    if(module IN_LIST example_sources)
        add_library(module_${name} MODULE "${module}" ${shared})
        troupe_example(module_${name} ${name} "${module}")
        add_dependencies(modules module_${name})
    endif()
    set(module "${CMAKE_SOURCE_DIR}/examples/${name}/provider.c")
    if(module IN_LIST example_sources)
        add_library(provider_${name} MODULE "${module}" ${shared})
        troupe_example(provider_${name} troupe_${name} "${module}")
    endif()
    set(module "${CMAKE_SOURCE_DIR}/examples/${name}/simulation.c")
    if(module IN_LIST example_sources)
        # The tool that loads it has the runtime, and the world that it runs in.
        add_library(simulation_${name} MODULE "${module}" ${shared})
        set_target_properties(simulation_${name} PROPERTIES OUTPUT_NAME ${name}_simulation
            C_VISIBILITY_PRESET default LIBRARY_OUTPUT_DIRECTORY "${example_directory}")
        target_include_directories(simulation_${name} PRIVATE "${CMAKE_SOURCE_DIR}/include")
        target_link_libraries(simulation_${name} PRIVATE troupe_flags)
        add_dependencies(examples simulation_${name})
    endif()
endforeach()

# It calls a cluster, and is no part of it.
if(TARGET example_far)
    target_link_libraries(example_far PRIVATE troupe_client)
endif()

# Raw limits: the physical part of a job and nothing else.
file(GLOB limit_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/bench/limits/*.c")
add_custom_target(limits)
set(limit_targets "")
foreach(file IN LISTS limit_sources)
    cmake_path(GET file STEM name)
    string(REGEX REPLACE "^.*_" "" provider "${name}") # durable_redis needs what provider redis does
    set(client "")
    if(DEFINED client_of_${provider})
        troupe_client(${provider} client)
        if(NOT client)
            message(STATUS "${client_of_${provider}} is not installed: limit_${name} is NOT built")
            continue()
        endif()
    endif()
    add_executable(limit_${name} "${file}")
    target_include_directories(limit_${name} PRIVATE "${CMAKE_SOURCE_DIR}/bench")
    target_link_libraries(limit_${name} PRIVATE troupe_flags troupe_deps ${client})
    target_compile_options(limit_${name} PRIVATE -O3)
    set_target_properties(limit_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bench")
    add_dependencies(limits limit_${name})
    list(APPEND limit_targets limit_${name})
endforeach()

file(GLOB bench_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/bench/core/*.c")
file(GLOB harness_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/bench/harness/*.c")
if(bench_sources)
    add_executable(bench_core ${bench_sources} ${harness_sources})
    target_include_directories(bench_core PRIVATE "${CMAKE_SOURCE_DIR}/bench")
    target_link_libraries(bench_core PRIVATE troupe_inside troupe_testkit_static)
    set_target_properties(bench_core PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bench")
    target_link_options(bench_core PRIVATE ${TROUPE_LTO}) # as a program that links libtroupe.so has it
endif()

file(GLOB state_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/bench/state/*.c")
if(state_sources)
    # Real servers are started as the tests of the providers start them.
    add_executable(bench_state ${state_sources} ${harness_sources}
        "${CMAKE_SOURCE_DIR}/bench/core/support.c"
        "${CMAKE_SOURCE_DIR}/tests/store/servers.c"
        "${CMAKE_SOURCE_DIR}/tests/store/redis_server.c"
        "${CMAKE_SOURCE_DIR}/tests/store/postgres_server.c")
    target_include_directories(bench_state PRIVATE "${CMAKE_SOURCE_DIR}/bench" "${CMAKE_SOURCE_DIR}")
    target_link_libraries(bench_state PRIVATE troupe_inside troupe_static)
    set_target_properties(bench_state PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bench")
    target_link_options(bench_state PRIVATE ${TROUPE_LTO})
endif()

file(GLOB cluster_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/bench/cluster/*.c")
if(cluster_sources)
    # Histories are checked as the tests of real clusters check them.
    add_executable(bench_cluster ${cluster_sources} ${harness_sources}
        "${CMAKE_SOURCE_DIR}/tests/cluster/history.c"
        "${CMAKE_SOURCE_DIR}/tests/store/servers.c"
        "${CMAKE_SOURCE_DIR}/tests/store/redis_server.c")
    target_include_directories(bench_cluster PRIVATE "${CMAKE_SOURCE_DIR}/bench" "${CMAKE_SOURCE_DIR}")
    target_link_libraries(bench_cluster PRIVATE troupe_inside troupe_static)
    set_target_properties(bench_cluster PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bench")
    target_link_options(bench_cluster PRIVATE ${TROUPE_LTO})
endif()

file(GLOB sim_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/bench/sim/*.c")
if(sim_sources)
    add_executable(bench_sim ${sim_sources} ${harness_sources})
    target_include_directories(bench_sim PRIVATE "${CMAKE_SOURCE_DIR}/bench" "${CMAKE_SOURCE_DIR}")
    target_link_libraries(bench_sim PRIVATE troupe_inside troupe_testkit_static)
    set_target_properties(bench_sim PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bench")
endif()

# A provider module by itself, beside the limit of its store.
if(provider_modules)
    add_executable(bench_provider "${CMAKE_SOURCE_DIR}/bench/providers/provider.c")
    target_link_libraries(bench_provider PRIVATE troupe_shared troupe_flags ${CMAKE_DL_LIBS})
    set_target_properties(bench_provider PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bench")
endif()

# A user's program with the module that libtroupe.so loads.
if(TARGET troupe_gateway)
    add_executable(bench_gateway "${CMAKE_SOURCE_DIR}/bench/gateway/main.c" ${harness_sources})
    target_include_directories(bench_gateway PRIVATE "${CMAKE_SOURCE_DIR}/bench")
    target_link_libraries(bench_gateway PRIVATE troupe_shared troupe_flags Threads::Threads m)
    add_dependencies(bench_gateway troupe_gateway)
    set_target_properties(bench_gateway PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bench")
endif()

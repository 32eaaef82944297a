# SPDX-License-Identifier: Apache-2.0
#
# Provider modules: storage and membership that need a client library which the runtime itself does
# without. Each folder src/providers/<name>/ becomes
#
#   provider_<name>   an object library, so that a test can link the provider itself
#   troupe_<name>     libtroupe_<name>.so, which the runtime loads for a URL <name>://…
#
# module.c, the one file with TROUPE_PROVIDER or TROUPE_MEMBERSHIP in it, is in the second only: a
# test may link several providers. The second links libtroupe.so and sees nothing but the public headers' functions. Where
# the client library is not installed, both are left out, with their tests and raw limits.

if(NOT TARGET troupe_shared)
    return()
endif()

# The pkg-config name of the client library of each. A folder that is not here is a failure.
set(client_of_redis hiredis)
set(client_of_postgres libpq)
set(client_of_etcd libcurl jansson)
set(client_of_gateway libmicrohttpd gnutls) # no provider: TroupeGateway.cmake

# troupe_client(NAME RET): the target to link for NAME's client library; empty: it is not installed.
function(troupe_client name ret)
    string(TOUPPER "CLIENT_${name}" prefix)
    if(DEFINED client_of_${name})
        pkg_check_modules(${prefix} QUIET IMPORTED_TARGET GLOBAL ${client_of_${name}})
    endif()
    if(${prefix}_FOUND)
        set(${ret} PkgConfig::${prefix} PARENT_SCOPE)
    else()
        set(${ret} "" PARENT_SCOPE)
    endif()
endfunction()

file(GLOB provider_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/src/providers/*/*.c")
set(provider_names "")
foreach(file IN LISTS provider_sources)
    cmake_path(GET file PARENT_PATH folder)
    cmake_path(GET folder FILENAME name)
    list(APPEND provider_names ${name})
endforeach()
list(REMOVE_DUPLICATES provider_names)
list(REMOVE_ITEM provider_names file) # in the library itself
set(provider_modules "")
foreach(name IN LISTS provider_names)
    if(NOT DEFINED client_of_${name})
        message(FATAL_ERROR "src/providers/${name} is not in cmake/TroupeProviders.cmake")
    endif()
    troupe_client(${name} client)
    if(NOT client)
        message(STATUS "${client_of_${name}} is not installed: libtroupe_${name}.so and its tests "
            "are NOT built (make deps-test)")
        continue()
    endif()
    set(sources ${provider_sources})
    list(FILTER sources INCLUDE REGEX "/src/providers/${name}/[^/]+$")
    list(FILTER sources EXCLUDE REGEX "/module\\.c$")
    add_library(provider_${name} OBJECT ${sources})
    target_include_directories(provider_${name} PRIVATE
        "${CMAKE_SOURCE_DIR}/include" "${CMAKE_SOURCE_DIR}/src")
    target_link_libraries(provider_${name} PRIVATE troupe_flags PUBLIC ${client})

    add_library(troupe_${name} MODULE "${CMAKE_SOURCE_DIR}/src/providers/${name}/module.c")
    target_include_directories(troupe_${name} PRIVATE "${CMAKE_SOURCE_DIR}/src")
    target_link_libraries(troupe_${name} PRIVATE
        provider_${name} troupe_shared troupe_flags ${client})
    # Beside libtroupe.so in the build tree and where it is installed; no version in the name, for it
    # is opened by that name and carries its own number.
    set_target_properties(troupe_${name} PROPERTIES INSTALL_RPATH "$ORIGIN")
    if(NOT sanitizers)
        target_link_options(troupe_${name} PRIVATE -Wl,-z,defs)
    endif()
    list(APPEND provider_modules troupe_${name})
endforeach()

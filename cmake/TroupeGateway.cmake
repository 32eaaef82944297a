# SPDX-License-Identifier: Apache-2.0
#
# The gateway: a module as providers are (TroupeProviders.cmake), of the one folder src/gateway.
#
#   gateway_objects   an object library, so that tests and fuzzers can link its inside
#   troupe_gateway    libtroupe_gateway.so, which the runtime loads for the option `http`
#
# module.c is in the second only, which brings along copies of the pure files of src/base and
# src/store that it uses: libtroupe.so exports its public functions and nothing else. Where
# libmicrohttpd is not installed, both are left out, with their tests and limits.

if(NOT TARGET troupe_shared)
    return()
endif()

troupe_client(gateway client)
if(NOT client)
    message(STATUS "${client_of_gateway} is not installed: libtroupe_gateway.so and its tests are "
        "NOT built (make deps-test)")
    return()
endif()

file(GLOB gateway_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/src/gateway/*.c")
list(FILTER gateway_sources EXCLUDE REGEX "/module\\.c$")
add_library(gateway_objects OBJECT ${gateway_sources})
target_link_libraries(gateway_objects PRIVATE troupe_inside PUBLIC ${client})

add_library(troupe_gateway MODULE "${CMAKE_SOURCE_DIR}/src/gateway/module.c"
    "${CMAKE_SOURCE_DIR}/src/base/alloc.c" "${CMAKE_SOURCE_DIR}/src/base/id.c"
    "${CMAKE_SOURCE_DIR}/src/base/text.c" "${CMAKE_SOURCE_DIR}/src/base/assert.c"
    "${CMAKE_SOURCE_DIR}/src/store/schedule_parse.c")
target_include_directories(troupe_gateway PRIVATE
    "${CMAKE_SOURCE_DIR}/include" "${CMAKE_SOURCE_DIR}/src")
target_link_libraries(troupe_gateway PRIVATE
    gateway_objects troupe_shared troupe_flags PkgConfig::JANSSON ${client})
set_target_properties(troupe_gateway PROPERTIES INSTALL_RPATH "$ORIGIN")
if(NOT sanitizers)
    target_link_options(troupe_gateway PRIVATE -Wl,-z,defs)
endif()

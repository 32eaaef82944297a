# SPDX-License-Identifier: Apache-2.0
#
# What `make install PREFIX=` puts where: headers, libraries, programs, manual pages, completion, and
# the two ways by which a build finds them, pkg-config (troupe) and CMake (find_package(Troupe)).

if(NOT TARGET troupe_shared)
    return()
endif()

include(CMakePackageConfigHelpers)
set(package_directory "${CMAKE_INSTALL_LIBDIR}/cmake/Troupe")

if(EXISTS "${CMAKE_SOURCE_DIR}/include")
    install(DIRECTORY "${CMAKE_SOURCE_DIR}/include/" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
        FILES_MATCHING PATTERN "*.h")
endif()
install(TARGETS troupe_shared EXPORT TroupeTargets)
install(TARGETS troupe_client EXPORT TroupeTargets)
install(TARGETS troupe_static)
foreach(target troupe_testkit trouped troupe)
    if(TARGET ${target})
        install(TARGETS ${target})
    endif()
endforeach()
if(TARGET testkit_objects)
    install(TARGETS troupe_testkit_static)
endif()

# The runtime looks for libtroupe_<scheme>.so, libtroupe_gateway.so beside itself.
foreach(target IN LISTS provider_modules ITEMS troupe_gateway)
    if(TARGET ${target})
        install(TARGETS ${target} LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
    endif()
endforeach()

# What `troupe bench` and `troupe demo` become; neither is for the PATH.
foreach(target bench_core bench_state ${limit_targets} example_packages)
    if(TARGET ${target})
        set_target_properties(${target} PROPERTIES
            INSTALL_RPATH "$ORIGIN/../../${CMAKE_INSTALL_LIBDIR}")
        install(TARGETS ${target} RUNTIME DESTINATION "${CMAKE_INSTALL_LIBEXECDIR}/troupe")
    endif()
endforeach()

# The tool writes its own completion. A build for another machine cannot ask it, and goes without.
if(TARGET troupe AND NOT CMAKE_CROSSCOMPILING)
    install(CODE "
        execute_process(COMMAND \"${CMAKE_BINARY_DIR}/troupe\" completion
            OUTPUT_VARIABLE text RESULT_VARIABLE status)
        if(NOT status EQUAL 0)
            message(FATAL_ERROR \"troupe completion failed: \${status}\")
        endif()
        set(data \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_DATADIR}\")
        file(WRITE \"\${data}/bash-completion/completions/troupe\" \"\${text}\")
        file(WRITE \"\${data}/bash-completion/completions/trouped\" \"\${text}\")
        file(WRITE \"\${data}/zsh/site-functions/_troupe\"
            \"#compdef troupe\\nautoload -U +X bashcompinit && bashcompinit\\n\${text}\"
            \"_bash_complete -F _troupe\\n\")
    ")
endif()

file(GLOB pages CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/man/*.[1-8]")
foreach(page IN LISTS pages)
    string(REGEX MATCH "[1-8]$" section "${page}")
    install(FILES "${page}" DESTINATION "${CMAKE_INSTALL_MANDIR}/man${section}")
endforeach()

install(EXPORT TroupeTargets NAMESPACE Troupe:: DESTINATION "${package_directory}")
configure_package_config_file("${CMAKE_SOURCE_DIR}/cmake/TroupeConfig.cmake.in"
    "${CMAKE_BINARY_DIR}/TroupeConfig.cmake" INSTALL_DESTINATION "${package_directory}")
write_basic_package_version_file("${CMAKE_BINARY_DIR}/TroupeConfigVersion.cmake"
    COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_BINARY_DIR}/TroupeConfig.cmake" "${CMAKE_BINARY_DIR}/TroupeConfigVersion.cmake"
    DESTINATION "${package_directory}")

# lib/pkgconfig lies two folders below the prefix, lib/x86_64-linux-gnu/pkgconfig three.
string(REGEX REPLACE "[^/]+" ".." TROUPE_PC_PREFIX "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
foreach(name troupe troupe_client)
    configure_file("${CMAKE_SOURCE_DIR}/cmake/${name}.pc.in" "${CMAKE_BINARY_DIR}/${name}.pc" @ONLY)
endforeach()
install(FILES "${CMAKE_BINARY_DIR}/troupe.pc" "${CMAKE_BINARY_DIR}/troupe_client.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands that need no node: sim, bench, demo, version. sim runs here; bench and demo are
 * programs of the same build, found beside this one or where `make install` puts them.
 * Invariants: 1. What another program is given is exactly what was typed. Threads: one.
 */
#include "troupe/commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <troupe.h>
#include <unistd.h>

#if __has_include("testkit/sim_main.h")
#include "testkit/sim_main.h"
#define HAS_SIMULATOR 1
#else
#define HAS_SIMULATOR 0
#endif

#if HAS_SIMULATOR
cli_exit cli_run_sim(const cli_context *context)
{
    int count = 0;
    while (context->rest[count] != NULL) count++;
    return (cli_exit)tp_sim_main(count, context->rest);
}
#else
cli_exit cli_run_sim(const cli_context *context)
{
    (void)context;
    return cli_fail(CLI_FAILED, "sim: this build was made without the test kit");
}
#endif

/* Looks for a program and becomes it; comes back only if there is none. */
static cli_exit become(const cli_context *context, const char *folder, const char *name)
{
    char self[4096];
    char path[3][4600] = {{0}};
    const char *libexec = getenv("TROUPE_LIBEXEC");
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (length <= 0) return cli_fail(CLI_FAILED, "/proc/self/exe: %s", strerror(errno));
    self[length] = 0;
    *strrchr(self, '/') = 0;
    if (libexec != NULL) snprintf(path[0], sizeof(path[0]), "%s/%s", libexec, name);
    snprintf(path[1], sizeof(path[1]), "%s/%s/%s", self, folder, name);
    snprintf(path[2], sizeof(path[2]), "%s/../libexec/troupe/%s", self, name);
    for (int i = 0; i < 3; i++) {
        if (path[i][0] == 0 || access(path[i], X_OK) != 0) continue;
        execv(path[i], context->rest);
        return cli_fail(CLI_FAILED, "%s: %s", path[i], strerror(errno));
    }
    return cli_fail(CLI_FAILED, "%s: the program %s is neither in %s/%s nor in "
                    "%s/../libexec/troupe: build it (make build), or name its folder in "
                    "$TROUPE_LIBEXEC",
                    context->command->name, name, self, folder, self);
}

cli_exit cli_run_bench(const cli_context *context)
{
    char name[80] = "bench_core";
    const char *group = context->rest[1];
    if (group != NULL && group[0] != '-') {
        if (strspn(group, "abcdefghijklmnopqrstuvwxyz_") != strlen(group) || strlen(group) > 40) {
            return cli_fail(CLI_USAGE, "bench: \"%.60s\" is no name of a group", group);
        }
        snprintf(name, sizeof(name), "bench_%s", group);
        context->rest[1] = context->rest[0]; /* the program does not see the group's name */
        cli_context shifted = *context;
        shifted.rest++;
        return become(&shifted, "bench", name);
    }
    return become(context, "bench", name);
}

cli_exit cli_run_demo(const cli_context *context)
{
    return become(context, "examples", "example_packages");
}

cli_exit cli_run_version(const cli_context *context)
{
    if (cli_has(context, CLI_OPTION_JSON)) {
        printf("{\"version\":\"%s\",\"api_number\":%d}\n", TROUPE_VERSION, TROUPE_API_NUMBER);
    } else {
        printf("troupe %s, API number %d\n", TROUPE_VERSION, TROUPE_API_NUMBER);
    }
    return CLI_OK;
}

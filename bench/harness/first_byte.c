/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the start of a process to the first byte that it writes, for rows about starting: the
 * process is this program itself, started again with --start-child. Called by bodies.
 *
 * Invariants: a child that was started is waited for. Threads: the body's.
 */
#include "harness/bench.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

double tp_bench_first_byte(char *argument)
{
    char program[] = "/proc/self/exe", option[] = "--start-child", byte = 0;
    char *const argv[] = {program, option, argument, NULL};
    int ends[2], status = 0;
    posix_spawn_file_actions_t actions;
    pid_t pid;
    if (pipe(ends) != 0)
        return -1;
    if (posix_spawn_file_actions_init(&actions) != 0) {
        close(ends[0]);
        close(ends[1]);
        return -1;
    }
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    uint64_t start = tp_bench_now_ns();
    int failed = posix_spawn(&pid, program, &actions, NULL, argv, environ);
    close(ends[1]);
    bool replied = failed == 0 && read(ends[0], &byte, 1) == 1 && byte == '!';
    uint64_t end = tp_bench_now_ns();
    if (failed == 0)
        waitpid(pid, &status, 0);
    close(ends[0]);
    posix_spawn_file_actions_destroy(&actions);
    return replied && status == 0 ? (double)(end - start) / 1e6 : -1;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs one program to its end and keeps what it printed: a raw limit, or this program with --once.
 * Called by the runner, never by a body.
 *
 * Invariants: a child that was started is always waited for, and only that one is ever killed.
 * Threads: one, so that fork and exec are safe.
 */
#include "harness/inside.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t start(char *const *argv, int *ret_read)
{
    int ends[2];
    if (pipe(ends) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execv(argv[0], argv);
        fprintf(stderr, "bench: cannot run %s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    close(ends[1]);
    if (pid > 0)
        *ret_read = ends[0];
    else
        close(ends[0]);
    return pid;
}

/* Reads until the child closes its end; false when the time is up. What does not fit is dropped. */
static bool collect(int from, uint64_t until_ns, char *output, size_t size)
{
    size_t used = 0;
    for (;;) {
        char buffer[4096];
        uint64_t now = tp_bench_now_ns();
        struct pollfd wait = {.fd = from, .events = POLLIN};
        int ready = now < until_ns ? poll(&wait, 1, (int)((until_ns - now) / 1000000 + 1)) : 0;
        if (ready == 0)
            return false;
        ssize_t count = ready > 0 ? read(from, buffer, sizeof(buffer)) : -1;
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return true;
        size_t keep = (size_t)count < size - 1 - used ? (size_t)count : size - 1 - used;
        memcpy(output + used, buffer, keep);
        used += keep;
        output[used] = '\0';
    }
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

bool tp_bench_child_run(char *const *argv, unsigned timeout_s, tp_bench_child *ret_child)
{
    uint64_t begin = tp_bench_now_ns();
    struct rusage used;
    int from = -1, status = 0;
    pid_t pid = start(argv, &from);
    if (pid < 0) {
        fprintf(stderr, "bench: cannot start %s: %s\n", argv[0], strerror(errno));
        return false;
    }
    ret_child->output[0] = '\0';
    bool done = collect(
        from, begin + timeout_s * 1000000000ull, ret_child->output, sizeof(ret_child->output));
    if (!done)
        kill(pid, SIGKILL);
    close(from);
    while (wait4(pid, &status, 0, &used) < 0 && errno == EINTR)
        ;
    ret_child->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    ret_child->cpu = (seconds(used.ru_utime) + seconds(used.ru_stime)) * 1e9 /
                     (double)(tp_bench_now_ns() - begin);
    if (!done)
        fprintf(stderr, "bench: %s took more than %u s and was stopped\n", argv[0], timeout_s);
    return done;
}

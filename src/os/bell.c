/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See bell.h: an eventfd where there is one (Linux), else a pipe; watched by the loop as a socket
 * is.
 *
 * Threads: as bell.h.
 */
#include "os/bell.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/eventfd.h>
#endif

static int open_ends(tp_bell *bell)
{
#ifdef __linux__
    bell->heard = bell->rung = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return bell->heard >= 0 ? 0 : -errno;
#else
    int ends[2];
    if (pipe(ends) != 0)
        return -errno;
    for (int i = 0; i < 2; i++) {
        (void)fcntl(ends[i], F_SETFL, O_NONBLOCK);
        (void)fcntl(ends[i], F_SETFD, FD_CLOEXEC);
    }
    bell->heard = ends[0];
    bell->rung = ends[1];
    return 0;
#endif
}

static void on_rung(uv_poll_t *poll, int status, int events)
{
    const tp_bell *bell = poll->data;
    char bytes[64]; /* what is left rings again */
    (void)status;
    (void)events;
    ssize_t size = read(bell->heard, bytes, sizeof bytes);
    (void)size; /* to have been woken is all */
}

void tp_bell_free(tp_bell *bell)
{
    (void)close(bell->heard);
    if (bell->rung != bell->heard)
        (void)close(bell->rung);
}

int tp_bell_open(tp_bell *bell, uv_loop_t *loop)
{
    int rc = open_ends(bell);
    if (rc != 0)
        return rc;
    rc = uv_poll_init(loop, &bell->poll, bell->heard);
    if (rc != 0) {
        tp_bell_free(bell);
        return rc;
    }
    bell->poll.data = bell;
    rc = uv_poll_start(&bell->poll, UV_READABLE, on_rung);
    if (rc != 0) {
        tp_bell_close(bell);
        (void)uv_run(loop, UV_RUN_DEFAULT);
        tp_bell_free(bell);
    }
    return rc;
}

void tp_bell_close(tp_bell *bell)
{
    uv_close((uv_handle_t *)&bell->poll, NULL);
}

void tp_bell_ring(tp_bell *bell)
{
    const uint64_t one = 1;
    ssize_t size;
    do {
        size = write(bell->rung, &one, sizeof one);
    } while (size < 0 && errno == EINTR); /* full: it rings already */
}

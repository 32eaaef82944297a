/* SPDX-License-Identifier: Apache-2.0 */
/* trouped becomes a new trouped. See restart.h. */
#include "trouped/restart.h"

#include <linux/close_range.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { STARTING, ARMED, DIED, OFF };

struct daemon_restart {
    char *const *argv;
    void (*say)(void *user);
    void *user;
    _Atomic int state;
};

daemon_restart *restart_create(char *const *argv, void (*say)(void *user), void *user)
{
    daemon_restart *self = calloc(1, sizeof(*self));
    if (self == NULL) return NULL;
    self->argv = argv;
    self->say = say;
    self->user = user;
    return self;
}

/* Nothing of this process is needed any more: other threads end with it, descriptors are closed. */
static void become_new(daemon_restart *self)
{
    sigset_t none;
    self->say(self->user);
    fflush(stdout);
    fflush(stderr);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
    execv("/proc/self/exe", self->argv);
    perror("trouped: it could not start anew");
    _exit(1);
}

void restart_arm(daemon_restart *self)
{
    int starting = STARTING;
    if (!atomic_compare_exchange_strong(&self->state, &starting, ARMED)) become_new(self);
}

void restart_disarm(daemon_restart *self)
{
    atomic_store(&self->state, OFF);
}

void restart_on_died(void *restart)
{
    daemon_restart *self = restart;
    int starting = STARTING;
    if (atomic_compare_exchange_strong(&self->state, &starting, DIED)) return;
    int armed = ARMED;
    if (atomic_compare_exchange_strong(&self->state, &armed, DIED)) become_new(self);
}

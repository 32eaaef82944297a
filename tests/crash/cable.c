/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forwarding process of cable.h.
 *
 * Threads: one in each process.
 */
#include "cable.h"

#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAIRS = 16, ROOM = 65536 };

typedef struct half {
    int file;
    char data[ROOM]; /* came in here, is to go out at the other end */
    size_t size;
} half;

typedef struct pair {
    bool used;
    half ends[2];
} pair;

typedef struct relay {
    int listener, control;
    const char *to;
    cable_mode mode;
    pair pairs[PAIRS];
} relay;

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    return address;
}

static void cut(pair *self)
{
    if (!self->used)
        return;
    self->used = false;
    close(self->ends[0].file);
    close(self->ends[1].file);
}

static void take(relay *self)
{
    int file = accept(self->listener, NULL, NULL);
    if (file < 0)
        return;
    struct sockaddr_un address = address_of(self->to);
    int out = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_plugged = self->mode != CABLE_UNPLUGGED &&
                      connect(out, (struct sockaddr *)&address, sizeof address) == 0;
    for (int i = 0; is_plugged && i < PAIRS; i++) {
        if (self->pairs[i].used)
            continue;
        self->pairs[i].used = true;
        self->pairs[i].ends[0] = (half){.file = file};
        self->pairs[i].ends[1] = (half){.file = out};
        return;
    }
    close(file);
    close(out);
}

static void obey(relay *self)
{
    char mode;
    if (read(self->control, &mode, 1) != 1)
        _exit(0);
    self->mode = (cable_mode)mode;
    for (int i = 0; i < PAIRS; i++)
        if (self->mode == CABLE_CUTS || self->mode == CABLE_UNPLUGGED)
            cut(&self->pairs[i]);
    if (write(self->control, &mode, 1) != 1)
        _exit(0);
}

/* One direction; false: an end is gone. */
static bool forward(half *from, half *to, short events)
{
    if (events & (POLLIN | POLLHUP | POLLERR) && from->size == 0) {
        ssize_t size = recv(from->file, from->data, ROOM, MSG_DONTWAIT);
        if (size <= 0)
            return false;
        from->size = (size_t)size;
    }
    if (from->size == 0)
        return true;
    ssize_t sent = send(to->file, from->data, from->size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0)
        return true; /* full: once more, when something happens */
    from->size -= (size_t)sent;
    memmove(from->data, from->data + sent, from->size);
    return true;
}

static void step(relay *self)
{
    struct pollfd files[2 + 2 * PAIRS] = {
        {.fd = self->control, .events = POLLIN}, {.fd = self->listener, .events = POLLIN}};
    bool passes = self->mode != CABLE_STALLS;
    bool waits = false;
    for (int i = 0; i < 2 * PAIRS; i++) {
        const pair *at = &self->pairs[i / 2];
        files[2 + i] = (struct pollfd){.fd = at->used && passes ? at->ends[i % 2].file : -1,
            .events = at->ends[i % 2].size == 0 ? POLLIN : 0};
        waits |= at->used && at->ends[i % 2].size != 0;
    }
    poll(files, 2 + 2 * PAIRS, waits && passes ? 1 : -1);
    for (int i = 0; passes && i < PAIRS; i++) {
        pair *at = &self->pairs[i];
        if (at->used && (!forward(&at->ends[0], &at->ends[1], files[2 + 2 * i].revents) ||
                            !forward(&at->ends[1], &at->ends[0], files[3 + 2 * i].revents)))
            cut(at);
    }
    if (files[1].revents != 0)
        take(self);
    if (files[0].revents != 0)
        obey(self);
}

bool cable_open(cable *self, const char *from, const char *to)
{
    static relay run; /* of the forked process */
    int control[2];
    struct sockaddr_un address = address_of(from);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unlink(from);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(listener, PAIRS) != 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control) != 0)
        return false;
    self->pid = fork();
    if (self->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(control[0]);
        run = (relay){.listener = listener, .control = control[1], .to = to, .mode = CABLE_PASSES};
        for (;;)
            step(&run);
    }
    close(control[1]);
    close(listener);
    self->control = control[0];
    return self->pid > 0;
}

void cable_do(cable *self, cable_mode mode)
{
    char word = (char)mode;
    if (write(self->control, &word, 1) != 1 || read(self->control, &word, 1) != 1)
        _exit(7); /* the cable is gone: nothing would be tested */
}

void cable_close(cable *self)
{
    if (self->pid <= 0)
        return;
    kill(self->pid, SIGKILL);
    waitpid(self->pid, NULL, 0);
    close(self->control);
    self->pid = 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passes bytes between clients and a server; see relay.h.
 *
 * Threads: step runs on the relay's own.
 */
#include "relay.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void close_pair(int *pair)
{
    for (int i = 0; i < 2; i++) {
        if (pair[i] >= 0)
            close(pair[i]);
        pair[i] = -1;
    }
}

static int connect_to(const relay *self)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr_in loopback = {.sin_family = AF_INET,
        .sin_port = htons((uint16_t)self->to_port),
        .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    bool is_local = self->path[0] != '\0';
    snprintf(local.sun_path, sizeof local.sun_path, "%.107s", self->path);
    const void *address = is_local ? (const void *)&local : (const void *)&loopback;
    socklen_t size = is_local ? sizeof local : sizeof loopback;
    int file = socket(is_local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (file >= 0 && connect(file, address, size) == 0)
        return file;
    if (file >= 0)
        close(file);
    return -1;
}

static void take_client(relay *self)
{
    int client = accept(self->listener, NULL, NULL), server = connect_to(self);
    for (int i = 0; i < RELAY_PAIRS; i++) {
        if (self->pairs[i][0] >= 0 || client < 0 || server < 0)
            continue;
        self->pairs[i][0] = client;
        self->pairs[i][1] = server;
        return;
    }
    if (client >= 0)
        close(client);
    if (server >= 0)
        close(server);
}

static bool pass(int from, int to)
{
    char bytes[16384];
    ssize_t size = recv(from, bytes, sizeof bytes, MSG_DONTWAIT);
    if (size <= 0)
        return false;
    for (ssize_t put = 0; put < size;) {
        ssize_t more = send(to, bytes + put, (size_t)(size - put), MSG_NOSIGNAL);
        if (more <= 0)
            return false;
        put += more;
    }
    return true;
}

static void drop_all(relay *self)
{
    for (int i = 0; i < RELAY_PAIRS; i++)
        close_pair(self->pairs[i]);
}

static void step(relay *self)
{
    struct pollfd files[1 + 2 * RELAY_PAIRS] = {{self->listener, POLLIN, 0}};
    for (int i = 0; i < RELAY_PAIRS; i++)
        for (int k = 0; k < 2; k++)
            files[1 + 2 * i + k] = (struct pollfd){self->pairs[i][k], POLLIN, 0};
    if (poll(files, 1 + 2 * RELAY_PAIRS, 5) <= 0 || atomic_load(&self->is_cut))
        return;
    poll(NULL, 0, atomic_load(&self->delay));
    for (int i = 0; i < RELAY_PAIRS; i++)
        for (int k = 0; k < 2; k++)
            if (self->pairs[i][0] >= 0 && files[1 + 2 * i + k].revents != 0 &&
                !pass(self->pairs[i][k], self->pairs[i][1 - k]))
                close_pair(self->pairs[i]);
    if (files[0].revents != 0)
        take_client(self);
}

static void *run(void *user)
{
    relay *self = user;
    bool was_cut = false;
    while (!atomic_load(&self->ends)) {
        bool is_cut = atomic_load(&self->is_cut);
        if (was_cut && !is_cut)
            drop_all(self);
        was_cut = is_cut;
        if (is_cut)
            poll(NULL, 0, 2);
        else
            step(self);
    }
    drop_all(self);
    return NULL;
}

bool relay_start(relay *self, const char *path, int to_port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    memset(self, 0, sizeof *self);
    memset(self->pairs, -1, sizeof self->pairs);
    self->to_port = to_port;
    if (path != NULL)
        snprintf(self->path, sizeof self->path, "%s", path);
    self->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (self->listener < 0 || bind(self->listener, (struct sockaddr *)&address, size) != 0 ||
        listen(self->listener, RELAY_PAIRS) != 0 ||
        getsockname(self->listener, (struct sockaddr *)&address, &size) != 0)
        return false;
    self->port = ntohs(address.sin_port);
    return pthread_create(&self->thread, NULL, run, self) == 0;
}

void relay_stop(relay *self)
{
    atomic_store(&self->ends, true);
    pthread_join(self->thread, NULL);
    close(self->listener);
}

void relay_cut(relay *self)
{
    atomic_store(&self->is_cut, true);
}

void relay_mend(relay *self)
{
    atomic_store(&self->is_cut, false);
}

void relay_slow(relay *self, int delay)
{
    atomic_store(&self->delay, delay);
}

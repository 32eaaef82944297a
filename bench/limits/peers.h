/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two processes on one machine, one core each, and a connection over loopback between them: what
 * the limits of messages between nodes share. Included by those limits.
 *
 * Invariants: the second process ends when the connection does; who forked it waits for that.
 * Threads: one in each process.
 */
#ifndef BENCH_PEERS_H
#define BENCH_PEERS_H

#include "limit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static inline void limit_must(bool done, const char *what)
{
    if (done)
        return;
    perror(what);
    exit(1);
}

static inline void limit_no_delay(int socket)
{
    int yes = 1;
    limit_must(setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) == 0, "no delay");
}

/* Forks; `serve` runs on the second core with its end of the connection. Returns the other end. */
static inline int limit_peers(void (*serve)(int socket), pid_t *ret_peer)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof at;
    limit_need_cores(2);
    int listener = socket(AF_INET, SOCK_STREAM, 0), end = socket(AF_INET, SOCK_STREAM, 0);
    limit_must(listener >= 0 && end >= 0, "socket");
    limit_must(bind(listener, (struct sockaddr *)&at, size) == 0, "bind");
    limit_must(listen(listener, 1) == 0, "listen");
    limit_must(getsockname(listener, (struct sockaddr *)&at, &size) == 0, "getsockname");
    *ret_peer = fork();
    limit_must(*ret_peer >= 0, "fork");
    if (*ret_peer == 0) {
        close(end);
        limit_pin(1);
        int socket = accept(listener, NULL, NULL);
        limit_must(socket >= 0, "accept");
        limit_no_delay(socket);
        serve(socket);
        _exit(0);
    }
    close(listener);
    limit_pin(0);
    limit_must(connect(end, (struct sockaddr *)&at, sizeof at) == 0, "connect");
    limit_no_delay(end);
    return end;
}

static inline void limit_peers_end(pid_t peer)
{
    int status = 0;
    limit_must(waitpid(peer, &status, 0) == peer && status == 0, "the second process");
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load over HTTP/1.1: one thread keeps connections to a port of this machine, each with one POST of
 * 64 bytes under way, for as long as it is told. The limit http_gateway and bench/gateway run it in
 * a process of its own.
 *
 * Invariants: each answer is a 200 that carries 64 bytes, else it ends the process.
 * Threads: one.
 */
#ifndef BENCH_HTTP_LOAD_H
#define BENCH_HTTP_LOAD_H

#include "limits/peers.h"

#include <fcntl.h>
#include <sys/epoll.h>

enum { HTTP_CONNECTIONS_MAX = 1024, HTTP_ANSWER_MAX = 4096 };

struct http_connection {
    int descriptor;
    size_t size;
    char answer[HTTP_ANSWER_MAX];
};

struct http_load {
    int epoll;
    size_t request_size;
    char request[1024];
    struct http_connection connections[HTTP_CONNECTIONS_MAX];
};

static inline void http_send(struct http_load *load, struct http_connection *connection)
{
    ssize_t sent = send(connection->descriptor, load->request, load->request_size, MSG_NOSIGNAL);
    limit_must(sent == (ssize_t)load->request_size, "send");
    connection->size = 0;
}

static inline void http_connect(
    struct http_load *load, struct http_connection *connection, int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connection->descriptor = socket(AF_INET, SOCK_STREAM, 0);
    limit_must(connection->descriptor >= 0, "socket");
    limit_must(connect(connection->descriptor, (struct sockaddr *)&at, sizeof at) == 0, "connect");
    limit_no_delay(connection->descriptor);
    fcntl(connection->descriptor, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    limit_must(
        epoll_ctl(load->epoll, EPOLL_CTL_ADD, connection->descriptor, &event) == 0, "epoll_ctl");
}

/* True: the answer is whole. */
static inline bool http_receive(struct http_connection *connection)
{
    char *data = connection->answer;
    ssize_t got = recv(
        connection->descriptor, data + connection->size, HTTP_ANSWER_MAX - 1 - connection->size, 0);
    limit_must(got > 0, "the server closed a connection");
    connection->size += (size_t)got;
    data[connection->size] = 0;
    const char *end = strstr(data, "\r\n\r\n");
    if (end == NULL || connection->size < (size_t)(end - data) + 4 + LIMIT_PAYLOAD)
        return false;
    if (memcmp(data, "HTTP/1.1 200", 12) != 0) {
        fprintf(stderr, "%s\n", data);
        exit(1);
    }
    return true;
}

/* Answers per second. */
static inline double http_load_run(
    struct http_load *load, int port, const char *path, int count, uint64_t run_ns)
{
    struct epoll_event events[HTTP_CONNECTIONS_MAX];
    uint64_t answered = 0, begin = 0, now = 0;
    load->epoll = epoll_create1(0);
    limit_must(load->epoll >= 0 && count <= HTTP_CONNECTIONS_MAX, "epoll_create1");
    load->request_size = (size_t)snprintf(load->request, sizeof load->request,
        "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/octet-stream\r\n"
        "Content-Length: %d\r\n\r\n%0*d",
        path, port, LIMIT_PAYLOAD, LIMIT_PAYLOAD, 1);
    for (int i = 0; i < count; i++)
        http_connect(load, &load->connections[i], port);
    for (int i = 0; i < count; i++)
        http_send(load, &load->connections[i]);
    /* A tenth goes by before anything is counted. */
    for (uint64_t start = limit_now_ns(); begin == 0 || now - begin < run_ns;
         now = limit_now_ns()) {
        if (begin == 0 && limit_now_ns() - start > run_ns / 10) {
            begin = limit_now_ns();
            answered = 0;
        }
        int ready = epoll_wait(load->epoll, events, HTTP_CONNECTIONS_MAX, 1000);
        limit_must(ready > 0, "nothing came for a second");
        for (int i = 0; i < ready; i++) {
            if (!http_receive(events[i].data.ptr))
                continue;
            http_send(load, events[i].data.ptr);
            answered++;
        }
    }
    return (double)answered * 1e9 / (double)(now - begin);
}

/* http_load_run in a process of its own. The server may run in this one. */
static inline double http_load(int port, const char *path, int count, uint64_t run_ns)
{
    static struct http_load load;
    int ends[2], status = 0;
    double value = 0;
    limit_must(pipe(ends) == 0, "pipe");
    pid_t child = fork();
    limit_must(child >= 0, "fork");
    if (child == 0) {
        value = http_load_run(&load, port, path, count, run_ns);
        _exit(write(ends[1], &value, sizeof value) != sizeof value);
    }
    close(ends[1]);
    limit_must(read(ends[0], &value, sizeof value) == sizeof value, "the load gave no figure");
    limit_must(waitpid(child, &status, 0) == child && status == 0, "the load failed");
    close(ends[0]);
    return value;
}

#endif

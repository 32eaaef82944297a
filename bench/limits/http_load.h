/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load over HTTP/1.1: one thread keeps connections to a port of this machine, each with one POST of
 * 64 bytes under way, for as long as it is told; or sends them at a rate, whether answers come or
 * not, and looks at how long they take. The limit http_gateway and bench/gateway run it in a
 * process of its own.
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
    bool is_busy;
    uint64_t due; /* when what is under way was to be sent */
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

static inline void http_open(struct http_load *load, int port, const char *path, int count)
{
    load->epoll = epoll_create1(0);
    limit_must(load->epoll >= 0 && count <= HTTP_CONNECTIONS_MAX, "epoll_create1");
    load->request_size = (size_t)snprintf(load->request, sizeof load->request,
        "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/octet-stream\r\n"
        "Content-Length: %d\r\n\r\n%0*d",
        path, port, LIMIT_PAYLOAD, LIMIT_PAYLOAD, 1);
    for (int i = 0; i < count; i++)
        http_connect(load, &load->connections[i], port);
}

/* Answers per second. */
static inline double http_load_run(
    struct http_load *load, int port, const char *path, int count, uint64_t run_ns)
{
    struct epoll_event events[HTTP_CONNECTIONS_MAX];
    uint64_t answered = 0, begin = 0, now = 0;
    http_open(load, port, path, count);
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

static inline int http_by_size(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

/* Sends what is due on connections that are free; what finds none waits, and its time counts. */
static inline uint64_t http_send_due(
    struct http_load *load, int count, uint64_t sent, uint64_t begin, double interval, uint64_t now)
{
    for (int i = 0; i < count; i++) {
        uint64_t due = begin + (uint64_t)((double)sent * interval);
        if (due > now)
            break;
        struct http_connection *free = &load->connections[i];
        if (free->is_busy)
            continue;
        free->is_busy = true;
        free->due = due;
        http_send(load, free);
        sent++;
    }
    return sent;
}

/* Microseconds from when it was due until its answer is here, of the 99th of a hundred, at so many
 * a second. */
static inline double http_load_p99(
    struct http_load *load, int port, const char *path, int count, uint64_t run_ns, double rate)
{
    struct epoll_event events[HTTP_CONNECTIONS_MAX];
    const double interval = 1e9 / rate;
    size_t most = (size_t)((double)run_ns * 1.1 / interval) + 1, taken = 0;
    double *times = calloc(most, sizeof *times);
    limit_must(times != NULL, "memory");
    http_open(load, port, path, count);
    uint64_t begin = limit_now_ns(), now = begin, sent = 0;
    while (now - begin < run_ns + run_ns / 10) {
        sent = http_send_due(load, count, sent, begin, interval, now);
        uint64_t next = begin + (uint64_t)((double)sent * interval);
        now = limit_now_ns();
        const struct timespec wait = {.tv_nsec = next > now ? (long)(next - now) % 1000000000 : 0};
        int ready = epoll_pwait2(load->epoll, events, HTTP_CONNECTIONS_MAX, &wait, NULL);
        limit_must(ready >= 0, "epoll_pwait2");
        now = limit_now_ns();
        for (int i = 0; i < ready; i++) {
            struct http_connection *one = events[i].data.ptr;
            if (!http_receive(one))
                continue;
            one->is_busy = false;
            if (one->due - begin > run_ns / 10 && taken < most) /* a tenth goes by first */
                times[taken++] = (double)(now - one->due) / 1000;
        }
    }
    limit_must(taken != 0, "nothing was answered");
    qsort(times, taken, sizeof *times, http_by_size);
    double p99 = times[taken * 99 / 100];
    free(times);
    return p99;
}

/* http_load_run in a process of its own, or http_load_p99, with a rate that is not 0. The server
 * may run in this one. */
static inline double http_load(int port, const char *path, int count, uint64_t run_ns, double rate)
{
    static struct http_load load;
    int ends[2], status = 0;
    double value = 0;
    limit_must(pipe(ends) == 0, "pipe");
    pid_t child = fork();
    limit_must(child >= 0, "fork");
    if (child == 0) {
        value = rate != 0 ? http_load_p99(&load, port, path, count, run_ns, rate)
                          : http_load_run(&load, port, path, count, run_ns);
        _exit(write(ends[1], &value, sizeof value) != sizeof value);
    }
    close(ends[1]);
    limit_must(read(ends[0], &value, sizeof value) == sizeof value, "the load gave no figure");
    limit_must(waitpid(child, &status, 0) == child && status == 0, "the load failed");
    close(ends[0]);
    return value;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends bytes to a server of this machine as they are, as no HTTP client would, and prints what
 * comes back. tests/gateway compiles it.
 *
 *   raw_http PORT COUNT       sends standard input, and prints what comes until so many answers are
 *                             whole, or the server closes: then it says so; 0: until it closes
 *   raw_http PORT hold COUNT PATH CODE
 *                             opens so many connections, says "held", waits for a line on standard
 *                             input, then asks for the path on each until it gets that code, and
 *                             says how many did
 *   raw_http PORT reset PATH  asks for it, says "held", waits for a line, and resets the connection
 *   raw_http PORT flee COUNT PATH
 *                             asks for it and resets the connection at once, so many times
 *   raw_http PORT drip        sends standard input, then a byte each 100 ms, and says for how many
 *                             seconds the server bore it: 60 at most
 *   raw_http PORT deaf PATH   the same by GET: it reads nothing meanwhile
 *   raw_http PORT fuzz COUNT SEED
 *                             sends standard input so many times, with bytes of it changed, put in,
 *                             left out or repeated, and ends its side; prints how often each code
 *                             came, 000 for none
 *   raw_http PORT late COUNT STREAM PATH BODY
 *                             opens the stream of that path, then calls so many times by POST, one
 *                             after the other, and prints how long after the answer an event came:
 *                             the median, the 99th of a hundred and the last, in microseconds
 *
 * Invariants: it ends by itself: nothing is waited for longer than it says, or 20 seconds.
 * Threads: one.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 20000, ROOM = 8 << 20 };

static char out[ROOM], in[ROOM];

static void must(int holds, const char *what)
{
    if (holds) return;
    perror(what);
    exit(1);
}

static int open_connection(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int descriptor = socket(AF_INET, SOCK_STREAM, 0);
    must(descriptor >= 0, "socket");
    must(connect(descriptor, (struct sockaddr *)&address, sizeof address) == 0, "connect");
    return descriptor;
}

/* Size of the answer that begins at `data`; 0: it is not whole. */
static size_t answer_size(const char *data)
{
    const char *end = strstr(data, "\r\n\r\n");
    if (end == NULL) return 0;
    size_t head = (size_t)(end - data) + 4;
    const char *length = strcasestr(data, "content-length:");
    size_t body = length != NULL && length < end ? strtoul(length + 15, NULL, 10) : 0;
    return strlen(data) >= head + body ? head + body : 0;
}

/* False: nothing came in time, or it is closed. */
static int receive(int descriptor, size_t *size)
{
    struct pollfd wait = {descriptor, POLLIN, 0};
    must(poll(&wait, 1, PATIENCE_MS) == 1, "nothing came");
    ssize_t got = recv(descriptor, in + *size, ROOM - 1 - *size, 0);
    if (got <= 0) return 0;
    *size += (size_t)got;
    in[*size] = 0;
    return 1;
}

static int send_all(int port, long count)
{
    int descriptor = open_connection(port);
    size_t size = fread(out, 1, ROOM, stdin), sent = 0, got = 0, at = 0;
    while (sent < size) {
        ssize_t part = send(descriptor, out + sent, size - sent, MSG_NOSIGNAL);
        if (part <= 0) break; /* it is closed already: what it said is printed */
        sent += (size_t)part;
    }
    for (long seen = 0; count == 0 || seen < count;) {
        size_t step = answer_size(in + at);
        if (step != 0) {
            at += step;
            seen++;
        } else if (!receive(descriptor, &got)) {
            fwrite(in, 1, got, stdout);
            printf("(closed)\n");
            return 0;
        }
    }
    fwrite(in, 1, got, stdout);
    return 0;
}

/* Asks until the code comes. */
static int is_served(int descriptor, const char *path, const char *code)
{
    int size = snprintf(out, ROOM, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
    for (time_t until = time(NULL) + PATIENCE_MS / 1000; time(NULL) < until;) {
        size_t got = 0;
        in[0] = 0;
        if (send(descriptor, out, (size_t)size, MSG_NOSIGNAL) != size) return 0;
        while (answer_size(in) == 0)
            if (!receive(descriptor, &got)) return 0;
        if (strncmp(in + strlen("HTTP/1.1 "), code, 3) == 0) return 1;
    }
    return 0;
}

static int hold(int port, long count, const char *path, const char *code)
{
    struct rlimit limit = {(rlim_t)count + 64, (rlim_t)count + 64};
    int *list = calloc((size_t)count, sizeof *list);
    long served = 0;
    must(list != NULL, "memory");
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    for (long i = 0; i < count; i++) list[i] = open_connection(port);
    printf("held\n");
    fflush(stdout);
    (void)getchar();
    for (long i = 0; i < count; i++) served += is_served(list[i], path, code);
    printf("served %ld\n", served);
    return 0;
}

static int reset(int port, const char *path, int waits, int is_deaf)
{
    const struct linger now = {.l_onoff = 1};
    int descriptor = open_connection(port);
    int size = snprintf(out, ROOM, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s",
                        is_deaf ? "GET" : "POST", path,
                        is_deaf ? "\r\n"
                                : "Troupe-Timeout: 10m\r\nContent-Length: 6\r\n\r\n600000");
    must(send(descriptor, out, (size_t)size, MSG_NOSIGNAL) == size, "send");
    if (waits) {
        printf("held\n");
        fflush(stdout);
        (void)getchar();
    }
    must(setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0, "linger");
    close(descriptor);
    return 0;
}

static int drip(int port)
{
    int descriptor = open_connection(port);
    ssize_t size = (ssize_t)fread(out, 1, ROOM, stdin);
    must(send(descriptor, out, (size_t)size, MSG_NOSIGNAL) == size, "send");
    time_t begin = time(NULL);
    for (struct pollfd wait = {descriptor, POLLIN, 0}; time(NULL) - begin < 60;) {
        if (poll(&wait, 1, 100) == 1 && recv(descriptor, in, ROOM, 0) <= 0) break;
        if (send(descriptor, "x", 1, MSG_NOSIGNAL) != 1) break;
    }
    printf("%ld\n", (long)(time(NULL) - begin));
    return 0;
}

static uint64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int by_size(const void *one, const void *other)
{
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
    return (a > b) - (a < b);
}

/* Reads until an event is there. */
static void await_event(int descriptor)
{
    in[0] = 0;
    for (size_t size = 0; strstr(in, "event: update") == NULL;)
        must(receive(descriptor, &size), "the stream ended");
}

static int late(int port, long count, const char *stream, const char *path, const char *body)
{
    uint64_t *times = calloc((size_t)count, sizeof *times);
    int caller = open_connection(port), reader = open_connection(port);
    int size = snprintf(out, ROOM, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", stream);
    size_t got = 0;
    must(times != NULL && send(reader, out, (size_t)size, MSG_NOSIGNAL) == size, "send");
    while (strstr(in, "\r\n\r\n") == NULL) must(receive(reader, &got), "no stream");
    size = snprintf(out, ROOM,
                    "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s", path,
                    strlen(body), body);
    for (long i = 0; i < count; i++) {
        (void)poll(NULL, 0, 15 + (int)(i % 7)); /* a pace that no look keeps */
        got = 0, in[0] = 0;
        must(send(caller, out, (size_t)size, MSG_NOSIGNAL) == size, "send");
        while (answer_size(in) == 0) must(receive(caller, &got), "no answer");
        must(strncmp(in, "HTTP/1.1 200", 12) == 0, "not 200");
        uint64_t begin = now_us();
        await_event(reader);
        times[i] = now_us() - begin;
    }
    qsort(times, (size_t)count, sizeof *times, by_size);
    printf("%llu %llu %llu\n", (unsigned long long)times[count / 2],
           (unsigned long long)times[count * 99 / 100], (unsigned long long)times[count - 1]);
    free(times);
    return 0;
}

/* xorshift: the same bytes for the same seed */
static size_t draw(uint64_t *seed, size_t below)
{
    *seed ^= *seed << 13, *seed ^= *seed >> 7, *seed ^= *seed << 17;
    return (size_t)(*seed % below);
}

/* One change of `out`; returns its new size. */
static size_t change(uint64_t *seed, size_t size)
{
    static const char bytes[] = "\r\n :;,%/\\.?#\0\t\x7f\xc3\xff" "09aZ-";
    size_t at = draw(seed, size), part = 1 + draw(seed, 40);
    if (part > size - at) part = size - at;
    switch (draw(seed, 4)) {
    case 0: out[at] = bytes[draw(seed, sizeof bytes)]; return size;
    case 1: out[at] = (char)draw(seed, 256); return size;
    case 2:
        memmove(out + at, out + at + part, size - at - part);
        return size - part + (size == part);
    default: memmove(out + at + part, out + at, size - at); return size + part;
    }
}

static int fuzz(int port, long count, uint64_t seed)
{
    static char given[1 << 16];
    static long codes[1000];
    size_t size = fread(given, 1, sizeof given / 2, stdin);
    int *list = calloc((size_t)count, sizeof *list);
    must(list != NULL && size != 0 && seed != 0, "nothing to send");
    for (long i = 0; i < count; i++) {
        size_t changed = size;
        list[i] = open_connection(port);
        memcpy(out, given, size);
        for (size_t k = 1 + draw(&seed, 4); k != 0; k--) changed = change(&seed, changed);
        (void)!send(list[i], out, changed, MSG_NOSIGNAL);
        (void)shutdown(list[i], SHUT_WR);
    }
    for (long i = 0; i < count; i++) { /* half a request is given up after a while: all at once */
        size_t got = 0;
        in[0] = 0;
        while (receive(list[i], &got)) {}
        int code = strncmp(in, "HTTP/1.", 7) == 0 ? atoi(in + 9) : 0;
        codes[code > 0 && code < 1000 ? code : 0]++;
        close(list[i]);
    }
    free(list);
    for (int i = 0; i < 1000; i++)
        if (codes[i] != 0) printf("%03d %ld\n", i, codes[i]);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[2], "fuzz") == 0) {
        return fuzz(atoi(argv[1]), atol(argv[3]), strtoull(argv[4], NULL, 10));
    }
    if (argc == 7 && strcmp(argv[2], "late") == 0) {
        return late(atoi(argv[1]), atol(argv[3]), argv[4], argv[5], argv[6]);
    }
    if (argc == 6 && strcmp(argv[2], "hold") == 0) {
        return hold(atoi(argv[1]), atol(argv[3]), argv[4], argv[5]);
    }
    if (argc == 4 && strcmp(argv[2], "reset") == 0) return reset(atoi(argv[1]), argv[3], 1, 0);
    if (argc == 4 && strcmp(argv[2], "deaf") == 0) return reset(atoi(argv[1]), argv[3], 1, 1);
    if (argc == 5 && strcmp(argv[2], "flee") == 0) {
        for (long i = atol(argv[3]); i > 0; i--) (void)reset(atoi(argv[1]), argv[4], 0, 0);
        return 0;
    }
    if (argc == 3 && strcmp(argv[2], "drip") == 0) return drip(atoi(argv[1]));
    if (argc == 3) return send_all(atoi(argv[1]), atol(argv[2]));
    return 2;
}

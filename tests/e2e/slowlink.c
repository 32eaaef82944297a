/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A slow link: a proxy for TCP that hands on what it gets after a delay, in order, or nothing at
 * all while it is stalled.
 *
 *   slowlink LISTEN-IP PORT TARGET-IP PORT FILE
 *
 * FILE has the milliseconds of delay of each direction; -1: nothing goes on, nor is read. It is
 * read again a hundred times a second. Ends with SIGTERM. For tests of clusters.
 *
 * Bounded: PAIRS_MAX connections, more are closed; CHUNKS of each direction are on their way, then
 * it reads no more. Threads: one.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PAIRS_MAX = 128, CHUNKS = 64, CHUNK = 16384 };

typedef struct chunk {
    int64_t due;
    size_t size, done;
    char bytes[CHUNK];
} chunk;

typedef struct way {
    int from, to;
    bool ended; /* nothing more comes: `to` hears of it behind the last chunk */
    unsigned first, count;
    chunk *ring;
} way;

typedef struct pair {
    bool used;
    way ways[2];
} pair;

static pair pairs[PAIRS_MAX];
static int delay;

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void read_delay(const char *path)
{
    FILE *file = fopen(path, "r");
    int value;
    if (file == NULL)
        return;
    if (fscanf(file, "%d", &value) == 1)
        delay = value;
    fclose(file);
}

static struct sockaddr_in address_of(const char *ip, const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    if (inet_pton(AF_INET, ip, &address.sin_addr) != 1) {
        fprintf(stderr, "slowlink: %s is no address\n", ip);
        exit(2);
    }
    return address;
}

static void drop(pair *self)
{
    for (int i = 0; i < 2; i++)
        free(self->ways[i].ring);
    close(self->ways[0].from);
    close(self->ways[0].to);
    memset(self, 0, sizeof(*self));
}

static void take_guest(int door, const struct sockaddr_in *target)
{
    int guest = accept4(door, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    pair *self = pairs;
    while (self < pairs + PAIRS_MAX && self->used)
        self++;
    int host = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (guest < 0 || self == pairs + PAIRS_MAX || host < 0 ||
        connect(host, (const struct sockaddr *)target, sizeof(*target)) != 0) {
        close(guest);
        close(host);
        return;
    }
    *self =
        (pair){.used = true, .ways = {{.from = guest, .to = host}, {.from = host, .to = guest}}};
    for (int i = 0; i < 2; i++)
        self->ways[i].ring = calloc(CHUNKS, sizeof(chunk));
}

/* False: the pair is of no use any more. */
static bool read_way(way *self)
{
    chunk *next = &self->ring[(self->first + self->count) % CHUNKS];
    ssize_t got = recv(self->from, next->bytes, CHUNK, MSG_DONTWAIT);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    if (got == 0) {
        self->ended = true;
        return true;
    }
    next->size = (size_t)got;
    next->done = 0;
    next->due = now() + delay;
    self->count++;
    return true;
}

static bool write_way(way *self)
{
    while (delay >= 0 && self->count != 0 && self->ring[self->first].due <= now()) {
        chunk *oldest = &self->ring[self->first];
        ssize_t sent = send(self->to, oldest->bytes + oldest->done, oldest->size - oldest->done,
            MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0)
            return errno == EAGAIN || errno == EINTR;
        oldest->done += (size_t)sent;
        if (oldest->done < oldest->size)
            return true;
        self->first = (self->first + 1) % CHUNKS;
        self->count--;
    }
    return !self->ended || self->count != 0;
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: slowlink LISTEN-IP PORT TARGET-IP PORT FILE\n");
        return 2;
    }
    struct sockaddr_in own = address_of(argv[1], argv[2]), target = address_of(argv[3], argv[4]);
    int door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (bind(door, (const struct sockaddr *)&own, sizeof(own)) != 0 || listen(door, 64) != 0) {
        perror("slowlink");
        return 1;
    }
    for (;;) {
        struct pollfd list[1 + 2 * PAIRS_MAX] = {{.fd = door, .events = POLLIN}};
        read_delay(argv[5]);
        for (int i = 0; i < 2 * PAIRS_MAX; i++) {
            const way *way = &pairs[i / 2].ways[i % 2];
            bool reads = pairs[i / 2].used && delay >= 0 && !way->ended && way->count < CHUNKS;
            list[1 + i] = (struct pollfd){.fd = reads ? way->from : -1, .events = POLLIN};
        }
        if (poll(list, 1 + 2 * PAIRS_MAX, delay > 0 ? 1 : 10) < 0)
            continue;
        if (list[0].revents != 0)
            take_guest(door, &target);
        for (int i = 0; i < 2 * PAIRS_MAX; i++) {
            pair *self = &pairs[i / 2];
            way *way = &self->ways[i % 2];
            if (self->used &&
                ((list[1 + i].fd >= 0 && list[1 + i].revents != 0 && !read_way(way)) ||
                    !write_way(way)))
                drop(self);
        }
    }
}

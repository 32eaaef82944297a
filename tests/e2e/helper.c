/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the shell cannot do in the tests of the programs: reads JSON, speaks raw to a socket, makes
 * load that knows what it was promised. Not a test itself; cli_test.sh compiles and calls it.
 *
 *   helper get PATH            JSON on stdin: prints the value at a.b.0.c; fails if absent
 *   helper raw SOCKET          sends stdin as it is, shuts down writing, prints what comes
 *   helper many SOCKET N       opens N connections; prints what the last one gets
 *   helper deaf SOCKET         asks and does not read until nothing more is taken; then reads all
 *                              of it: "sent N answered N"
 *   helper notify SOCKET LAST  prints each datagram that comes, up to the one that is LAST
 *   helper load SOCKET CLIENTS asks and tells actors until the daemon has gone; prints what it was
 *                              promised: "accepted N closed N unanswered N strange N"
 *
 * Invariants: every failure is told on standard error and by exit code 1. Threads: one.
 */
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int fail(const char *what)
{
    fprintf(stderr, "helper: %s: %s\n", what, errno != 0 ? strerror(errno) : "failed");
    return 1;
}

static int open_socket(const char *path, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int descriptor = socket(AF_UNIX, type, 0);
    int result = type == SOCK_DGRAM
                     ? bind(descriptor, (struct sockaddr *)&address, sizeof(address))
                     : connect(descriptor, (struct sockaddr *)&address, sizeof(address));
    if (result == 0) return descriptor;
    close(descriptor);
    return -1;
}

/* ---- get ---- */

static int run_get(char *path)
{
    json_error_t error;
    json_t *root = json_loadf(stdin, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    const json_t *at = root;
    if (root == NULL) {
        fprintf(stderr, "helper: no JSON: %s\n", error.text);
        return 1;
    }
    for (char *name = strtok(path, "."); name != NULL && at != NULL; name = strtok(NULL, ".")) {
        at = json_is_array(at) ? json_array_get(at, strtoul(name, NULL, 10))
                               : json_object_get(at, name);
    }
    if (json_is_string(at)) puts(json_string_value(at));
    else if (at != NULL) json_dumpf(at, stdout, JSON_ENCODE_ANY | JSON_COMPACT), putchar('\n');
    json_decref(root);
    return at == NULL;
}

/* ---- raw, many, notify ---- */

/* Writes and reads at once: a peer that waits for its answers to be read must not stop us both. */
static int run_raw(const char *path)
{
    static char out[1 << 16];
    static char in[1 << 16];
    size_t at = 0;
    size_t size = 0;
    bool is_writing = true;
    int descriptor = open_socket(path, SOCK_STREAM);
    if (descriptor < 0) return fail(path);
    for (;;) {
        if (is_writing && at == size) {
            at = 0;
            size = fread(out, 1, sizeof(out), stdin);
            if (size == 0) {
                is_writing = false;
                shutdown(descriptor, SHUT_WR);
            }
        }
        struct pollfd wait = {descriptor, (short)(POLLIN | (is_writing ? POLLOUT : 0)), 0};
        if (poll(&wait, 1, 30000) <= 0) return fail("nothing comes");
        if (is_writing && (wait.revents & POLLOUT) != 0) {
            ssize_t sent = send(descriptor, out + at, size - at, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (sent > 0) at += (size_t)sent;
            else if (errno != EAGAIN) is_writing = false;
        }
        if ((wait.revents & (POLLIN | POLLHUP)) != 0) {
            ssize_t got = recv(descriptor, in, sizeof(in), MSG_DONTWAIT);
            /* A reset: the peer closed with something of ours unread. */
            if (got == 0 || (got < 0 && errno == ECONNRESET)) return 0;
            if (got > 0) fwrite(in, 1, (size_t)got, stdout);
            else if (errno != EAGAIN) return fail("recv");
        }
    }
}

static int run_many(const char *path, int count)
{
    char line[512];
    int descriptor = -1;
    for (int i = 0; i < count; i++) {
        descriptor = open_socket(path, SOCK_STREAM); /* left open: that is the point */
        if (descriptor < 0) return fail(path);
    }
    ssize_t size = recv(descriptor, line, sizeof(line), 0);
    if (size <= 0) return fail("recv");
    fwrite(line, 1, (size_t)size, stdout);
    return 0;
}

/* A caller that does not read is stopped by the daemon, and loses nothing when it reads again. */
static int run_deaf(const char *path)
{
    static char line[100000];
    static char in[1 << 16];
    long sent = 0;
    long answered = 0;
    int size = snprintf(line, sizeof(line), "{\"do\":\"ask\",\"actor\":\"counter/deaf\","
                        "\"method\":\"echo\",\"payload_text\":\"%090000d\"}\n", 7);
    int descriptor = open_socket(path, SOCK_STREAM);
    struct pollfd wait = {descriptor, POLLOUT, 0};
    if (descriptor < 0) return fail(path);
    ssize_t left = size;
    while (sent < 20000 && poll(&wait, 1, 1000) > 0) {
        ssize_t taken = send(descriptor, line + (size - left), (size_t)left,
                             MSG_NOSIGNAL | MSG_DONTWAIT);
        if (taken < 0 && errno != EAGAIN) return fail("send");
        if (taken > 0) left -= taken;
        if (left == 0) sent++, left = size;
    }
    wait.events = POLLIN;
    while (answered < sent && poll(&wait, 1, 10000) > 0) {
        ssize_t got = recv(descriptor, in, sizeof(in), 0);
        if (got <= 0) return fail("recv");
        for (ssize_t i = 0; i < got; i++) answered += in[i] == '\n';
    }
    printf("sent %ld answered %ld\n", sent, answered);
    return sent == answered && sent < 20000 ? 0 : fail("deaf");
}

static int run_notify(const char *path, const char *last)
{
    char text[256] = "";
    int descriptor = open_socket(path, SOCK_DGRAM);
    if (descriptor < 0) return fail(path);
    while (strcmp(text, last) != 0) {
        ssize_t size = recv(descriptor, text, sizeof(text) - 1, 0);
        if (size <= 0) return fail("recv");
        text[size] = 0;
        printf("%s\n", text);
        fflush(stdout);
    }
    return 0;
}

/* ---- load ---- */

#define CLIENTS_MAX 16
#define DEPTH 32 /* requests of one client that wait for their answers */

struct client {
    int descriptor;
    int number;
    long sent;
    long answered;
    size_t size;
    char buffer[1 << 16];
    bool may_write;
};

struct promises {
    long accepted, closed, unanswered, strange;
};

static void write_request(struct client *client)
{
    char line[256];
    long n = client->sent;
    int size = snprintf(line, sizeof(line),
                        "{\"id\":%ld,\"do\":\"%s\",\"actor\":\"counter/%d-%ld\","
                        "\"method\":\"%s\"}\n",
                        n, n % 3 == 0 ? "tell" : "ask", client->number, n % 7,
                        n % 11 == 0 ? "count_slowly" : "count");
    /* A line is sent whole: the daemon reads as long as answers are read. */
    if (send(client->descriptor, line, (size_t)size, MSG_NOSIGNAL) == size) client->sent++;
    else client->may_write = false;
}

static void take_answer(struct client *client, struct promises *sum, const char *line, size_t size)
{
    json_t *root = json_loadb(line, size, 0, NULL);
    const char *status = json_string_value(json_object_get(root, "status"));
    client->answered++;
    if (json_is_true(json_object_get(root, "ok"))) sum->accepted++;
    else if (status != NULL && strcmp(status, "CLOSED") == 0) sum->closed++;
    else {
        sum->strange++;
        fprintf(stderr, "helper: %.*s\n", (int)size, line);
    }
    json_decref(root);
}

/* False: the daemon has closed the connection. */
static bool read_answers(struct client *client, struct promises *sum)
{
    ssize_t got = recv(client->descriptor, client->buffer + client->size,
                       sizeof(client->buffer) - client->size, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return true;
    if (got <= 0) return false;
    client->size += (size_t)got;
    char *begin = client->buffer;
    for (;;) {
        size_t left = client->size - (size_t)(begin - client->buffer);
        char *end = memchr(begin, '\n', left);
        if (end == NULL) {
            memmove(client->buffer, begin, left);
            client->size = left;
            return true;
        }
        take_answer(client, sum, begin, (size_t)(end - begin));
        begin = end + 1;
    }
}

static int run_load(const char *path, int count)
{
    static struct client clients[CLIENTS_MAX];
    struct promises sum = {0};
    int open = 0;
    for (int i = 0; i < count && i < CLIENTS_MAX; i++) {
        clients[i] = (struct client){.number = i, .may_write = true};
        clients[i].descriptor = open_socket(path, SOCK_STREAM);
        if (clients[i].descriptor < 0) return fail(path);
        open++;
    }
    while (open > 0) {
        struct pollfd waits[CLIENTS_MAX] = {{0}};
        for (int i = 0; i < count; i++) {
            struct client *client = &clients[i];
            while (client->descriptor >= 0 && client->may_write &&
                   client->sent - client->answered < DEPTH) {
                write_request(client);
            }
            waits[i] = (struct pollfd){client->descriptor, POLLIN, 0};
        }
        if (poll(waits, (nfds_t)count, 30000) <= 0) return fail("nothing comes");
        for (int i = 0; i < count; i++) {
            struct client *client = &clients[i];
            if (waits[i].revents == 0 || read_answers(client, &sum)) continue;
            sum.unanswered += client->sent - client->answered;
            close(client->descriptor);
            client->descriptor = -1;
            open--;
        }
    }
    printf("accepted %ld closed %ld unanswered %ld strange %ld\n", sum.accepted, sum.closed,
           sum.unanswered, sum.strange);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "get") == 0) return run_get(argv[2]);
    if (argc == 3 && strcmp(argv[1], "raw") == 0) return run_raw(argv[2]);
    if (argc == 4 && strcmp(argv[1], "many") == 0) return run_many(argv[2], atoi(argv[3]));
    if (argc == 3 && strcmp(argv[1], "deaf") == 0) return run_deaf(argv[2]);
    if (argc == 4 && strcmp(argv[1], "notify") == 0) return run_notify(argv[2], argv[3]);
    if (argc == 4 && strcmp(argv[1], "load") == 0) return run_load(argv[2], atoi(argv[3]));
    fputs("helper: see the head of helper.c\n", stderr);
    return 2;
}

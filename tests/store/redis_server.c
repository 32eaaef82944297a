/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A redis-server for tests; see redis_server.h. It is talked to in the plainest form of Redis'
 * protocol, without a client library: this file is linked to the tests of other providers too.
 *
 * Threads: the test's one.
 */
#include "redis_server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MOST_OPTIONS = 16 };

/* An answer is a line, or what a first line `$size` announces. */
static bool is_whole(const char *answer, size_t got)
{
    const char *end = memchr(answer, '\n', got);
    if (end == NULL || answer[0] != '$')
        return end != NULL;
    return got >= (size_t)(end + 1 - answer) + strtoul(answer + 1, NULL, 10) + 2;
}

/* Sends words and reads the answer. */
static bool ask(const char *path, const char *const *words, char *out, size_t size)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval limit = {.tv_sec = 10};
    char text[512];
    size_t length = 0, got = 0;
    for (size_t i = 0; words[i] != NULL; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "%s ", words[i]);
    length += (size_t)snprintf(text + length, sizeof text - length, "\r\n");
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int file = socket(AF_UNIX, SOCK_STREAM, 0);
    setsockopt(file, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    bool good = connect(file, (struct sockaddr *)&address, sizeof address) == 0 &&
                send(file, text, length, MSG_NOSIGNAL) == (ssize_t)length;
    while (good && got + 1 < size) {
        ssize_t more = recv(file, out + got, size - 1 - got, 0);
        good = more > 0;
        if (good)
            got += (size_t)more;
        if (good && is_whole(out, got))
            break;
    }
    close(file);
    out[got] = '\0';
    return good;
}

bool redis_server_ask(redis_server *self, const char *const *words, char *out, size_t size)
{
    return ask(self->socket, words, out, size) && out[0] != '-';
}

bool redis_server_say(redis_server *self, const char *const *words)
{
    char answer[256];
    return redis_server_ask(self, words, answer, sizeof answer);
}

/* Answers, and not that it still loads. */
static bool answers(void *user)
{
    redis_server *self = user;
    char answer[256];
    return ask(self->socket, (const char *const[]){"PING", NULL}, answer, sizeof answer) &&
           (answer[0] == '+' || strncmp(answer, "-NOAUTH", 7) == 0);
}

bool redis_server_start(redis_server *self, const char *const *options)
{
    char port[16];
    const char *argv[MOST_OPTIONS + 24];
    size_t count = 0;
    if (!server_find("redis-server", "/usr/sbin", self->program, sizeof self->program)) {
        fprintf(stderr, "FAILED: redis-server is not installed (make deps-test)\n");
        return false;
    }
    if (self->server.folder[0] == '\0' && !server_make_folder(&self->server, "redis"))
        return false;
    snprintf(self->socket, sizeof self->socket, "%s/socket", self->server.folder);
    snprintf(port, sizeof port, "%d", self->port);
    const char *const fixed[] = {self->program, "--unixsocket", self->socket, "--port", port,
        "--bind", "127.0.0.1", "--dir", self->server.folder, "--appendonly", "yes", "--appendfsync",
        "always", "--save", ""};
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        argv[count++] = fixed[i];
    for (size_t i = 0; options != NULL && options[i] != NULL && i < MOST_OPTIONS; i++)
        argv[count++] = options[i];
    argv[count] = NULL;
    return server_start(&self->server, argv) && server_await(answers, self, 30);
}

bool redis_server_clean(redis_server *self)
{
    return redis_server_say(self, (const char *const[]){"FLUSHALL", NULL});
}

void redis_server_remove(redis_server *self)
{
    server_end(&self->server, SIGKILL);
    server_remove_folder(&self->server);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of callers: see link.h, also for invariants and threads. */
#include "shared/link.h"

#include "shared/admin_codec.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LINK_SECONDS  10
#define USUAL_SECONDS 30 /* ask_timeout, if nobody says another one */
#define GRACE_SECONDS 5
#define ANSWER_MAX    ((size_t)65 * 1024 * 1024) /* the daemon's longest answer fits */

bool cmd_link_is_given(const char *text)
{
    return text != NULL && text[0] != 0;
}

/* 0, or the reason. A node that takes no connections is waited for: its queue may be full. */
static int connect_near(int descriptor, const struct sockaddr_un *address)
{
    uint64_t until = cmd_stream_now() + TROUPE_SECONDS(LINK_SECONDS);
    for (;;) {
        uint64_t now = cmd_stream_now();
        if (now >= until) return ETIMEDOUT;
        const struct timeval left = {.tv_sec = (time_t)((until - now) / TROUPE_SECONDS(1)),
                                     .tv_usec = (suseconds_t)((until - now) / 1000 % 1000000) | 1};
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &left, sizeof(left));
        if (connect(descriptor, (const struct sockaddr *)address, sizeof(*address)) == 0) return 0;
        if (errno != EINTR && errno != EAGAIN) return errno;
    }
}

static troupe_status open_near(const char *path, cmd_stream *ret_link, char *error,
                               size_t error_size)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path[0] == 0 || strlen(path) >= sizeof(address.sun_path)) {
        snprintf(error, error_size, "the path of a socket has 1 to %zu bytes",
                 sizeof(address.sun_path) - 1);
        return TROUPE_USAGE;
    }
    memcpy(address.sun_path, path, strlen(path));
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int reason = descriptor >= 0 ? connect_near(descriptor, &address) : errno;
    if (reason == 0) {
        *ret_link = (cmd_stream){.descriptor = descriptor};
        return TROUPE_OK;
    }
    snprintf(error, error_size, "no node answers at %s (%s)", path, strerror(reason));
    if (descriptor >= 0) close(descriptor);
    return TROUPE_UNAVAILABLE;
}

/* A peer that has gone without a word is found out in half a minute. */
static void look_after(int descriptor)
{
    static const struct {
        int level, option, value;
    } all[] = {{SOL_SOCKET, SO_KEEPALIVE, 1}, {IPPROTO_TCP, TCP_KEEPIDLE, 15},
               {IPPROTO_TCP, TCP_KEEPINTVL, 5}, {IPPROTO_TCP, TCP_KEEPCNT, 3},
               {IPPROTO_TCP, TCP_USER_TIMEOUT, 30000}};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        setsockopt(descriptor, all[i].level, all[i].option, &all[i].value, sizeof(int));
    }
}

/* {"token":"..."}, the first line there. */
static troupe_status show_token(const char *path, cmd_stream *link, char *error, size_t error_size)
{
    char token[CMD_TOKEN_MAX + 1];
    cmd_bytes line = {0};
    if (!cmd_token_read(path, token, error, error_size)) return TROUPE_USAGE;
    cmd_bytes_text(&line, "{\"token\":");
    cmd_bytes_json(&line, troupe_str(token));
    cmd_bytes_text(&line, "}\n");
    /* A node that has closed meanwhile is found out by its answer. */
    if (!line.failed) (void)!cmd_stream_write(link, line.data, line.size);
    if (line.data != NULL) OPENSSL_cleanse(line.data, line.size);
    OPENSSL_cleanse(token, sizeof(token));
    cmd_bytes_deinit(&line);
    return TROUPE_OK;
}

static troupe_status open_far(const cmd_link_options *options, cmd_tls *tls, cmd_stream *ret_link,
                              char *error, size_t error_size)
{
    char host[256] = "";
    char words[400];
    *ret_link = (cmd_stream){.descriptor = -1,
                             .until = cmd_stream_now() + TROUPE_SECONDS(LINK_SECONDS)};
    if (!cmd_address_host(options->address, host, sizeof(host))) {
        snprintf(error, error_size, "\"%.100s\" is no address: write HOST:PORT", options->address);
        return TROUPE_USAGE;
    }
    if (!cmd_address_connect(options->address, ret_link->until, &ret_link->descriptor, words,
                             sizeof(words))) {
        snprintf(error, error_size, "%s; it has to be started with --remote", words);
        return TROUPE_UNAVAILABLE;
    }
    const char *called = cmd_link_is_given(options->server_name) ? options->server_name : host;
    if (!cmd_stream_open(ret_link, tls, called, words, sizeof(words))) {
        cmd_stream_close(ret_link);
        snprintf(error, error_size, "%.200s: %s", options->address, words);
        return TROUPE_UNAVAILABLE;
    }
    look_after(ret_link->descriptor);
    if (!cmd_link_is_given(options->token_file)) return TROUPE_OK;
    troupe_status status = show_token(options->token_file, ret_link, error, error_size);
    if (status != TROUPE_OK) cmd_stream_close(ret_link);
    return status;
}

troupe_status cmd_link_open(const cmd_link_options *options, cmd_stream *ret_link, char *error,
                            size_t error_size)
{
    cmd_tls *tls = NULL;
    if (options->socket != NULL) return open_near(options->socket, ret_link, error, error_size);
    if (!cmd_tls_open(&options->tls, false, &tls, error, error_size)) return TROUPE_USAGE;
    troupe_status status = open_far(options, tls, ret_link, error, error_size);
    cmd_tls_close(tls);
    return status;
}

bool cmd_link_has_ended(const cmd_stream *link)
{
    struct pollfd query = {.fd = link->descriptor, .events = POLLRDHUP};
    return poll(&query, 1, 0) != 0;
}

/* Reads up to the first line end. */
static bool receive_line(cmd_stream *link, cmd_bytes *line)
{
    char block[65536];
    while (line->size < ANSWER_MAX && !line->failed) {
        size_t size = cmd_stream_read(link, block, sizeof(block));
        if (size == 0) return false;
        char *end = memchr(block, '\n', size);
        cmd_bytes_add(line, block, end != NULL ? (size_t)(end - block) : size);
        if (end != NULL) return !line->failed;
    }
    return false;
}

/* The answer that is written here when none came. */
static void write_lost(cmd_bytes *line, bool was_sent, bool is_late)
{
    troupe_status status = was_sent ? TROUPE_UNKNOWN : TROUPE_UNAVAILABLE;
    const char *words = is_late    ? "the node is silent: it may still do it"
                        : was_sent ? "the node closed the connection before it answered"
                                   : "the node closed the connection; nothing was sent";
    line->size = 0;
    line->failed = false;
    admin_write_error(line, "1", status, troupe_status_outcome(status), troupe_str(words));
    if (line->size > 0) line->size--; /* the line end */
}

uint64_t cmd_link_patience(uint64_t timeout)
{
    uint64_t own = timeout > 0 ? timeout : TROUPE_SECONDS(USUAL_SECONDS);
    return own + TROUPE_SECONDS(GRACE_SECONDS);
}

bool cmd_link_call(cmd_stream *link, const cmd_bytes *request, uint64_t patience,
                   cmd_bytes *ret_line)
{
    link->until = patience > 0 ? cmd_stream_now() + patience : 0;
    link->is_late = false;
    /* A node that stops may refuse the rest of a request and still have answered; of one that is
     * silent nobody knows what it has. */
    bool was_sent = cmd_stream_write(link, request->data, request->size) || link->is_late;
    bool is_whole = receive_line(link, ret_line);
    if (!is_whole) write_lost(ret_line, was_sent, link->is_late);
    return is_whole;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* One request and its answer: see connection.h, also for invariants and threads. */
#include "troupe/connection.h"

#include "shared/names.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE   TROUPE_SECONDS(30) /* of a call once without --timeout */
#define ANSWER_MAX ((size_t)65 * 1024 * 1024) /* the daemon's longest answer fits */

void cli_request_begin(cmd_bytes *request, const char *verb)
{
    *request = (cmd_bytes){0};
    cmd_bytes_printf(request, "{\"id\":1,\"do\":\"%s\"", verb);
}

cli_exit cli_request_actor(cmd_bytes *request, const char *text)
{
    troupe_id id;
    const char *reason = NULL;
    if (troupe_id_parse(troupe_str(text), &id, &reason) != TROUPE_OK) {
        cmd_bytes_deinit(request);
        return cli_fail(CLI_USAGE, "\"%.100s\" is no id: %s", text,
                        reason != NULL ? reason : "write type/key, as in account/alice");
    }
    admin_write_id(request, "actor", id);
    return CLI_OK;
}

static cli_exit open_socket(const cli_context *context, int *ret_descriptor)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char usual[CMD_SOCKET_PATH_MAX];
    const char *path = context->values[CLI_OPTION_SOCKET];
    if (path == NULL && !cmd_socket_path(usual)) {
        return cli_fail(CLI_USAGE, "the path in $TROUPE_SOCKET or $XDG_RUNTIME_DIR is too long");
    }
    if (path == NULL) path = usual;
    if (path[0] == 0 || strlen(path) >= sizeof(address.sun_path)) {
        return cli_fail(CLI_USAGE, "--socket: a path has 1 to %zu bytes",
                        sizeof(address.sun_path) - 1);
    }
    memcpy(address.sun_path, path, strlen(path));
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return cli_fail(CLI_FAILED, "no socket: %s", strerror(errno));
    if (connect(descriptor, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        int reason = errno;
        close(descriptor);
        return cli_fail(CLI_NO_NODE, "no node answers at %s (%s); start one: "
                        "trouped --load ./libshop.so%s%s", path, strerror(reason),
                        path == usual ? "" : " --socket ", path == usual ? "" : path);
    }
    *ret_descriptor = descriptor;
    return CLI_OK;
}

static bool send_all(int descriptor, const cmd_bytes *request)
{
    for (size_t at = 0; at < request->size;) {
        ssize_t sent = send(descriptor, request->data + at, request->size - at, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) return false;
        at += (size_t)sent;
    }
    return true;
}

/* Reads up to the first line end. */
static bool receive_line(int descriptor, cmd_bytes *line)
{
    char block[65536];
    while (line->size < ANSWER_MAX && !line->failed) {
        ssize_t size = recv(descriptor, block, sizeof(block), 0);
        if (size < 0 && errno == EINTR) continue;
        if (size <= 0) return false;
        char *end = memchr(block, '\n', (size_t)size);
        cmd_bytes_add(line, block, end != NULL ? (size_t)(end - block) : (size_t)size);
        if (end != NULL) return !line->failed;
    }
    return false;
}

/* The answer that is written here when none came. */
static void write_lost(cmd_bytes *line, bool was_sent)
{
    troupe_status status = was_sent ? TROUPE_UNKNOWN : TROUPE_UNAVAILABLE;
    line->size = 0;
    line->failed = false;
    admin_write_error(line, "1", status, troupe_status_outcome(status),
                      troupe_str(was_sent ? "the node closed the connection before it answered"
                                          : "the node closed the connection; nothing was sent"));
    if (line->size > 0) line->size--; /* the line end */
}

static cli_exit report(const cli_context *context, const cli_answer *answer, const char *about)
{
    const char *status = json_string_value(json_object_get(answer->root, "status"));
    const char *outcome = json_string_value(json_object_get(answer->root, "outcome"));
    json_t *message = json_object_get(answer->root, "message");
    json_int_t code = json_integer_value(json_object_get(answer->root, "code"));
    cmd_bytes words = {0};
    cmd_bytes_visible(&words, troupe_slice_of(json_string_value(message),
                                              json_string_length(message)));
    cmd_bytes_add(&words, "", 1);
    char number[32] = "";
    if (code >= TROUPE_APPLICATION) {
        snprintf(number, sizeof(number), " %" JSON_INTEGER_FORMAT, code);
    }
    if (cli_has(context, CLI_OPTION_JSON)) {
        printf("%.*s\n", (int)answer->line.size, answer->line.data);
    }
    cli_fail(CLI_FAILED, "%s: %s%s, outcome %s: %s", about, status != NULL ? status : "?", number,
             outcome != NULL ? outcome : "UNKNOWN", words.failed ? "" : words.data);
    cmd_bytes_deinit(&words);
    return CLI_FAILED;
}

static cli_exit exchange(const cli_context *context, const cmd_bytes *request, cmd_bytes *ret_line)
{
    int descriptor = -1;
    cli_exit code = open_socket(context, &descriptor);
    if (code != CLI_OK) return code;
    /* A node that stops may refuse the rest of a request and still have answered. */
    bool was_sent = send_all(descriptor, request);
    if (!receive_line(descriptor, ret_line)) write_lost(ret_line, was_sent);
    close(descriptor);
    return CLI_OK;
}

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* Did the way to the actor of a call once break? Then asking again is safe, and tells. */
static bool is_worth_asking_again(const cli_context *context, const cli_answer *answer)
{
    const char *status = json_string_value(json_object_get(answer->root, "status"));
    return cli_has(context, CLI_OPTION_ONCE) && status != NULL && strcmp(status, "UNKNOWN") == 0;
}

/* Once, or for as long as the time-out while that is worth it. */
static cli_exit exchange_until(const cli_context *context, const cmd_bytes *request,
                               cli_answer *answer)
{
    uint64_t patience = context->timeout > 0 ? context->timeout : PATIENCE;
    uint64_t begin = now();
    for (;;) {
        cli_exit code = exchange(context, request, &answer->line);
        if (code != CLI_OK) return code;
        answer->root = json_loadb(answer->line.data, answer->line.size, JSON_ALLOW_NUL, NULL);
        if (!is_worth_asking_again(context, answer) || now() - begin >= patience) return CLI_OK;
        cli_answer_deinit(answer);
        answer->line = (cmd_bytes){0};
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
}

cli_exit cli_ask(const cli_context *context, cmd_bytes *request, const char *about,
                 cli_answer *ret_answer)
{
    cli_answer answer = {0};
    cmd_bytes_text(request, "}\n");
    if (request->failed || request->size > ADMIN_LINE_MAX) {
        bool failed = request->failed;
        cmd_bytes_deinit(request);
        return failed ? cli_fail(CLI_FAILED, "no memory")
                      : cli_fail(CLI_FAILED, "%s: TOO_LARGE, outcome NOT_DONE: the request is "
                                 "longer than 12 MiB", about);
    }
    cli_exit code = exchange_until(context, request, &answer);
    cmd_bytes_deinit(request);
    if (code != CLI_OK) {
        cli_answer_deinit(&answer);
        return code;
    }
    if (!json_is_object(answer.root)) {
        cli_answer_deinit(&answer);
        return cli_fail(CLI_FAILED, "%s: UNKNOWN, outcome UNKNOWN: what answered is no node of "
                        "this version", about);
    }
    if (!json_is_true(json_object_get(answer.root, "ok"))) {
        code = report(context, &answer, about);
        cli_answer_deinit(&answer);
        return code;
    }
    *ret_answer = answer;
    return CLI_OK;
}

void cli_answer_deinit(cli_answer *answer)
{
    json_decref(answer->root);
    cmd_bytes_deinit(&answer->line);
    answer->root = NULL;
}

bool cli_printed_json(const cli_context *context, cli_answer *answer)
{
    if (!cli_has(context, CLI_OPTION_JSON)) return false;
    printf("%.*s\n", (int)answer->line.size, answer->line.data);
    cli_answer_deinit(answer);
    return true;
}

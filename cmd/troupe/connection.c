/* SPDX-License-Identifier: Apache-2.0 */
/* One request and its answer: see connection.h, also for invariants and threads. */
#include "troupe/connection.h"

#include "shared/names.h"
#include "shared/stream.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
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

/* The address of a node far away; NULL: the socket is meant. */
static const char *far_address(const cli_context *context)
{
    const char *address = context->values[CLI_OPTION_CONNECT];
    if (address == NULL && context->values[CLI_OPTION_SOCKET] == NULL &&
        (context->command->options & CLI_TAKES(CONNECT)) != 0) {
        address = getenv("TROUPE_CONNECT");
    }
    return address != NULL && address[0] != 0 ? address : NULL;
}

static const char *value_or(const cli_context *context, cli_option option, const char *variable)
{
    return cli_has(context, option) ? context->values[option] : getenv(variable);
}

/* {"token":"..."}, the first line there. False: told. */
static bool show_token(const cli_context *context, cmd_stream *stream)
{
    const char *path = value_or(context, CLI_OPTION_TOKEN, "TROUPE_TOKEN_FILE");
    char token[CMD_TOKEN_MAX + 1];
    char error[512];
    cmd_bytes line = {0};
    if (path == NULL || path[0] == 0) return true;
    if (!cmd_token_read(path, token, error, sizeof(error))) {
        cli_fail(CLI_USAGE, "--token-file: %s", error);
        return false;
    }
    cmd_bytes_text(&line, "{\"token\":");
    cmd_bytes_json(&line, troupe_str(token));
    cmd_bytes_text(&line, "}\n");
    /* A node that has closed meanwhile is found out by its answer. */
    if (!line.failed) (void)!cmd_stream_write(stream, line.data, line.size);
    if (line.data != NULL) OPENSSL_cleanse(line.data, line.size);
    OPENSSL_cleanse(token, sizeof(token));
    cmd_bytes_deinit(&line);
    return true;
}

static cli_exit open_far(const cli_context *context, const char *address, cmd_stream *ret_stream)
{
    const cmd_tls_files files = {
        value_or(context, CLI_OPTION_CERTIFICATE, "TROUPE_TLS_CERTIFICATE"),
        value_or(context, CLI_OPTION_KEY, "TROUPE_TLS_KEY"),
        value_or(context, CLI_OPTION_AUTHORITY, "TROUPE_TLS_AUTHORITY")};
    const char *name = value_or(context, CLI_OPTION_NAME, "TROUPE_TLS_NAME");
    char error[512];
    char host[256];
    int descriptor = -1;
    cmd_tls *tls = NULL;
    if (!cmd_address_host(address, host, sizeof(host))) {
        return cli_fail(CLI_USAGE, "\"%s\" is no address: write HOST:PORT", address);
    }
    if (!cmd_tls_open(&files, false, &tls, error, sizeof(error))) {
        return cli_fail(CLI_USAGE, "%s", error);
    }
    if (!cmd_address_connect(address, &descriptor, error, sizeof(error))) {
        cmd_tls_close(tls);
        return cli_fail(CLI_NO_NODE, "%s; it has to be started with --remote", error);
    }
    bool is_open = cmd_stream_open(ret_stream, descriptor, tls,
                                   name != NULL && name[0] != 0 ? name : host, error,
                                   sizeof(error));
    cmd_tls_close(tls);
    if (!is_open) {
        cmd_stream_close(ret_stream);
        return cli_fail(CLI_NO_NODE, "%s: %s", address, error);
    }
    if (show_token(context, ret_stream)) return CLI_OK;
    cmd_stream_close(ret_stream);
    return CLI_USAGE;
}

/* Reads up to the first line end. */
static bool receive_line(cmd_stream *stream, cmd_bytes *line)
{
    char block[65536];
    while (line->size < ANSWER_MAX && !line->failed) {
        size_t size = cmd_stream_read(stream, block, sizeof(block));
        if (size == 0) return false;
        char *end = memchr(block, '\n', size);
        cmd_bytes_add(line, block, end != NULL ? (size_t)(end - block) : size);
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
    cmd_stream stream = {.descriptor = -1};
    const char *address = far_address(context);
    cli_exit code = address != NULL ? open_far(context, address, &stream)
                                    : open_socket(context, &stream.descriptor);
    if (code != CLI_OK) return code;
    /* A node that stops may refuse the rest of a request and still have answered. */
    bool was_sent = cmd_stream_write(&stream, request->data, request->size);
    if (!receive_line(&stream, ret_line)) write_lost(ret_line, was_sent);
    cmd_stream_close(&stream);
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

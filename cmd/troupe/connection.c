/* SPDX-License-Identifier: Apache-2.0 */
/* One request and its answer: see connection.h, also for invariants and threads. */
#include "troupe/connection.h"

#include "shared/link.h"
#include "shared/names.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PATIENCE TROUPE_SECONDS(30) /* of a call once without --timeout */

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

static cli_exit open_link(const cli_context *context, cmd_stream *ret_link)
{
    char usual[CMD_SOCKET_PATH_MAX];
    char error[600];
    const char *path = context->values[CLI_OPTION_SOCKET];
    cmd_link_options options = {
        .address = far_address(context),
        .tls = {value_or(context, CLI_OPTION_CERTIFICATE, "TROUPE_TLS_CERTIFICATE"),
                value_or(context, CLI_OPTION_KEY, "TROUPE_TLS_KEY"),
                value_or(context, CLI_OPTION_AUTHORITY, "TROUPE_TLS_AUTHORITY")},
        .server_name = value_or(context, CLI_OPTION_NAME, "TROUPE_TLS_NAME"),
        .token_file = value_or(context, CLI_OPTION_TOKEN, "TROUPE_TOKEN_FILE"),
    };
    if (options.address == NULL) {
        if (path == NULL && !cmd_socket_path(usual)) {
            return cli_fail(CLI_USAGE, "the path in $TROUPE_SOCKET or $XDG_RUNTIME_DIR is too "
                            "long");
        }
        options.socket = path != NULL ? path : usual;
    }
    troupe_status status = cmd_link_open(&options, ret_link, error, sizeof(error));
    if (status == TROUPE_OK) return CLI_OK;
    if (status == TROUPE_USAGE) {
        return cli_fail(CLI_USAGE, "%s%s", options.socket != NULL ? "--socket: " : "", error);
    }
    if (options.socket == NULL) return cli_fail(CLI_NO_NODE, "%s", error);
    return cli_fail(CLI_NO_NODE, "%s; start one: trouped --load ./libshop.so%s%s", error,
                    path == NULL ? "" : " --socket ", path == NULL ? "" : path);
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

/* Reading a whole store takes as long as it takes; a tell is answered at once, however much time it
 * has. */
static uint64_t patience_of(const cli_context *context)
{
    bool is_tell = context->command->run == cli_run_tell;
    return cli_has(context, CLI_OPTION_CHECK) ? 0
                                              : cmd_link_patience(is_tell ? 0 : context->timeout);
}

static cli_exit exchange(const cli_context *context, const cmd_bytes *request, cmd_bytes *ret_line)
{
    cmd_stream link = {.descriptor = -1};
    cli_exit code = open_link(context, &link);
    if (code != CLI_OK) return code;
    /* Else the line says that none came. */
    (void)cmd_link_call(&link, request, patience_of(context), ret_line);
    cmd_stream_close(&link);
    return CLI_OK;
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
    uint64_t begin = cmd_stream_now();
    for (;;) {
        cli_exit code = exchange(context, request, &answer->line);
        if (code != CLI_OK) return code;
        answer->root = json_loadb(answer->line.data, answer->line.size, JSON_ALLOW_NUL, NULL);
        if (!is_worth_asking_again(context, answer) ||
            cmd_stream_now() - begin >= patience) {
            return CLI_OK;
        }
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

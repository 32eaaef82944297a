/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `troupe ask` and `troupe tell`. Not what looks into a node, which is look.c.
 * Invariants: 1. An answer is printed as the actor gave it. Threads: one.
 */
#include "troupe/connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static cli_exit read_input(cmd_bytes *payload)
{
    char block[65536];
    size_t size = 0;
    while ((size = fread(block, 1, sizeof(block), stdin)) > 0) {
        cmd_bytes_add(payload, block, size);
        if (payload->failed || payload->size > ADMIN_LINE_MAX) {
            return cli_fail(CLI_USAGE, "standard input is longer than 12 MiB");
        }
    }
    if (ferror(stdin)) return cli_fail(CLI_FAILED, "standard input: %s", strerror(errno));
    return CLI_OK;
}

static bool is_json(troupe_slice payload)
{
    if (payload.size == 0 || memchr(payload.data, 0, payload.size) != NULL) return false;
    json_t *value = json_loadb(payload.data, payload.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    json_decref(value);
    return value != NULL;
}

static cli_exit call(const cli_context *context, const char *verb, cli_answer *ret_answer)
{
    cmd_bytes request;
    cmd_bytes input = {0};
    cli_request_begin(&request, verb);
    cli_exit code = cli_request_actor(&request, context->arguments[0]);
    if (code != CLI_OK) return code;
    admin_call made = {
        .method = context->arguments[1],
        .timeout = context->timeout,
        .has_payload = context->argument_count > 2,
        .content_type = context->values[CLI_OPTION_CONTENT_TYPE],
    };
    if (cli_has(context, CLI_OPTION_ONCE)) {
        made.once = troupe_str(context->values[CLI_OPTION_ONCE]);
    }
    if (made.has_payload) {
        made.payload = troupe_str(context->arguments[2]);
        if (strcmp(context->arguments[2], "-") == 0) {
            code = read_input(&input);
            made.payload = troupe_slice_of(input.data, input.size);
        }
        /* As text, also JSON: the actor gets the bytes that were typed. */
        if (made.content_type == NULL && is_json(made.payload)) made.content_type = TROUPE_JSON;
    }
    admin_write_call(&request, &made);
    cmd_bytes_deinit(&input);
    if (code != CLI_OK) {
        cmd_bytes_deinit(&request);
        return code;
    }
    char about[160];
    snprintf(about, sizeof(about), "%.100s %.50s", context->arguments[0], context->arguments[1]);
    return cli_ask(context, &request, about, ret_answer);
}

/* Lines stay lines; other control bytes are shown, not obeyed. */
static void print_visible(const cmd_bytes *payload)
{
    cmd_bytes visible = {0};
    const char *data = payload->data;
    for (size_t left = payload->size; left > 0;) {
        const char *end = memchr(data, '\n', left);
        size_t size = end != NULL ? (size_t)(end - data) : left;
        cmd_bytes_visible(&visible, troupe_slice_of(data, size));
        cmd_bytes_text(&visible, "\n");
        size_t step = end != NULL ? size + 1 : size;
        data += step;
        left -= step;
    }
    fwrite(visible.data, 1, visible.size, stdout);
    cmd_bytes_deinit(&visible);
}

static cli_exit print_payload(const cli_answer *answer)
{
    cmd_bytes payload = {0};
    bool is_json = json_object_get(answer->root, "payload") != NULL;
    bool is_binary = json_object_get(answer->root, "payload_base64") != NULL;
    troupe_slice line = {answer->line.data, answer->line.size};
    if (!admin_read_payload(answer->root, line, &payload)) {
        cmd_bytes_deinit(&payload);
        return cli_fail(CLI_FAILED, "the answer cannot be read");
    }
    if (!is_json && !is_binary && isatty(STDOUT_FILENO)) {
        print_visible(&payload);
    } else if (payload.size > 0) {
        fwrite(payload.data, 1, payload.size, stdout);
        bool has_end = !is_json && payload.data[payload.size - 1] == '\n';
        if (!is_binary && !has_end) putchar('\n');
    }
    cmd_bytes_deinit(&payload);
    return CLI_OK;
}

cli_exit cli_run_ask(const cli_context *context)
{
    cli_answer answer;
    cli_exit code = call(context, "ask", &answer);
    if (code != CLI_OK || cli_printed_json(context, &answer)) return code;
    code = print_payload(&answer);
    cli_answer_deinit(&answer);
    return code;
}

cli_exit cli_run_tell(const cli_context *context)
{
    cli_answer answer;
    cli_exit code = call(context, "tell", &answer);
    if (code != CLI_OK || cli_printed_json(context, &answer)) return code;
    cli_answer_deinit(&answer);
    return code;
}

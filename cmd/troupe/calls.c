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

static void add_payload(cmd_bytes *request, troupe_slice payload, const char *content_type)
{
    if (cmd_utf8_is_valid(payload)) {
        /* As text, also JSON: the actor gets the bytes that were typed. */
        admin_write_text(request, "payload_text", payload);
        if (content_type == NULL && is_json(payload)) content_type = TROUPE_JSON;
    } else {
        cmd_bytes_text(request, ",\"payload_base64\":\"");
        cmd_bytes_base64(request, payload);
        cmd_bytes_text(request, "\"");
    }
    if (content_type != NULL) admin_write_text(request, "content_type", troupe_str(content_type));
}

static cli_exit call(const cli_context *context, const char *verb, cli_answer *ret_answer)
{
    cmd_bytes request;
    cmd_bytes input = {0};
    cli_request_begin(&request, verb);
    cli_exit code = cli_request_actor(&request, context->arguments[0]);
    if (code != CLI_OK) return code;
    admin_write_text(&request, "method", troupe_str(context->arguments[1]));
    if (context->timeout > 0) {
        admin_write_number(&request, "timeout_ms", context->timeout / 1000000);
    }
    if (cli_has(context, CLI_OPTION_ONCE)) {
        admin_write_text(&request, "once", troupe_str(context->values[CLI_OPTION_ONCE]));
    }
    if (context->argument_count > 2) {
        troupe_slice payload = troupe_str(context->arguments[2]);
        if (strcmp(context->arguments[2], "-") == 0) {
            code = read_input(&input);
            payload = troupe_slice_of(input.data, input.size);
        }
        add_payload(&request, payload, context->values[CLI_OPTION_CONTENT_TYPE]);
        cmd_bytes_deinit(&input);
    }
    if (code != CLI_OK) {
        cmd_bytes_deinit(&request);
        return code;
    }
    char about[160];
    snprintf(about, sizeof(about), "%.100s %.50s", context->arguments[0], context->arguments[1]);
    return cli_ask(context, &request, about, ret_answer);
}

static void print_json_payload(const cli_answer *answer)
{
    /* The daemon puts the payload last, as the actor wrote it. */
    static const char begin[] = ",\"payload\":";
    const char *at = memmem(answer->line.data, answer->line.size, begin, sizeof(begin) - 1);
    if (at == NULL) return;
    at += sizeof(begin) - 1;
    size_t size = answer->line.size - (size_t)(at - answer->line.data) - 1;
    fwrite(at, 1, size, stdout);
    putchar('\n');
}

static cli_exit print_payload(const cli_answer *answer)
{
    json_t *text = json_object_get(answer->root, "payload_text");
    json_t *base64 = json_object_get(answer->root, "payload_base64");
    if (json_object_get(answer->root, "payload") != NULL) {
        print_json_payload(answer);
    } else if (base64 != NULL) {
        size_t size = 0;
        troupe_slice from = troupe_slice_of(json_string_value(base64), json_string_length(base64));
        char *data = malloc(from.size + 1);
        if (data == NULL || !cmd_base64_decode(from, data, &size)) {
            free(data);
            return cli_fail(CLI_FAILED, "the answer cannot be read");
        }
        fwrite(data, 1, size, stdout);
        free(data);
    } else if (isatty(STDOUT_FILENO)) {
        cmd_bytes visible = {0};
        const char *data = json_string_value(text);
        /* Lines stay lines; other control bytes are shown, not obeyed. */
        for (size_t left = json_string_length(text); left > 0;) {
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
    } else if (json_string_length(text) > 0) {
        const char *data = json_string_value(text);
        size_t size = json_string_length(text);
        fwrite(data, 1, size, stdout);
        if (data[size - 1] != '\n') putchar('\n');
    }
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

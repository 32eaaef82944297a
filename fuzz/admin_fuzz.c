/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds the admin protocol with anything: the first byte says how the stream is cut, the rest is
 * the stream. What is taken as a request is also used as an actor's reply, so that the answers are
 * checked: one line, valid JSON, the same id. libFuzzer calls it.
 * Invariants: none of its own. Threads: one.
 */
#include "shared/admin_codec.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) abort();
}

static void check_answer(const char *id, const char *content_type, troupe_slice payload)
{
    cmd_bytes out = {0};
    troupe_answer answer = TROUPE_ANSWER_INIT;
    answer.payload = payload;
    answer.content_type = troupe_str(content_type);
    answer.message = payload;
    for (int i = 0; i < 2; i++) {
        answer.status = i == 0 ? TROUPE_OK : TROUPE_FAILED;
        out.size = 0;
        admin_write_answer(&out, id, &answer);
        require(!out.failed && out.size > 0 && out.data[out.size - 1] == '\n');
        require(memchr(out.data, '\n', out.size) == out.data + out.size - 1);
        json_t *root = json_loadb(out.data, out.size, JSON_ALLOW_NUL, NULL);
        require(json_is_boolean(json_object_get(root, "ok")));
        require(json_is_true(json_object_get(root, "ok")) == (i == 0));
        json_decref(root);
    }
    cmd_bytes_deinit(&out);
}

static void check_line(troupe_slice line)
{
    admin_request request;
    troupe_status status = admin_request_parse(&request, line);
    require(status == TROUPE_OK || status == TROUPE_USAGE);
    if (status == TROUPE_OK) {
        check_answer(request.id, request.content_type != NULL ? request.content_type : "",
                     request.payload);
    } else {
        require(request.error[0] != 0);
    }
    check_answer(request.id, TROUPE_JSON, line);
    admin_request_deinit(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    admin_lines lines = {0};
    troupe_slice line = {0};
    if (size < 1) return 0;
    size_t step = (size_t)data[0] + 1;
    size_t taken = 0;
    for (size_t at = 1; at < size; at += step) {
        size_t count = size - at < step ? size - at : step;
        char *room = admin_lines_room(&lines, count);
        require(room != NULL);
        memcpy(room, data + at, count);
        admin_lines_add(&lines, count);
        while (admin_lines_take(&lines, false, &line) == ADMIN_LINE_TAKEN) {
            require(memchr(line.data, '\n', line.size) == NULL);
            taken += line.size + 1;
            check_line(line);
        }
    }
    while (admin_lines_take(&lines, true, &line) == ADMIN_LINE_TAKEN) {
        taken += line.size;
        check_line(line);
    }
    require(taken <= size);
    admin_lines_deinit(&lines);
    return 0;
}

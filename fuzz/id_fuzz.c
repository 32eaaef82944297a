/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the parser of ids: what parses must print back to the same bytes and parse to the same
 * parts; what does not must have a reason and leave the outputs alone. A JSON string of the same
 * bytes must stay within its buffer. Seeds: fuzz/corpus/id.
 *
 * Threads: one.
 */
#include "base/assert.h"
#include "base/id.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_json(troupe_slice input)
{
    char room[64];
    tp_text text;
    tp_text_init(&text, room, sizeof(room));
    tp_text_json(&text, input);
    TP_ASSERT(text.size < sizeof(room) && room[text.size] == '\0');
    TP_ASSERT(text.is_cut || (text.size >= 2 && room[text.size - 1] == '"'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    troupe_slice input = troupe_slice_of(data, size);
    troupe_slice parts[3] = {{NULL, 0}, {NULL, 0}, {NULL, 0}};
    const char *reason = NULL;
    check_json(input);
    if (tp_id_parse(input, &parts[0], &parts[1], &parts[2], &reason) != TROUPE_OK) {
        TP_ASSERT(reason != NULL && parts[0].data == NULL && parts[2].data == NULL);
        return 0;
    }
    TP_ASSERT(tp_name_is_valid(parts[0]) && parts[2].size > 0 && parts[2].size <= TP_KEY_MAX);
    TP_ASSERT(parts[1].size == 0 || tp_name_is_valid(parts[1]));
    struct tp_id_text text;
    size_t length = tp_id_print(text.data, sizeof(text.data), parts[0], parts[1], parts[2]);
    TP_ASSERT(length < sizeof(text.data) && text.data[length] == '\0');
    TP_ASSERT(troupe_slice_equal(input, troupe_slice_of(text.data, length)));
    troupe_slice again[3];
    TP_ASSERT(tp_id_parse(troupe_slice_of(text.data, length), &again[0], &again[1], &again[2],
                          NULL) == TROUPE_OK);
    for (int i = 0; i < 3; i++) {
        TP_ASSERT(troupe_slice_equal(parts[i], again[i]));
    }
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a status to a code and a body of HTTP. See codes.h.
 */
#include "gateway/codes.h"

#include <inttypes.h>

/* The rest of the object, behind the message. */
#define TAIL_MAX 160

static unsigned row_of(troupe_status status)
{
    if (status >= TROUPE_APPLICATION)
        return TP_HTTP_APPLICATION;
    switch (status) {
#define CODE(name, code, why) \
    case TROUPE_##name:       \
        return code;
        TP_HTTP_CODE_MAP(CODE)
#undef CODE
    }
    return 500;
}

unsigned tp_http_code(troupe_status status, troupe_outcome outcome)
{
    unsigned code = row_of(status);
    bool is_unknown = outcome == TROUPE_UNKNOWN_OUTCOME && status != TROUPE_OK;
    return is_unknown && (code == 503 || code == 408) ? 502 : code;
}

bool tp_http_passes(unsigned code)
{
    return code == 503;
}

/* As a JSON string of so much of it as there is room for; each byte takes up to six. */
static void add_message(tp_text *text, troupe_slice message)
{
    size_t left = text->capacity - 1 - text->size;
    size_t room = left > TAIL_MAX + 8 ? left - TAIL_MAX - 8 : 0;
    size_t before = text->size;
    for (size_t size = message.size;; size = size * 3 / 4) {
        tp_text part = *text;
        while (size != 0 && size < message.size &&
               (((const unsigned char *)message.data)[size] & 0xC0) == 0x80)
            size--; /* not inside a character */
        part.capacity = before + room + 3;
        tp_text_json(&part, troupe_slice_of(message.data, size));
        if (!part.is_cut || size == 0) {
            text->size = part.size;
            return;
        }
    }
}

void tp_http_error(tp_text *text, const char *error_code, troupe_status status,
    troupe_outcome outcome, troupe_slice message)
{
    static const char *const outcomes[] = {[TROUPE_DONE] = "DONE",
        [TROUPE_NOT_DONE] = "NOT_DONE",
        [TROUPE_UNKNOWN_OUTCOME] = "UNKNOWN"};
    if (message.size == 0)
        message = troupe_str(troupe_status_text(status));
    tp_text_printf(text, "{\"errorCode\":\"%s\",\"message\":", error_code);
    add_message(text, message);
    tp_text_printf(text,
        ",\"status\":\"%s\",\"code\":%" PRId32 ",\"kind\":\"%s\",\"outcome\":\"%s\"}\n",
        troupe_status_name(status), status, troupe_kind_name(troupe_status_kind(status)),
        outcomes[outcome]);
}

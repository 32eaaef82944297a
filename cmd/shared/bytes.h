/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing run of bytes, and the ways to write JSON strings and base64 into it. Not a string
 * library. Both programs call it: for requests, answers and what they print.
 *
 * Invariants: 1. After a failed allocation `failed` stays true and nothing more is added, so one
 * look at the end is enough. 2. A written JSON string is valid UTF-8 on one line, whatever came in.
 * Threads: one owner.
 */
#ifndef CMD_SHARED_BYTES_H
#define CMD_SHARED_BYTES_H

#include <troupe/base.h>

typedef struct cmd_bytes {
    char *data;
    size_t size;
    size_t capacity;
    bool failed; /* an allocation was refused */
} cmd_bytes;

void cmd_bytes_deinit(cmd_bytes *bytes);
void cmd_bytes_add(cmd_bytes *bytes, const void *data, size_t size);
void cmd_bytes_text(cmd_bytes *bytes, const char *text);
void cmd_bytes_printf(cmd_bytes *bytes, const char *format, ...) TROUPE_PRINTF(2, 3);
/* A JSON string with its quotes; bytes that are no UTF-8 become U+FFFD. */
void cmd_bytes_json(cmd_bytes *bytes, troupe_slice text);
void cmd_bytes_base64(cmd_bytes *bytes, troupe_slice data);
/* For a terminal: control bytes and bytes that are no UTF-8 are written as \xNN. */
void cmd_bytes_visible(cmd_bytes *bytes, troupe_slice text);

/* Reads base64 (RFC 4648, with padding, no line breaks). `out` has room for size / 4 * 3 bytes.
 * False: it is none. */
bool cmd_base64_decode(troupe_slice text, void *out, size_t *ret_size);

bool cmd_utf8_is_valid(troupe_slice text);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Growing bytes, JSON strings, base64, UTF-8: see bytes.h, also for invariants and threads. */
#include "shared/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void cmd_bytes_deinit(cmd_bytes *bytes)
{
    free(bytes->data);
    *bytes = (cmd_bytes){0};
}

static bool reserve(cmd_bytes *bytes, size_t more)
{
    if (bytes->failed) return false;
    if (more <= bytes->capacity - bytes->size) return true;
    size_t capacity = bytes->capacity < 128 ? 256 : bytes->capacity * 2;
    if (capacity < bytes->size + more) capacity = bytes->size + more;
    char *data = realloc(bytes->data, capacity);
    if (data == NULL) {
        bytes->failed = true;
        return false;
    }
    bytes->data = data;
    bytes->capacity = capacity;
    return true;
}

void cmd_bytes_add(cmd_bytes *bytes, const void *data, size_t size)
{
    if (size == 0 || !reserve(bytes, size)) return;
    memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
}

void cmd_bytes_text(cmd_bytes *bytes, const char *text)
{
    cmd_bytes_add(bytes, text, strlen(text));
}

void cmd_bytes_printf(cmd_bytes *bytes, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0 || !reserve(bytes, (size_t)length + 1)) return;
    va_start(arguments, format);
    vsnprintf(bytes->data + bytes->size, (size_t)length + 1, format, arguments);
    va_end(arguments);
    bytes->size += (size_t)length;
}

/* The length of the UTF-8 sequence at `at`, 0 if there is none (RFC 3629: no surrogates, nothing
 * overlong). */
static size_t utf8_step(const unsigned char *at, size_t left)
{
    if (at[0] < 0x80) return 1;
    size_t length = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
    if (at[0] < 0xc2 || at[0] > 0xf4 || left < length) return 0;
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80) return 0;
    }
    if (at[0] == 0xe0 && at[1] < 0xa0) return 0;
    if (at[0] == 0xed && at[1] > 0x9f) return 0;
    if (at[0] == 0xf0 && at[1] < 0x90) return 0;
    if (at[0] == 0xf4 && at[1] > 0x8f) return 0;
    return length;
}

bool cmd_utf8_is_valid(troupe_slice text)
{
    const unsigned char *at = text.data;
    size_t left = text.size;
    while (left > 0) {
        size_t step = utf8_step(at, left);
        if (step == 0) return false;
        at += step;
        left -= step;
    }
    return true;
}

static void add_json_byte(cmd_bytes *bytes, unsigned char byte)
{
    static const char names[] = "btn?fr"; /* of 8, 9, 10, 12, 13 */
    if (byte >= 8 && byte <= 13 && byte != 11) {
        char escape[2] = {'\\', names[byte - 8]};
        cmd_bytes_add(bytes, escape, 2);
    } else {
        cmd_bytes_printf(bytes, "\\u%04x", byte);
    }
}

void cmd_bytes_json(cmd_bytes *bytes, troupe_slice text)
{
    const unsigned char *data = text.data;
    size_t begin = 0;
    size_t at = 0;
    cmd_bytes_add(bytes, "\"", 1);
    while (at < text.size) {
        size_t step = utf8_step(data + at, text.size - at);
        if (step != 0 && data[at] >= 0x20 && data[at] != '"' && data[at] != '\\') {
            at += step;
            continue;
        }
        if (at > begin) cmd_bytes_add(bytes, data + begin, at - begin);
        if (step == 0) {
            cmd_bytes_text(bytes, "\\ufffd");
        } else if (data[at] < 0x20) {
            add_json_byte(bytes, data[at]);
        } else {
            char escape[2] = {'\\', (char)data[at]};
            cmd_bytes_add(bytes, escape, 2);
        }
        begin = ++at;
    }
    if (at > begin) cmd_bytes_add(bytes, data + begin, at - begin);
    cmd_bytes_add(bytes, "\"", 1);
}

void cmd_bytes_visible(cmd_bytes *bytes, troupe_slice text)
{
    const unsigned char *data = text.data;
    for (size_t at = 0; at < text.size;) {
        size_t step = utf8_step(data + at, text.size - at);
        /* U+0080 to U+009F are control characters of terminals too. */
        bool is_control = step == 0 || data[at] < 0x20 || data[at] == 0x7f ||
                          (step == 2 && data[at] == 0xc2 && data[at + 1] < 0xa0);
        if (is_control) {
            cmd_bytes_printf(bytes, "\\x%02x", data[at]);
            at++;
        } else {
            cmd_bytes_add(bytes, data + at, step);
            at += step;
        }
    }
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void cmd_bytes_base64(cmd_bytes *bytes, troupe_slice data)
{
    const unsigned char *in = data.data;
    if (!reserve(bytes, (data.size + 2) / 3 * 4)) return;
    for (size_t at = 0; at < data.size; at += 3) {
        size_t left = data.size - at;
        uint32_t word = (uint32_t)in[at] << 16;
        if (left > 1) word |= (uint32_t)in[at + 1] << 8;
        if (left > 2) word |= in[at + 2];
        char four[4] = {base64_digits[word >> 18], base64_digits[word >> 12 & 63],
                        left > 1 ? base64_digits[word >> 6 & 63] : '=',
                        left > 2 ? base64_digits[word & 63] : '='};
        cmd_bytes_add(bytes, four, 4);
    }
}

static int base64_value(char digit)
{
    if (digit >= 'A' && digit <= 'Z') return digit - 'A';
    if (digit >= 'a' && digit <= 'z') return digit - 'a' + 26;
    if (digit >= '0' && digit <= '9') return digit - '0' + 52;
    return digit == '+' ? 62 : digit == '/' ? 63 : -1;
}

bool cmd_base64_decode(troupe_slice text, void *out, size_t *ret_size)
{
    const char *in = text.data;
    unsigned char *to = out;
    size_t size = 0;
    if (text.size % 4 != 0) return false;
    for (size_t at = 0; at < text.size; at += 4) {
        size_t pads = 0;
        if (at + 4 == text.size) pads = in[at + 3] != '=' ? 0 : in[at + 2] != '=' ? 1 : 2;
        uint32_t word = 0;
        for (size_t i = 0; i < 4; i++) {
            int value = i + pads < 4 ? base64_value(in[at + i]) : 0;
            if (value < 0) return false;
            word = word << 6 | (uint32_t)value;
        }
        /* Bits under the padding must be 0: every value has one spelling. */
        if ((pads == 1 && (word & 0xff) != 0) || (pads == 2 && (word & 0xffff) != 0)) return false;
        for (size_t i = 0; i + pads < 3; i++) to[size++] = (unsigned char)(word >> (16 - 8 * i));
    }
    *ret_size = size;
    return true;
}

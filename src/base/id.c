/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsing and printing of ids by the rules of base/id.h. The language has two separators and no
 * nesting, so two searches parse it.
 *
 * Threads: pure.
 */
#include "base/id.h"

#include <troupe/base.h>

static bool is_alphanumeric(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* What is wrong with a name. */
typedef enum name_fault {
    NAME_FINE,
    NAME_EMPTY,
    NAME_TOO_LONG,
    NAME_BAD_BYTE,
    NAME_BAD_START,
    NAME_FAULTS
} name_fault;

static name_fault check_name(troupe_slice name)
{
    const unsigned char *p = name.data;
    if (name.size == 0) {
        return NAME_EMPTY;
    }
    if (name.size > TP_NAME_MAX) {
        return NAME_TOO_LONG;
    }
    for (size_t i = 0; i < name.size; i++) {
        if (!is_alphanumeric(p[i]) && p[i] != '_' && p[i] != '.' && p[i] != '-') {
            return NAME_BAD_BYTE;
        }
    }
    return is_alphanumeric(p[0]) ? NAME_FINE : NAME_BAD_START;
}

bool tp_name_is_valid(troupe_slice name)
{
    return check_name(name) == NAME_FINE;
}

_Static_assert(TP_NAME_MAX == 128 && TP_KEY_MAX == 1024, "the texts below say these numbers");

static const char *const type_reasons[NAME_FAULTS] = {
    [NAME_EMPTY] = "the type is empty: write type/key",
    [NAME_TOO_LONG] = "the type is longer than 128 bytes",
    [NAME_BAD_BYTE] = "the type has a byte other than A-Z a-z 0-9 _ . -",
    [NAME_BAD_START] = "the type does not begin with a letter or digit",
};

static const char *const partition_reasons[NAME_FAULTS] = {
    [NAME_EMPTY] = "the partition is empty: write type@partition/key, or leave out the @",
    [NAME_TOO_LONG] = "the partition is longer than 128 bytes",
    [NAME_BAD_BYTE] = "the partition has a byte other than A-Z a-z 0-9 _ . -",
    [NAME_BAD_START] = "the partition does not begin with a letter or digit",
};

static const char *check_parts(troupe_slice type, bool has_partition, troupe_slice partition,
                               troupe_slice key)
{
    name_fault fault = check_name(type);
    if (fault != NAME_FINE) {
        return type_reasons[fault];
    }
    fault = has_partition ? check_name(partition) : NAME_FINE;
    if (fault != NAME_FINE) {
        return partition_reasons[fault];
    }
    if (key.size == 0) {
        return "the key is empty: write type/key";
    }
    return key.size > TP_KEY_MAX ? "the key is longer than 1024 bytes" : NULL;
}

static troupe_status refuse(const char *reason, const char **ret_reason)
{
    if (ret_reason != NULL) {
        *ret_reason = reason;
    }
    return TROUPE_USAGE;
}

troupe_status tp_id_parse(troupe_slice text, troupe_slice *ret_type, troupe_slice *ret_partition,
                          troupe_slice *ret_key, const char **ret_reason)
{
    const char *start = text.data;
    const char *slash = text.size > 0 ? memchr(start, '/', text.size) : NULL;
    if (slash == NULL) {
        return refuse("there is no slash: write type/key", ret_reason);
    }
    size_t front = (size_t)(slash - start);
    const char *at = front > 0 ? memchr(start, '@', front) : NULL;
    troupe_slice type = troupe_slice_of(start, at != NULL ? (size_t)(at - start) : front);
    troupe_slice partition = {NULL, 0};
    if (at != NULL) {
        partition = troupe_slice_of(at + 1, (size_t)(slash - at) - 1);
    }
    troupe_slice key = troupe_slice_of(slash + 1, text.size - front - 1);
    const char *reason = check_parts(type, at != NULL, partition, key);
    if (reason != NULL) {
        return refuse(reason, ret_reason);
    }
    *ret_type = type;
    *ret_partition = partition;
    *ret_key = key;
    return TROUPE_OK;
}

/* Copies what fits below `size`; returns where it would end. */
static size_t put(char *out, size_t size, size_t at, troupe_slice part)
{
    size_t left = at < size ? size - at : 0;
    size_t length = part.size < left ? part.size : left;
    if (length > 0) {
        memcpy(out + at, part.data, length);
    }
    return at + part.size;
}

size_t tp_id_print(char *out, size_t size, troupe_slice type, troupe_slice partition,
                   troupe_slice key)
{
    size_t room = size > 0 ? size - 1 : 0;
    size_t length = put(out, room, 0, type);
    if (partition.size > 0) {
        length = put(out, room, length, troupe_str("@"));
        length = put(out, room, length, partition);
    }
    length = put(out, room, length, troupe_str("/"));
    length = put(out, room, length, key);
    if (size > 0) {
        out[length < room ? length : room] = '\0';
    }
    return length;
}

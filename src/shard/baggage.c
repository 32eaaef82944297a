/* SPDX-License-Identifier: Apache-2.0 */
/* Named values in one slice of bytes. See baggage.h. */
#include "shard/baggage.h"

#include <string.h>

typedef struct entry {
    troupe_slice name, value;
    const char *at;
    size_t size; /* of all of it */
} entry;

static bool next_entry(const char *at, const char *end, entry *ret)
{
    if ((size_t)(end - at) < TP_BAGGAGE_HEAD)
        return false;
    const unsigned char *head = (const unsigned char *)at;
    size_t name = head[0], value = head[1] | (size_t)head[2] << 8;
    if ((size_t)(end - at) - TP_BAGGAGE_HEAD < name + value)
        return false;
    ret->at = at;
    ret->size = TP_BAGGAGE_HEAD + name + value;
    ret->name = (troupe_slice){at + TP_BAGGAGE_HEAD, name};
    ret->value = (troupe_slice){at + TP_BAGGAGE_HEAD + name, value};
    return true;
}

static bool find(const char *data, size_t size, troupe_slice name, entry *ret)
{
    for (const char *at = data; size != 0 && next_entry(at, data + size, ret); at += ret->size)
        if (troupe_slice_equal(ret->name, name))
            return true;
    return false;
}

troupe_slice tp_baggage_find(troupe_slice baggage, troupe_slice name)
{
    entry found;
    return find(baggage.data, baggage.size, name, &found) ? found.value : (troupe_slice){NULL, 0};
}

troupe_status tp_baggage_put(char *data, size_t *size, troupe_slice name, troupe_slice value)
{
    if (name.size == 0 || name.size > TP_BAGGAGE_NAME_MAX)
        return TROUPE_USAGE;
    entry old;
    bool is_there = find(data, *size, name, &old);
    size_t rest = *size - (is_there ? old.size : 0);
    size_t added = value.size == 0 ? 0 : TP_BAGGAGE_HEAD + name.size + value.size;
    if (value.size > TP_BAGGAGE_MAX || rest + added > TP_BAGGAGE_MAX)
        return TROUPE_TOO_LARGE;
    if (is_there) {
        char *hole = data + (old.at - data);
        memmove(hole, hole + old.size, *size - (size_t)(old.at - data) - old.size);
    }
    if (added != 0) {
        unsigned char *at = (unsigned char *)data + rest;
        at[0] = (unsigned char)name.size;
        at[1] = (unsigned char)(value.size & 0xff);
        at[2] = (unsigned char)(value.size >> 8);
        at[3] = 0;
        memcpy(at + TP_BAGGAGE_HEAD, name.data, name.size);
        memcpy(at + TP_BAGGAGE_HEAD + name.size, value.data, value.size);
    }
    *size = rest + added;
    return TROUPE_OK;
}

troupe_status tp_baggage_merge(troupe_slice base, const troupe_context *given, size_t count,
    char *out, troupe_slice *ret_baggage)
{
    size_t size = base.size;
    if (size > TP_BAGGAGE_MAX)
        return TROUPE_TOO_LARGE;
    if (size != 0)
        memcpy(out, base.data, size);
    for (size_t i = 0; i < count; i++)
        TROUPE_TRY(tp_baggage_put(out, &size, troupe_str(given[i].name), given[i].value));
    *ret_baggage = (troupe_slice){out, size};
    return TROUPE_OK;
}

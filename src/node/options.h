/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Node options inside the house: filling in defaults and checking ranges when a node opens. The
 * public half, by name and in text, is <troupe/config.h>; the table is options.def.
 *
 * Invariants: what tp_options_resolve returned OK for has every option set and in its range.
 * Threads: pure.
 */
#ifndef TP_NODE_OPTIONS_H
#define TP_NODE_OPTIONS_H

#include <troupe/config.h>

typedef enum tp_option_type {
    TP_OPTION_TEXT,
    TP_OPTION_BOOL,
    TP_OPTION_COUNT32,
    TP_OPTION_COUNT,
    TP_OPTION_DURATION,
    TP_OPTION_BYTES,
    TP_OPTION_SECRET,
    TP_OPTION_URL,
} tp_option_type;

typedef struct tp_option {
    troupe_option_info info;
    tp_option_type type;
    size_t offset; /* in troupe_node_options */
} tp_option;

enum {
#define TP_OPTION(...) +1
    TP_OPTIONS =
#include "node/options.def"
#undef TP_OPTION
};

/* NULL: there is none of this name. */
const tp_option *tp_option_find(const char *name);
/* In the order of the table; NULL: there are not so many. */
const tp_option *tp_option_at(size_t index);

static inline bool tp_option_is_text(const tp_option *option)
{
    return option->type == TP_OPTION_TEXT || option->type == TP_OPTION_SECRET ||
           option->type == TP_OPTION_URL;
}

/* Of an option that is a text; NULL: not set. */
const char *tp_option_text(const troupe_node_options *options, const tp_option *option);
void tp_option_set_text(troupe_node_options *options, const tp_option *option, const char *text);

/* Of one that is none. The value is in its range. */
uint64_t tp_option_number(const troupe_node_options *options, const tp_option *option);
void tp_option_set_number(troupe_node_options *options, const tp_option *option, uint64_t value);
/* The same of a field somewhere else. */
uint64_t tp_value_read(const void *field, tp_option_type type);
void tp_value_write(void *field, tp_option_type type, uint64_t value);

/* As much of `given`, which may be NULL and of another size, as this library knows. USAGE: it sets
 * more than that. */
TROUPE_CHECK troupe_status tp_options_copy(const troupe_node_options *given,
    troupe_node_options *ret_copy, char *error, size_t error_size);

/*
 * `given` may be NULL (all defaults), and of an older, smaller size. Strings are borrowed from
 * `given`, and have no references any more (references.h). Still 0 afterwards: shards (one for each
 * core) and memory_limit (half of the memory), for who asks the machine; driven nodes have 1
 * shard. max_message is no more than mailbox_bytes.
 * USAGE: `error` names the option, the value, the limits, and what to do.
 */
TROUPE_CHECK troupe_status tp_options_resolve(const troupe_node_options *given,
    troupe_node_options *ret_options, char *error, size_t error_size);

/* Of host:port: an address that no other machine reaches? A name but localhost is not looked up. */
bool tp_address_is_loopback(const char *address);

/* ---- values (option_value.c) ----------------------------------------------------------------- */

/* Reads a count, duration, bytes or bool. False: not of this form, or over 64 bits. */
bool tp_value_parse(tp_option_type type, const char *text, uint64_t *ret_value);

/* Writes it with the largest unit that is exact. Like snprintf. */
size_t tp_value_print(tp_option_type type, uint64_t value, char *out, size_t size);

/* How it is written, for errors: "a duration such as 10ms". */
const char *tp_value_form(tp_option_type type);

#endif

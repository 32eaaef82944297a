/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of node options (options.def) at work: set and get by name, defaults, ranges. It asks
 * nothing of the machine. node.c, the daemon and the command line tool call it.
 *
 * Invariants: the static asserts: a row's kind fits its field's size; shards fit TP_SHARDS_MAX.
 * Threads: pure.
 */
#include "node/options.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/cell.h"
#include "base/limits.h"
#include "cluster/placing.h"
#include "member/view.h"
#include "node/references.h"
#include "observe/log.h"
#include "place/labels.h"

#define MEMORY_LEAST 16384 /* of memory_limit, if it is given */

#define SIZE_TEXT     sizeof(const char *)
#define SIZE_SECRET   sizeof(const char *)
#define SIZE_URL      sizeof(const char *)
#define SIZE_BOOL     sizeof(bool)
#define SIZE_COUNT32  sizeof(uint32_t)
#define SIZE_COUNT    sizeof(uint64_t)
#define SIZE_DURATION sizeof(uint64_t)
#define SIZE_BYTES    sizeof(uint64_t)
#define TP_OPTION(field, kind, ...) \
    _Static_assert(sizeof(((troupe_node_options *)0)->field) == SIZE_##kind, #field);
#include "node/options.def"
#undef TP_OPTION
_Static_assert(TP_SHARDS_MAX == 256, "the most of `shards` in options.def");

#define PUBLIC_TEXT     TROUPE_OPTION_TEXT
#define PUBLIC_SECRET   TROUPE_OPTION_SECRET
#define PUBLIC_URL      TROUPE_OPTION_URL
#define PUBLIC_BOOL     TROUPE_OPTION_BOOL
#define PUBLIC_COUNT32  TROUPE_OPTION_COUNT
#define PUBLIC_COUNT    TROUPE_OPTION_COUNT
#define PUBLIC_DURATION TROUPE_OPTION_DURATION
#define PUBLIC_BYTES    TROUPE_OPTION_BYTES

static const tp_option options_table[] = {
#define ROW(reload, field, kind, standard, least, most, help)                        \
    {{#field, PUBLIC_##kind, standard, least, most, help, reload}, TP_OPTION_##kind, \
        offsetof(troupe_node_options, field)},
#define TP_OPTION(...)      ROW(TROUPE_RELOAD_RESTART, __VA_ARGS__)
#define TP_LIVE_OPTION(...) ROW(TROUPE_RELOAD_LIVE, __VA_ARGS__)
#define TP_READ_OPTION(...) ROW(TROUPE_RELOAD_FILE, __VA_ARGS__)
#include "node/options.def"
#undef TP_OPTION
};

static const char *const option_names[] = {
#define TP_OPTION(field, ...) #field,
#include "node/options.def"
#undef TP_OPTION
};

static const char *const placements[] = {
    "prefer-local", "round-robin", "random", "consistent-hash", "least-loaded", "labels"};

#define OPTION_COUNT TP_OPTIONS
#define VALUE_BYTES  48

const char *troupe_reload_name(troupe_reload reload)
{
    switch (reload) {
    case TROUPE_RELOAD_RESTART:
        return "restart";
    case TROUPE_RELOAD_LIVE:
        return "live";
    case TROUPE_RELOAD_FILE:
        return "file";
    }
    return "?";
}

const char *troupe_option_kind_name(troupe_option_kind kind)
{
    switch (kind) {
    case TROUPE_OPTION_TEXT:
        return "text";
    case TROUPE_OPTION_BOOL:
        return "bool";
    case TROUPE_OPTION_COUNT:
        return "count";
    case TROUPE_OPTION_DURATION:
        return "duration";
    case TROUPE_OPTION_BYTES:
        return "bytes";
    case TROUPE_OPTION_SECRET:
        return "secret";
    case TROUPE_OPTION_URL:
        return "url";
    }
    return "?";
}

void troupe_options_each(troupe_option_visit *visit, void *user)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        visit(user, &options_table[i].info);
    }
}

static bool is_name(const char *given, const char *name)
{
    while (*given != '\0' && (*given == *name || (*given == '-' && *name == '_'))) {
        given++;
        name++;
    }
    return *given == '\0' && *name == '\0';
}

const tp_option *tp_option_find(const char *name)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (is_name(name, options_table[i].info.name)) {
            return &options_table[i];
        }
    }
    return NULL;
}

const tp_option *tp_option_at(size_t index)
{
    return index < OPTION_COUNT ? &options_table[index] : NULL;
}

const char *troupe_options_nearest(const char *name)
{
    return troupe_nearest_name(name, option_names, OPTION_COUNT);
}

/* ---- fields ---------------------------------------------------------------------------------- */

const char *tp_option_text(const troupe_node_options *options, const tp_option *option)
{
    const char *text;
    memcpy(&text, (const char *)options + option->offset, sizeof(text));
    return text;
}

void tp_option_set_text(troupe_node_options *options, const tp_option *option, const char *text)
{
    memcpy((char *)options + option->offset, &text, sizeof(text));
}

uint64_t tp_value_read(const void *field, tp_option_type type)
{
    switch (type) {
    case TP_OPTION_BOOL:
        return TP_LIVE_GET(*(const bool *)field);
    case TP_OPTION_COUNT32:
        return TP_LIVE_GET(*(const uint32_t *)field);
    default:
        return TP_LIVE_GET(*(const uint64_t *)field);
    }
}

void tp_value_write(void *field, tp_option_type type, uint64_t value)
{
    switch (type) {
    case TP_OPTION_BOOL:
        TP_LIVE_SET(*(bool *)field, value != 0);
        break;
    case TP_OPTION_COUNT32:
        TP_LIVE_SET(*(uint32_t *)field, (uint32_t)value);
        break;
    default:
        TP_LIVE_SET(*(uint64_t *)field, value);
        break;
    }
}

uint64_t tp_option_number(const troupe_node_options *options, const tp_option *option)
{
    return tp_value_read((const char *)options + option->offset, option->type);
}

void tp_option_set_number(troupe_node_options *options, const tp_option *option, uint64_t value)
{
    tp_value_write((char *)options + option->offset, option->type, value);
}

/* A value out of the table itself. */
static uint64_t table_value(const tp_option *option, const char *text)
{
    uint64_t value = 0;
    bool is_value = tp_value_parse(option->type, text, &value);
    TP_ASSERT(is_value);
    return value;
}

/* ---- checks ---------------------------------------------------------------------------------- */

static bool is_plain_name(const char *text)
{
    size_t size = strlen(text);
    return size >= 1 && size <= TP_NAME_MAX &&
           strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") ==
               size;
}

static bool is_placement(const char *text)
{
    for (size_t i = 0; i < sizeof(placements) / sizeof(placements[0]); i++) {
        if (strcmp(text, placements[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool are_labels(const char *text)
{
    tp_label labels[TP_VIEW_LABELS_MAX];
    char words[8]; /* the option's help says it all */
    size_t count;
    tp_text error;
    tp_text_init(&error, words, sizeof(words));
    return tp_labels_parse(troupe_str(text), labels, TP_VIEW_LABELS_MAX, &count, &error) ==
           TROUPE_OK;
}

static troupe_status check_text(
    const tp_option *option, const char *text, char *error, size_t error_size)
{
    troupe_log_level level;
    bool is_text;
    bool is_good = text[0] != '\0' || option->info.standard[0] == '\0';
    if (strcmp(option->info.name, "name") == 0 || strcmp(option->info.name, "cluster_name") == 0) {
        is_good = is_plain_name(text);
    } else if (strcmp(option->info.name, "log") == 0) {
        is_good = tp_log_parse(text, &level, &is_text);
    } else if (strcmp(option->info.name, "placement") == 0) {
        is_good = is_placement(text);
    } else if (strcmp(option->info.name, "labels") == 0) {
        is_good = are_labels(text);
    } else if (strcmp(option->info.name, "cache_policy") == 0) {
        is_good = strcmp(text, "lru") == 0 || strcmp(text, "tinylfu") == 0;
    } else if (strcmp(option->info.name, "compression") == 0) {
        is_good =
            strcmp(text, "none") == 0 || strcmp(text, "lz4") == 0 || strcmp(text, "zstd") == 0;
    }
    if (is_good) {
        return TROUPE_OK;
    }
    (void)snprintf(error, error_size, "%s: \"%.100s\" is no value for it. It means: %s",
        option->info.name, text, option->info.help);
    return TROUPE_USAGE;
}

static troupe_status check_number(
    const tp_option *option, uint64_t value, char *error, size_t error_size)
{
    if (option->type == TP_OPTION_BOOL) {
        return TROUPE_OK;
    }
    bool is_small = value < table_value(option, option->info.least);
    if (!is_small && value <= table_value(option, option->info.most)) {
        return TROUPE_OK;
    }
    char text[VALUE_BYTES];
    (void)tp_value_print(option->type, value, text, sizeof(text));
    (void)snprintf(error, error_size,
        "%s: %s is too %s: choose from %s to %s, or leave it out for %s", option->info.name, text,
        is_small ? "small" : "large", option->info.least, option->info.most, option->info.standard);
    return TROUPE_USAGE;
}

/* ---- by name --------------------------------------------------------------------------------- */

static troupe_status fail_unknown(const char *name, char *error, size_t error_size)
{
    const char *nearest = troupe_options_nearest(name);
    if (nearest != NULL) {
        (void)snprintf(
            error, error_size, "%.100s: no such option; did you mean %s?", name, nearest);
    } else {
        (void)snprintf(error, error_size,
            "%.100s: no such option; `troupe config --defaults` lists them", name);
    }
    return TROUPE_USAGE;
}

static bool has_field(const troupe_node_options *options, const tp_option *option)
{
    return option->offset < options->size;
}

/* A text with references is looked at again when they are resolved. The level of the log is wanted
 * by programs before that. */
static troupe_status check_given_text(
    const tp_option *option, const char *text, char *error, size_t error_size)
{
    if (strstr(text, "${") == NULL || strcmp(option->info.name, "log") == 0) {
        return check_text(option, text, error, error_size);
    }
    return tp_references_check(option->info.name, text, error, error_size);
}

troupe_status troupe_options_set(troupe_node_options *options, const char *name, const char *value,
    char *error, size_t error_size)
{
    const tp_option *option = tp_option_find(name);
    if (option == NULL) {
        return fail_unknown(name, error, error_size);
    }
    if (!has_field(options, option)) {
        (void)snprintf(error, error_size,
            "%s: the options have size %zu, without this one: begin their initializer "
            "with TROUPE_NODE_OPTIONS",
            option->info.name, options->size);
        return TROUPE_USAGE;
    }
    if (tp_option_is_text(option)) {
        troupe_status status = check_given_text(option, value, error, error_size);
        if (status == TROUPE_OK) {
            tp_option_set_text(options, option, value);
        }
        return status;
    }
    uint64_t number = 0;
    if (!tp_value_parse(option->type, value, &number)) {
        (void)snprintf(error, error_size, "%s: \"%.100s\" is not %s", option->info.name, value,
            tp_value_form(option->type));
        return TROUPE_USAGE;
    }
    troupe_status status = check_number(option, number, error, error_size);
    if (status == TROUPE_OK) {
        tp_option_set_number(options, option, number);
    }
    return status;
}

size_t troupe_options_get(
    const troupe_node_options *options, const char *name, char *out, size_t size)
{
    const tp_option *option = tp_option_find(name);
    if (option == NULL) {
        return 0;
    }
    bool is_there = has_field(options, option);
    if (tp_option_is_text(option)) {
        const char *text = is_there ? tp_option_text(options, option) : NULL;
        return tp_option_show(option, text != NULL ? text : option->info.standard, out, size);
    }
    uint64_t value = is_there ? tp_option_number(options, option) : 0;
    return tp_value_print(
        option->type, value != 0 ? value : table_value(option, option->info.standard), out, size);
}

troupe_status troupe_placing_check(const troupe_placing *placing, char *error, size_t error_size)
{
    static const char behind[] = "placement: ";
    const troupe_type type = {.size = sizeof(type), .name = "type", .placement = *placing};
    char name[TP_PLACING_LABEL_NAME];
    char value[TP_PLACING_LABEL_VALUE + 1];
    char words[512] = "";
    bool says;
    troupe_status status = tp_placing_tell(
        tp_allocator_system(), &type, &says, name, value, words, sizeof(words));
    const char *at = strstr(words, behind);
    if (status != TROUPE_OK) {
        (void)snprintf(error, error_size, "%s", at != NULL ? at + strlen(behind) : words);
    }
    return status;
}

/* ---- resolve --------------------------------------------------------------------------------- */

troupe_status tp_options_copy(
    const troupe_node_options *given, troupe_node_options *ret_copy, char *error, size_t error_size)
{
    memset(ret_copy, 0, sizeof(*ret_copy));
    ret_copy->size = sizeof(*ret_copy);
    if (given == NULL) {
        return TROUPE_OK;
    }
    if (given->size < sizeof(given->size)) {
        (void)snprintf(error, error_size,
            "the options have size %zu: begin their initializer with "
            "TROUPE_NODE_OPTIONS",
            given->size);
        return TROUPE_USAGE;
    }
    for (size_t i = sizeof(*given); i < given->size; i++) {
        if (((const char *)given)[i] != 0) {
            (void)snprintf(error, error_size,
                "the options set a field that this library (%s) does not know: run "
                "with the version that the program was built for",
                TROUPE_VERSION);
            return TROUPE_USAGE;
        }
    }
    memcpy(ret_copy, given, given->size < sizeof(*given) ? given->size : sizeof(*given));
    ret_copy->size = sizeof(*ret_copy);
    return TROUPE_OK;
}

static troupe_status resolve_one(
    troupe_node_options *options, const tp_option *option, char *error, size_t error_size)
{
    if (tp_option_is_text(option)) {
        if (tp_option_text(options, option) == NULL) {
            tp_option_set_text(options, option, option->info.standard);
        }
        return check_text(option, tp_option_text(options, option), error, error_size);
    }
    if (tp_option_number(options, option) == 0) {
        tp_option_set_number(options, option, table_value(option, option->info.standard));
    }
    return check_number(option, tp_option_number(options, option), error, error_size);
}

/* Of host:port: an address that no other machine reaches? A name but localhost is not looked up. */
bool tp_address_is_loopback(const char *address)
{
    const char *colon = strrchr(address, ':');
    size_t size = colon != NULL ? (size_t)(colon - address) : strlen(address);
    if ((size == 9 && memcmp(address, "localhost", 9) == 0) ||
        (size == 5 && memcmp(address, "[::1]", 5) == 0)) {
        return true;
    }
    return size > 4 && memcmp(address, "127.", 4) == 0 && strspn(address, "0123456789.") == size;
}

/* Between nodes: certificates, or clear text that does not leave the machine, or that is wanted. */
static troupe_status check_secrecy(
    const troupe_node_options *options, char *error, size_t error_size)
{
    int given = (options->tls_certificate[0] != 0) + (options->tls_key[0] != 0) +
                (options->tls_authority[0] != 0);
    if (given != 0 && given != 3) {
        (void)snprintf(error, error_size,
            "tls_certificate, tls_key, tls_authority: some are missing: give all three, or none "
            "for clear text");
        return TROUPE_USAGE;
    }
    if (given == 3 || options->allow_clear_text || options->cluster[0] == 0) {
        return TROUPE_OK;
    }
    bool is_heard = !tp_address_is_loopback(options->listen);
    if (!is_heard && (options->advertise[0] == 0 || tp_address_is_loopback(options->advertise))) {
        return TROUPE_OK;
    }
    (void)snprintf(error, error_size,
        "%s: %.100s is reached from other machines, and would be without encryption: give "
        "tls_certificate, tls_key and tls_authority, or set allow_clear_text=true",
        is_heard ? "listen" : "advertise", is_heard ? options->listen : options->advertise);
    return TROUPE_USAGE;
}

/* Calls over HTTP: a token, or none where it does not leave the machine, or is wanted. */
static troupe_status check_http(
    const troupe_node_options *options, char *error, size_t error_size)
{
    if (options->http[0] == 0) {
        return TROUPE_OK;
    }
    bool has_certificate = options->http_tls_certificate[0] != 0;
    bool has_authority = options->http_tls_authority[0] != 0;
    if (has_certificate != (options->http_tls_key[0] != 0) || (has_authority && !has_certificate)) {
        (void)snprintf(error, error_size,
            "http_tls_certificate, http_tls_key: one is missing: give both, with or without "
            "http_tls_authority, or none for clear text");
        return TROUPE_USAGE;
    }
    if (!tp_address_is_loopback(options->http) && !has_certificate &&
        !options->http_allow_clear_text) {
        (void)snprintf(error, error_size,
            "http: %.100s is reached from other machines, and would be without encryption: give "
            "http_tls_certificate and http_tls_key, or set http_allow_clear_text=true",
            options->http);
        return TROUPE_USAGE;
    }
    if (!tp_address_is_loopback(options->http) && options->http_token[0] == 0 && !has_authority &&
        !options->http_allow_open) {
        (void)snprintf(error, error_size,
            "http: %.100s is reached from other machines, and anybody there could call: give "
            "http_token or http_tls_authority, or set http_allow_open=true",
            options->http);
        return TROUPE_USAGE;
    }
    if (options->http_bytes / 4 >= options->max_message) {
        return TROUPE_OK;
    }
    (void)snprintf(error, error_size,
        "http_bytes: it is less than four times max_message, and such a body would never fit: "
        "raise http_bytes or lower max_message");
    return TROUPE_USAGE;
}

/* What options say about each other. */
static troupe_status resolve_together(
    troupe_node_options *options, bool has_max_message, char *error, size_t error_size)
{
    if (options->driven && options->shards > 1) {
        (void)snprintf(error, error_size,
            "shards: %u, but a driven node has one: leave out shards or driven", options->shards);
        return TROUPE_USAGE;
    }
    if (options->driven) {
        options->shards = 1;
    }
    if (options->cache_refresh != 0 && options->cache_refresh >= options->cache_ttl) {
        (void)snprintf(error, error_size,
            "cache_refresh: it is not below cache_ttl, so places would always be asked for anew: "
            "lower it or raise cache_ttl");
        return TROUPE_USAGE;
    }
    if (options->memory_limit != 0 && options->memory_limit < MEMORY_LEAST) {
        (void)snprintf(error, error_size,
            "memory_limit: %llu bytes are too few for any actor: choose 16KiB or more, or leave it "
            "out for half of what this process may use",
            (unsigned long long)options->memory_limit);
        return TROUPE_USAGE;
    }
    TROUPE_TRY(check_secrecy(options, error, error_size));
    TROUPE_TRY(check_http(options, error, error_size));
    if (options->max_message <= options->mailbox_bytes) {
        return TROUPE_OK;
    }
    if (!has_max_message) {
        options->max_message = options->mailbox_bytes;
        return TROUPE_OK;
    }
    char largest[VALUE_BYTES];
    char room[VALUE_BYTES];
    (void)tp_value_print(TP_OPTION_BYTES, options->max_message, largest, sizeof(largest));
    (void)tp_value_print(TP_OPTION_BYTES, options->mailbox_bytes, room, sizeof(room));
    (void)snprintf(error, error_size,
        "max_message: %s never fits into a mailbox of %s: lower max_message or raise "
        "mailbox_bytes",
        largest, room);
    return TROUPE_USAGE;
}

troupe_status tp_options_resolve(const troupe_node_options *given, troupe_node_options *ret_options,
    char *error, size_t error_size)
{
    troupe_node_options options;
    troupe_status status = tp_options_copy(given, &options, error, error_size);
    bool has_max_message = options.max_message != 0;
    for (size_t i = 0; i < OPTION_COUNT && status == TROUPE_OK; i++) {
        status = resolve_one(&options, &options_table[i], error, error_size);
    }
    if (status == TROUPE_OK) {
        status = resolve_together(&options, has_max_message, error, error_size);
    }
    if (status == TROUPE_OK) {
        options.size = sizeof(options);
        *ret_options = options;
    }
    return status;
}

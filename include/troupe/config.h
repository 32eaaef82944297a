/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of a node by name and in text: what command line flags, environment variables and
 * configuration files are read with. Programs that fill in troupe_node_options in C do not need it.
 * One table is behind all of it; `troupe config --defaults` prints that table.
 *
 * Values. Text: as it is. Yes or no: true, false, yes, no, on, off. Counts: 10000, 10_000.
 * Durations: 250us, 10ms, 1m30s, 2h, 7d, never (where the option allows it). Bytes: 4096, 64KiB,
 * 4MiB, 2GiB, 1TiB, or decimal: 64kB, 4MB, 2GB, 1TB.
 *
 * References. In texts (not in `log`), ${file:PATH} stands for what is in the file, without the end
 * of its last line, and ${env:NAME} for an environment variable; $${ stands for "${". They are
 * resolved once, when the node opens, also where the options are set in C. A relative PATH begins
 * at the working directory; in a configuration file of trouped, at the folder of that file. Between
 * the // of a URL and its @ what comes in is written so that it means itself (%40 for @).
 *
 * Threads: all of it is pure [any thread], but troupe_options_check reads files.
 */
#ifndef TROUPE_CONFIG_H
#define TROUPE_CONFIG_H

#include "troupe.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum troupe_option_kind {
    TROUPE_OPTION_TEXT = 1,
    TROUPE_OPTION_BOOL,
    TROUPE_OPTION_COUNT,
    TROUPE_OPTION_DURATION,
    TROUPE_OPTION_BYTES,
    TROUPE_OPTION_SECRET, /* a text that is never shown */
    TROUPE_OPTION_URL,    /* a text whose password is never shown */
} troupe_option_kind;

/* "text", "bool", "count", "duration", "bytes", "secret", "url" */
TROUPE_API const char *troupe_option_kind_name(troupe_option_kind kind);

typedef enum troupe_reload {
    TROUPE_RELOAD_RESTART = 1, /* a node has to be opened anew */
    TROUPE_RELOAD_LIVE,        /* troupe_node_reload changes it */
    TROUPE_RELOAD_FILE,        /* the file that it names is read again */
} troupe_reload;

/* "restart", "live", "file" */
TROUPE_API const char *troupe_reload_name(troupe_reload reload);

typedef struct troupe_option_info {
    const char *name;
    troupe_option_kind kind;
    const char *standard; /* the default, as it would be written */
    const char *least;    /* NULL: texts, bool */
    const char *most;
    const char *help;     /* what it means, one sentence */
    troupe_reload reload; /* can it change while a node runs? */
} troupe_option_info;

/* Every option in the order of troupe_node_options. What `info` points at lives for ever. */
typedef void troupe_option_visit(void *user, const troupe_option_info *info);
TROUPE_API void troupe_options_each(troupe_option_visit *visit, void *user);

/* Sets one option; `-` in the name stands for `_`. The pointer of a text is kept: `value` must live
 * as long as the options are used (troupe_node_open copies). USAGE: `error` names the option, the
 * value, the limits, and the nearest name if there is no such option; the options are as before. */
TROUPE_API TROUPE_CHECK troupe_status troupe_options_set(troupe_node_options *options,
                                                         const char *name, const char *value,
                                                         char *error, size_t error_size);

/* Writes the value of one option, or its default where it is not set, as it would be written in a
 * file, but *** in the place of a secret; a reference to one is shown. Like snprintf: returns the
 * length, cuts at `size`; 0 if there is no such option. */
TROUPE_API size_t troupe_options_get(const troupe_node_options *options, const char *name,
                                     char *out, size_t size);

/* The same of an open node, with what it found on the machine for shards and memory_limit of 0. Not
 * of texts, which it does not keep: 0. */
TROUPE_API size_t troupe_node_option(const troupe_node *node, const char *name, char *out,
                                     size_t size);

/* What a reload found: an option, or a setting of a type, that is not as it was; borrowed. */
typedef struct troupe_reload_change {
    const char *name;  /* "idle"; "types.account.idle" */
    const char *value; /* what it is to be, as it would be written; *** in the place of a secret */
    bool is_taken;     /* false: it needs a restart, and is as it was */
} troupe_reload_change;
typedef void troupe_reload_visit(void *user, const troupe_reload_change *change);

/* [any thread but in a turn] Has an open node take what can change of `options`, which are all of
 * its options: what is not set means its default. Options that need a restart, and differ, are told
 * and stay. Where the options name certificates their files are read again, changed or not. Of the
 * types those of the node with the same name take idle, mailbox_limit, batch and arena_limit; NULL:
 * the types' own stay. Calls go on meanwhile, each as before or as after. `visit` may be NULL.
 * USAGE: the options are wrong, or a file is; `error` (may be NULL) begins with the option's name
 * as that of troupe_options_check, and nothing has changed. BUSY: another thread does it.
 * NO_MEMORY: nothing has changed. UNAVAILABLE: it is done, but a shard did not hear of it, for a
 * stuck turn or for want of memory: reload again, with the same options or others. */
TROUPE_API TROUPE_CHECK troupe_status troupe_node_reload(troupe_node *node,
                                                         const troupe_node_options *options,
                                                         const troupe_type *const *types,
                                                         size_t type_count,
                                                         troupe_reload_visit *visit, void *user,
                                                         char *error, size_t error_size);

/* Looks at the options as a node does before it opens: references, limits, what options say about
 * each other. Nothing is opened but files of references. USAGE: `error` begins with the option's
 * name. */
TROUPE_API TROUPE_CHECK troupe_status troupe_options_check(const troupe_node_options *options,
                                                           char *error, size_t error_size);

/* The name that was probably meant; NULL: none is near. For keys that are not options of a node. */
TROUPE_API const char *troupe_nearest_name(const char *name, const char *const *names,
                                           size_t count);

/* The same among the options of a node. */
TROUPE_API const char *troupe_options_nearest(const char *name);

/* ---- configuration files ---------------------------------------------------------------------
 * YAML, of which as much as a configuration needs: maps, nested at will, scalars, and lists of
 * scalars. Nested keys come joined by dots:
 *
 *     max_actors: 1_000_000        max_actors           1_000_000
 *     modules: [a.so, b.so]        modules (twice)      a.so, b.so
 *     types:
 *       account:
 *         idle: 5m                 types.account.idle   5m
 *
 * A key that comes twice, anchors, aliases, tags and several documents are refused.
 */
typedef struct troupe_config_entry {
    const char *key;   /* borrowed during the call, as all of it */
    const char *value; /* "" where there is none */
    uint32_t line;     /* of the value, from 1 */
    uint32_t column;
    uint32_t key_line; /* of the last part of the key */
    uint32_t key_column;
    bool is_item;      /* one of a list */
    bool is_quoted;
} troupe_config_entry;

/* Another status than OK ends the parse with it; words in `error` get line and column in front. */
typedef troupe_status troupe_config_visit(void *user, const troupe_config_entry *entry,
                                          char *error, size_t error_size);

/* USAGE: no such YAML; `error` says where and what. TOO_LARGE: over 1 MiB, 1,024 keys, 8 levels, or
 * 256 bytes of key. NO_MEMORY. Entries before the faulty one have been visited. */
TROUPE_API TROUPE_CHECK troupe_status troupe_config_parse(troupe_slice yaml,
                                                          troupe_config_visit *visit, void *user,
                                                          char *error, size_t error_size);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration files: a small part of YAML, flattened to keys and values, by libyaml's events. It
 * knows no option: the visitor does. The daemon calls it, and the fuzzer.
 *
 * Invariants
 * 1. `path` holds the keys of all open maps, joined by dots; a level remembers how long it was.
 * 2. Depth, keys, and lengths are bounded by the limits below: TOO_LARGE beyond.
 *
 *     state of a level          scalar           map            list          end
 *     map, wants a key          the key          fault          fault         leaves
 *     map, wants a value        visit            enters         enters        (none)
 *     list                      visit            fault          fault         leaves
 *
 * Threads: pure. libyaml takes its own memory from malloc.
 */
#include <stdio.h>
#include <string.h>
#include <xxhash.h>
#include <yaml.h>

#include <troupe/config.h>

#include "base/alloc.h"

#define FILE_BYTES_MAX (1024 * 1024)
#define KEYS_MAX       1024
#define DEPTH_MAX      8
#define PATH_MAX_BYTES 256
#define WORDS_MAX      512

typedef struct level {
    size_t path_size; /* of what encloses it */
    bool is_list;
    bool has_key; /* map: the key was read, the value comes */
} level;

typedef struct reader {
    yaml_parser_t parser;
    troupe_config_visit *visit;
    void *user;
    char *error;
    size_t error_size;
    level levels[DEPTH_MAX];
    uint32_t depth; /* 0: outside the top map */
    bool had_document;
    uint32_t key_line;
    uint32_t key_column;
    size_t path_size;
    char path[PATH_MAX_BYTES + 1];
    uint32_t key_count;
    XXH64_hash_t keys[KEYS_MAX]; /* of the paths seen, to find doubles */
} reader;

static uint32_t line_of(yaml_mark_t mark)
{
    return (uint32_t)mark.line + 1;
}

static uint32_t column_of(yaml_mark_t mark)
{
    return (uint32_t)mark.column + 1;
}

static troupe_status fail_at(
    reader *self, yaml_mark_t mark, troupe_status status, const char *words)
{
    (void)snprintf(self->error, self->error_size, "line %u, column %u: %s", line_of(mark),
        column_of(mark), words);
    return status;
}

/* What libyaml did not like. */
static troupe_status fail_parse(reader *self)
{
    const yaml_parser_t *parser = &self->parser;
    if (parser->error == YAML_MEMORY_ERROR) {
        (void)snprintf(self->error, self->error_size, "no memory to read the configuration");
        return TROUPE_NO_MEMORY;
    }
    char words[WORDS_MAX];
    (void)snprintf(words, sizeof(words), "%s%s%s",
        parser->problem != NULL ? parser->problem : "this is no YAML",
        parser->context != NULL ? ", " : "", parser->context != NULL ? parser->context : "");
    return fail_at(self, parser->problem_mark, TROUPE_USAGE, words);
}

/* ---- keys ------------------------------------------------------------------------------------ */

static troupe_status remember_key(reader *self, yaml_mark_t mark)
{
    XXH64_hash_t hash = XXH3_64bits(self->path, self->path_size);
    for (uint32_t i = 0; i < self->key_count; i++) {
        if (self->keys[i] == hash) {
            char words[WORDS_MAX];
            (void)snprintf(
                words, sizeof(words), "%s: this key is there twice: remove one", self->path);
            return fail_at(self, mark, TROUPE_USAGE, words);
        }
    }
    if (self->key_count == KEYS_MAX) {
        return fail_at(self, mark, TROUPE_TOO_LARGE, "more than 1,024 keys");
    }
    self->keys[self->key_count++] = hash;
    return TROUPE_OK;
}

static troupe_status take_key(reader *self, const yaml_event_t *event)
{
    level *top = &self->levels[self->depth - 1];
    const char *key = (const char *)event->data.scalar.value;
    size_t size = event->data.scalar.length;
    if (size == 0 || memchr(key, '\0', size) != NULL) {
        return fail_at(self, event->start_mark, TROUPE_USAGE, "a key must be a word");
    }
    self->path_size = top->path_size;
    size_t dot = self->path_size > 0 ? 1 : 0;
    if (size > PATH_MAX_BYTES - self->path_size - dot) {
        return fail_at(self, event->start_mark, TROUPE_TOO_LARGE,
            "the key, with those around it, is longer than 256 bytes");
    }
    if (dot == 1) {
        self->path[self->path_size++] = '.';
    }
    memcpy(self->path + self->path_size, key, size);
    self->path_size += size;
    self->path[self->path_size] = '\0';
    self->key_line = line_of(event->start_mark);
    self->key_column = column_of(event->start_mark);
    top->has_key = true;
    return TROUPE_OK;
}

/* ---- values ---------------------------------------------------------------------------------- */

static troupe_status take_value(reader *self, const yaml_event_t *event)
{
    const char *value = (const char *)event->data.scalar.value;
    if (memchr(value, '\0', event->data.scalar.length) != NULL) {
        return fail_at(self, event->start_mark, TROUPE_USAGE, "a value may not contain NUL");
    }
    level *top = &self->levels[self->depth - 1];
    if (!top->is_list) {
        top->has_key = false;
        troupe_status status = remember_key(self, event->start_mark);
        if (status != TROUPE_OK) {
            return status;
        }
    }
    troupe_config_entry entry = {
        .key = self->path,
        .value = value,
        .line = line_of(event->start_mark),
        .column = column_of(event->start_mark),
        .key_line = self->key_line,
        .key_column = self->key_column,
        .is_item = top->is_list,
        .is_quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE,
    };
    char words[WORDS_MAX];
    words[0] = '\0';
    troupe_status status = self->visit(self->user, &entry, words, sizeof(words));
    return status == TROUPE_OK ? TROUPE_OK : fail_at(self, event->start_mark, status, words);
}

static troupe_status take_scalar(reader *self, const yaml_event_t *event)
{
    if (event->data.scalar.anchor != NULL) {
        return fail_at(self, event->start_mark, TROUPE_USAGE, "anchors are not supported");
    }
    if (event->data.scalar.tag != NULL) {
        return fail_at(self, event->start_mark, TROUPE_USAGE, "tags are not supported");
    }
    if (self->depth == 0) {
        /* A file of comments only is a document with an empty scalar. */
        return event->data.scalar.length == 0
                   ? TROUPE_OK
                   : fail_at(self, event->start_mark, TROUPE_USAGE,
                         "the file must be a map: lines of `key: value`");
    }
    level *top = &self->levels[self->depth - 1];
    return top->is_list || top->has_key ? take_value(self, event) : take_key(self, event);
}

static troupe_status enter(reader *self, const yaml_event_t *event, bool is_list)
{
    level *top = self->depth > 0 ? &self->levels[self->depth - 1] : NULL;
    bool is_marked =
        is_list
            ? event->data.sequence_start.anchor != NULL || event->data.sequence_start.tag != NULL
            : event->data.mapping_start.anchor != NULL || event->data.mapping_start.tag != NULL;
    if (is_marked) {
        return fail_at(self, event->start_mark, TROUPE_USAGE, "anchors and tags are not supported");
    }
    if (top == NULL && is_list) {
        return fail_at(
            self, event->start_mark, TROUPE_USAGE, "the file must be a map: lines of `key: value`");
    }
    if (top != NULL && top->is_list) {
        return fail_at(self, event->start_mark, TROUPE_USAGE, "a list may hold single values only");
    }
    if (top != NULL && !top->has_key) {
        return fail_at(self, event->start_mark, TROUPE_USAGE, "a key must be a word");
    }
    if (self->depth == DEPTH_MAX) {
        return fail_at(self, event->start_mark, TROUPE_TOO_LARGE, "more than 8 levels of nesting");
    }
    if (top != NULL) {
        top->has_key = false;
    }
    self->levels[self->depth++] = (level){.path_size = self->path_size, .is_list = is_list};
    return is_list ? remember_key(self, event->start_mark) : TROUPE_OK;
}

static void leave(reader *self)
{
    self->depth--;
    self->path_size = self->levels[self->depth].path_size;
    self->path[self->path_size] = '\0';
}

/* ---- events ---------------------------------------------------------------------------------- */

static troupe_status take_event(reader *self, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return take_scalar(self, event);
    case YAML_MAPPING_START_EVENT:
        return enter(self, event, false);
    case YAML_SEQUENCE_START_EVENT:
        return enter(self, event, true);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        leave(self);
        return TROUPE_OK;
    case YAML_ALIAS_EVENT:
        return fail_at(self, event->start_mark, TROUPE_USAGE, "aliases are not supported");
    case YAML_DOCUMENT_START_EVENT:
        if (self->had_document) {
            return fail_at(
                self, event->start_mark, TROUPE_USAGE, "a second document: a configuration is one");
        }
        self->had_document = true;
        return TROUPE_OK;
    default:
        return TROUPE_OK;
    }
}

static troupe_status read_all(reader *self)
{
    for (;;) {
        yaml_event_t event;
        if (yaml_parser_parse(&self->parser, &event) == 0) {
            return fail_parse(self);
        }
        bool is_end = event.type == YAML_STREAM_END_EVENT;
        troupe_status status = take_event(self, &event);
        yaml_event_delete(&event);
        if (status != TROUPE_OK || is_end) {
            return status;
        }
    }
}

troupe_status troupe_config_parse(
    troupe_slice yaml, troupe_config_visit *visit, void *user, char *error, size_t error_size)
{
    if (yaml.size > FILE_BYTES_MAX) {
        (void)snprintf(
            error, error_size, "the configuration has %zu bytes; 1 MiB is the most", yaml.size);
        return TROUPE_TOO_LARGE;
    }
    const troupe_allocator *memory = tp_allocator_system();
    reader *self = tp_allocate_zeroed(memory, sizeof(*self));
    if (self == NULL || yaml_parser_initialize(&self->parser) == 0) {
        tp_release(memory, self, sizeof(*self));
        (void)snprintf(error, error_size, "no memory to read the configuration");
        return TROUPE_NO_MEMORY;
    }
    self->visit = visit;
    self->user = user;
    self->error = error;
    self->error_size = error_size;
    yaml_parser_set_input_string(&self->parser, (const unsigned char *)yaml.data, yaml.size);
    troupe_status status = read_all(self);
    yaml_parser_delete(&self->parser);
    tp_release(memory, self, sizeof(*self));
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text form of views: JSON, one member and one change a line, so that a person can read what
 * lies in etcd or in a file. Members that host the same types share one list of them. The parser is
 * strict: a member that is missing, unknown, twice there or of another kind is CORRUPT, for views
 * that two nodes read differently would be two views. Only `format` opens the way to later forms.
 *
 * jansson's own memory is malloc's, and gone when a call returns.
 *
 * Threads: any.
 */
#include "base/alloc.h"
#include "base/text.h"
#include "member/view_inside.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>

#define FORMAT 1

/* ---- writing --------------------------------------------------------------------------------- */

static void put_number(tp_text *out, const char *name, uint64_t number)
{
    tp_text_printf(out, "\"%s\": %llu", name, (unsigned long long)number);
}

static void put_text(tp_text *out, const char *name, troupe_slice text)
{
    tp_text_printf(out, ", \"%s\": ", name);
    tp_text_json(out, text);
}

static void put_types(tp_text *out, const tp_view *shape, const uint32_t *leaders)
{
    const char *between = "\n";
    tp_text_printf(out, " \"types\": [");
    for (size_t i = 0; i < shape->member_count; i++) {
        const tp_view_member *member = &shape->members[i];
        if (leaders[i] != i)
            continue;
        tp_text_printf(out, "%s  [", between);
        for (size_t k = 0; k < member->type_count; k++) {
            tp_text_printf(out, "%s", k != 0 ? ", " : "");
            tp_text_json(out, member->types[k]);
        }
        tp_text_printf(out, "]");
        between = ",\n";
    }
    tp_text_printf(out, "],\n");
}

static void put_member(tp_text *out, const tp_view_member *member, uint32_t types)
{
    tp_text_printf(out, "  {");
    put_number(out, "incarnation", member->incarnation);
    put_text(out, "name", member->name);
    put_text(out, "address", member->address);
    put_text(out, "status", troupe_str(tp_view_status_name(member->status)));
    tp_text_printf(out, ", ");
    put_number(out, "shards", member->shards);
    tp_text_printf(out, ", ");
    put_number(out, "joined", member->joined);
    tp_text_printf(out, ", ");
    put_number(out, "nonce", member->nonce);
    tp_text_printf(out, ", ");
    put_number(out, "types", types);
    tp_text_printf(out, ", \"labels\": {");
    for (size_t i = 0; i < member->label_count; i++) {
        tp_text_printf(out, "%s", i != 0 ? ", " : "");
        tp_text_json(out, member->labels[i].name);
        tp_text_printf(out, ": ");
        tp_text_json(out, member->labels[i].value);
    }
    tp_text_printf(out, "}}");
}

static void put_view(tp_text *out, const tp_view *shape, const uint32_t *leaders)
{
    uint32_t types = 0;
    tp_text_printf(out, "{\"format\": %d, ", FORMAT);
    put_number(out, "number", shape->number);
    tp_text_printf(out, ", ");
    put_number(out, "since", shape->since);
    tp_text_printf(out, ", ");
    put_number(out, "next_incarnation", shape->next_incarnation);
    tp_text_printf(out, ", ");
    put_number(out, "ttl_ms", shape->ttl / TROUPE_MILLISECONDS(1));
    tp_text_printf(out, ", \"secret\": \"");
    for (size_t i = 0; i < TP_VIEW_SECRET; i++)
        tp_text_printf(out, "%02x", shape->secret[i]);
    tp_text_printf(out, "\",\n");
    put_types(out, shape, leaders);
    tp_text_printf(out, " \"members\": [");
    for (size_t i = 0; i < shape->member_count; i++) {
        uint32_t number = 0;
        if (leaders[i] == i)
            number = types++;
        else /* the leader's place among the leaders */
            for (size_t k = 0; k < leaders[i]; k++)
                number += leaders[k] == k;
        tp_text_printf(out, "%s", i != 0 ? ",\n" : "\n");
        put_member(out, &shape->members[i], number);
    }
    tp_text_printf(out, "],\n \"changes\": [");
    for (size_t i = 0; i < shape->change_count; i++) {
        tp_text_printf(out, "%s  {", i != 0 ? ",\n" : "\n");
        put_number(out, "view", shape->changes[i].view);
        tp_text_printf(out, ", ");
        put_number(out, "member", shape->changes[i].incarnation);
        put_text(out, "what", troupe_str(tp_view_what_name(shape->changes[i].what)));
        tp_text_printf(out, "}");
    }
    tp_text_printf(out, "]}\n");
}

troupe_status tp_view_encode(const troupe_allocator *allocator, const tp_view *shape,
    const uint32_t *leaders, troupe_slice *ret_text, size_t *ret_room)
{
    for (size_t room = 4096; room <= 2 * TROUPE_VIEW_MAX; room *= 2) {
        tp_text out;
        char *data = tp_allocate(allocator, room);
        if (data == NULL)
            return TROUPE_NO_MEMORY;
        tp_text_init(&out, data, room);
        put_view(&out, shape, leaders);
        if (!out.is_cut && out.size <= TROUPE_VIEW_MAX) {
            *ret_text = tp_text_slice(&out);
            *ret_room = room;
            return TROUPE_OK;
        }
        tp_release(allocator, data, room);
    }
    return TROUPE_TOO_LARGE;
}

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct reader {
    const char *wrong; /* NULL: nothing yet */
    const char *where;
    tp_view shape;
    /* one block for all of these */
    tp_view_member *members;
    tp_view_change *changes;
    troupe_slice *types;
    size_t types_used;
    tp_view_label *labels;
    size_t labels_used;
    size_t *set_begin; /* of each list of types; one more for the end */
    size_t set_count;
} reader;

static void fail(reader *self, const char *where, const char *wrong)
{
    if (self->wrong == NULL) {
        self->where = where;
        self->wrong = wrong;
    }
}

/* The member `name`, of this kind; an empty value of no use if it is not there. */
static const json_t *get(reader *self, const json_t *object, const char *name, json_type type)
{
    const json_t *value = json_object_get(object, name);
    if (value == NULL)
        fail(self, name, "is missing");
    else if (json_typeof(value) != type)
        fail(self, name, "is of another kind of JSON");
    else
        return value;
    return NULL;
}

static uint64_t get_number(reader *self, const json_t *object, const char *name, uint64_t most)
{
    const json_t *value = get(self, object, name, JSON_INTEGER);
    json_int_t number = value != NULL ? json_integer_value(value) : 0;
    if (number >= 0 && (uint64_t)number <= most)
        return (uint64_t)number;
    fail(self, name, "is out of range");
    return 0;
}

static troupe_slice text_of(const json_t *value)
{
    return troupe_slice_of(json_string_value(value), json_string_length(value));
}

static troupe_slice get_text(reader *self, const json_t *object, const char *name)
{
    const json_t *value = get(self, object, name, JSON_STRING);
    return value != NULL ? text_of(value) : (troupe_slice){"", 0};
}

static void expect_size(reader *self, const json_t *object, const char *what, size_t size)
{
    if (!json_is_object(object))
        fail(self, what, "is no object");
    else if (json_object_size(object) != size)
        fail(self, what, "has an unknown or a missing member");
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void read_secret(reader *self, const json_t *root)
{
    troupe_slice text = get_text(self, root, "secret");
    const char *at = text.data;
    if (text.size != 2 * TP_VIEW_SECRET) {
        fail(self, "secret", "is not 32 hexadecimal digits");
        return;
    }
    for (size_t i = 0; i < TP_VIEW_SECRET; i++) {
        int high = hex(at[2 * i]), low = hex(at[2 * i + 1]);
        if (high < 0 || low < 0)
            fail(self, "secret", "is not 32 hexadecimal digits");
        else
            self->shape.secret[i] = (unsigned char)(high * 16 + low);
    }
}

static int find_name(
    reader *self, const json_t *object, const char *name, const char *(*name_of)(int), int most)
{
    troupe_slice text = get_text(self, object, name);
    for (int i = 1; i <= most; i++)
        if (troupe_slice_equal(text, troupe_str(name_of(i))))
            return i;
    fail(self, name, "is no word that is known here");
    return 1;
}

static const char *status_of(int number)
{
    return tp_view_status_name((tp_view_status)number);
}

static const char *what_of(int number)
{
    return tp_view_what_name((tp_view_what)number);
}

static void read_types(reader *self, const json_t *sets)
{
    for (size_t i = 0; i < self->set_count; i++) {
        const json_t *set = json_array_get(sets, i);
        self->set_begin[i] = self->types_used;
        for (size_t k = 0; k < json_array_size(set); k++) {
            const json_t *type = json_array_get(set, k);
            if (!json_is_string(type))
                fail(self, "types", "is not made of names");
            else
                self->types[self->types_used++] = text_of(type);
        }
    }
    self->set_begin[self->set_count] = self->types_used;
}

static void read_labels(reader *self, const json_t *object, tp_view_member *member)
{
    json_t *labels = (json_t *)(uintptr_t)get(self, object, "labels", JSON_OBJECT);
    const char *name;
    json_t *value;
    member->labels = self->labels + self->labels_used;
    json_object_foreach(labels, name, value)
    {
        if (!json_is_string(value)) {
            fail(self, "labels", "has a value that is no text");
            return;
        }
        self->labels[self->labels_used++] = (tp_view_label){troupe_str(name), text_of(value)};
        member->label_count++;
    }
}

static void read_member(reader *self, const json_t *object, tp_view_member *member)
{
    expect_size(self, object, "members", 9);
    if (self->wrong != NULL)
        return;
    member->incarnation = get_number(self, object, "incarnation", INT64_MAX);
    member->name = get_text(self, object, "name");
    member->address = get_text(self, object, "address");
    member->status = (tp_view_status)find_name(self, object, "status", status_of, TP_VIEW_EMPTY);
    member->shards = (uint32_t)get_number(self, object, "shards", UINT32_MAX);
    member->joined = get_number(self, object, "joined", INT64_MAX);
    member->nonce = get_number(self, object, "nonce", INT64_MAX);
    uint64_t set = get_number(self, object, "types", UINT32_MAX);
    if (set >= self->set_count) {
        fail(self, "types", "is no list of types that is there");
        return;
    }
    member->types = self->types + self->set_begin[set];
    member->type_count = self->set_begin[set + 1] - self->set_begin[set];
    read_labels(self, object, member);
}

static void read_change(reader *self, const json_t *object, tp_view_change *change)
{
    expect_size(self, object, "changes", 3);
    if (self->wrong != NULL)
        return;
    change->view = get_number(self, object, "view", INT64_MAX);
    change->incarnation = get_number(self, object, "member", INT64_MAX);
    change->what = (tp_view_what)find_name(self, object, "what", what_of, TP_VIEW_REVOKED);
}

static void read_parts(reader *self, const json_t *root)
{
    const json_t *members = json_object_get(root, "members");
    const json_t *changes = json_object_get(root, "changes");
    read_types(self, json_object_get(root, "types"));
    for (size_t i = 0; i < self->shape.member_count && self->wrong == NULL; i++)
        read_member(self, json_array_get(members, i), &self->members[i]);
    for (size_t i = 0; i < self->shape.change_count && self->wrong == NULL; i++)
        read_change(self, json_array_get(changes, i), &self->changes[i]);
    self->shape.members = self->members;
    self->shape.changes = self->changes;
}

/* Reads the parts into a block that is large enough for all of them, and makes the view. */
static troupe_status read_in_block(
    reader *self, const troupe_allocator *allocator, const json_t *root, const tp_view **ret_view)
{
    const json_t *members = json_object_get(root, "members");
    const json_t *sets = json_object_get(root, "types");
    size_t types = 0, labels = 0;
    self->set_count = json_array_size(sets);
    for (size_t i = 0; i < self->set_count; i++)
        types += json_array_size(json_array_get(sets, i));
    for (size_t i = 0; i < json_array_size(members); i++)
        labels += json_object_size(json_object_get(json_array_get(members, i), "labels"));
    size_t member_bytes = self->shape.member_count * sizeof *self->members;
    size_t change_bytes = self->shape.change_count * sizeof *self->changes;
    size_t type_bytes = types * sizeof *self->types, label_bytes = labels * sizeof *self->labels;
    size_t size = member_bytes + change_bytes + type_bytes + label_bytes +
                  (self->set_count + 1) * sizeof *self->set_begin;
    char *block = tp_allocate_zeroed(allocator, size);
    if (block == NULL)
        return TROUPE_NO_MEMORY;
    self->members = (tp_view_member *)(void *)block;
    self->changes = (tp_view_change *)(void *)(block + member_bytes);
    self->types = (troupe_slice *)(void *)(block + member_bytes + change_bytes);
    self->labels = (tp_view_label *)(void *)(block + member_bytes + change_bytes + type_bytes);
    self->set_begin =
        (size_t *)(void *)(block + member_bytes + change_bytes + type_bytes + label_bytes);
    read_parts(self, root);
    uint64_t who;
    if (self->wrong == NULL) {
        const char *wrong = tp_view_wrong(&self->shape, &who);
        if (wrong != NULL)
            fail(self, who != 0 ? "a member" : "the view", wrong);
    }
    troupe_status status = TROUPE_CORRUPT;
    if (self->wrong == NULL)
        status = tp_view_make(allocator, &self->shape, ret_view);
    tp_release(allocator, block, size);
    return status;
}

static troupe_status read_root(
    reader *self, const troupe_allocator *allocator, const json_t *root, const tp_view **ret_view)
{
    if (json_is_object(root) && get_number(self, root, "format", INT64_MAX) > FORMAT) {
        fail(self, "format", "is newer than this version of Troupe knows: upgrade this node");
        return TROUPE_CORRUPT;
    }
    expect_size(self, root, "the view", 9);
    if (get_number(self, root, "format", FORMAT) != FORMAT)
        fail(self, "format", "is none that is known");
    if (get_number(self, root, "number", INT64_MAX) != self->shape.number)
        fail(self, "number", "is not the number under which it was stored");
    self->shape.since = get_number(self, root, "since", INT64_MAX);
    self->shape.next_incarnation = get_number(self, root, "next_incarnation", INT64_MAX);
    self->shape.ttl = TROUPE_MILLISECONDS(get_number(self, root, "ttl_ms", 3600000));
    read_secret(self, root);
    const json_t *members = get(self, root, "members", JSON_ARRAY);
    const json_t *changes = get(self, root, "changes", JSON_ARRAY);
    (void)get(self, root, "types", JSON_ARRAY);
    if (self->wrong != NULL)
        return TROUPE_CORRUPT;
    self->shape.member_count = json_array_size(members);
    self->shape.change_count = json_array_size(changes);
    return read_in_block(self, allocator, root, ret_view);
}

troupe_status tp_view_parse(const troupe_allocator *allocator, uint64_t number, troupe_slice text,
    const tp_view **ret_view, char *error, size_t error_size)
{
    json_error_t said;
    reader self = {.shape = {.number = number, .text = text}};
    if (text.size > TROUPE_VIEW_MAX || text.size == 0 || memchr(text.data, 0, text.size) != NULL) {
        snprintf(error, error_size, "view %llu: it is empty, larger than %zu bytes, or no text",
            (unsigned long long)number, TROUPE_VIEW_MAX);
        return TROUPE_CORRUPT;
    }
    json_t *root = json_loadb(text.data, text.size, JSON_REJECT_DUPLICATES, &said);
    if (root == NULL) {
        snprintf(error, error_size, "view %llu: line %d: %s", (unsigned long long)number, said.line,
            said.text);
        return json_error_code(&said) == json_error_out_of_memory ? TROUPE_NO_MEMORY
                                                                  : TROUPE_CORRUPT;
    }
    troupe_status status = read_root(&self, allocator, root, ret_view);
    if (status == TROUPE_CORRUPT)
        snprintf(error, error_size, "view %llu: %s %s", (unsigned long long)number, self.where,
            self.wrong);
    json_decref(root);
    return status;
}

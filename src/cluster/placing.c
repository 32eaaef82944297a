/* SPDX-License-Identifier: Apache-2.0 */
/* Which member is to have an actor that is nowhere. See placing.h. */
#include "cluster/placing.h"

#include "base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LABEL "place:"

/* A type that some member hosts. */
typedef struct hosted {
    troupe_slice name;
    tp_placement_policy policy;
    tp_placer placer;
    tp_selector *selector;
    const tp_type *own; /* NULL: this node does not host it */
} hosted;

struct tp_placing_table {
    const troupe_allocator *allocator;
    size_t bytes;
    uint64_t view, edition;
    uint64_t now;
    uint32_t count, type_count, label_room, words;
    tp_placement_member *members;
    uint64_t *bits;
    tp_label *labels;
    uint32_t *room, *ring;
    const tp_ring_member **successors;
    troupe_slice *names;
    hosted *types;
    troupe_member *shown;
    const troupe_member **shown_list;
    const tp_view_member *view_members;
    uint64_t origin; /* of the question under way */
};

/* ---- policies in text ------------------------------------------------------------------------ */

static troupe_status wrong(char *error, size_t size, const troupe_type *type, const char *what)
{
    (void)snprintf(error, size, "actor type '%s': placement: %s", type->name, what);
    return TROUPE_USAGE;
}

troupe_status tp_placing_tell(const troupe_allocator *allocator, const troupe_type *type,
    bool *ret_says, char name[TP_PLACING_LABEL_NAME], char value[TP_PLACING_LABEL_VALUE + 1],
    char *error, size_t error_size)
{
    const char *policy = type->placement.policy, *require = type->placement.require;
    *ret_says = policy != NULL || require != NULL;
    if (!*ret_says)
        return TROUPE_OK;
    tp_placement_kind kind = TP_PLACEMENT_LABELS;
    if (policy != NULL &&
        (!tp_placement_parse(troupe_str(policy), &kind) || kind == TP_PLACEMENT_CUSTOM))
        return wrong(error, error_size, type,
            "unknown policy: choose prefer-local, round-robin, random, consistent-hash, "
            "least-loaded or labels");
    if (require != NULL) {
        char text[256];
        tp_text out;
        tp_text_init(&out, text, sizeof text);
        tp_selector *selector = NULL;
        troupe_status status = tp_selector_parse(allocator, troupe_str(require), &selector, &out);
        tp_selector_destroy(selector);
        if (status == TROUPE_USAGE)
            return wrong(error, error_size, type, text);
        TROUPE_TRY(status);
    }
    int size = snprintf(value, TP_PLACING_LABEL_VALUE + 1, "%s;%s", policy != NULL ? policy : "",
        require != NULL ? require : "");
    if (size > TP_PLACING_LABEL_VALUE)
        return wrong(error, error_size, type, "policy and require are longer than 127 bytes");
    (void)snprintf(name, TP_PLACING_LABEL_NAME, LABEL "%s", type->name);
    if (strlen(name) > TP_VIEW_NAME_MAX)
        return wrong(error, error_size, type,
            "the type's name is longer than 122 bytes, which one with a placement cannot have");
    return TROUPE_OK;
}

bool tp_placing_is_private(troupe_slice label)
{
    return label.size >= sizeof LABEL - 1 && memcmp(label.data, LABEL, sizeof LABEL - 1) == 0;
}

/* What is wrong in it (it is of another version) is left out: the node's policy stands. */
static troupe_status read_policy(tp_placing *self, hosted *type, troupe_slice value)
{
    const char *sign = value.size != 0 ? memchr(value.data, ';', value.size) : NULL;
    if (sign == NULL)
        return TROUPE_OK;
    troupe_slice policy = {value.data, (size_t)(sign - (const char *)value.data)};
    troupe_slice require = {sign + 1, value.size - policy.size - 1};
    if (policy.size != 0)
        (void)tp_placement_parse(policy, &type->policy.kind);
    char text[128];
    tp_text out;
    tp_text_init(&out, text, sizeof text);
    troupe_status status =
        tp_selector_parse(self->shared->allocator, require, &type->selector, &out);
    if (status == TROUPE_OK)
        type->policy.selector = type->selector;
    return status == TROUPE_NO_MEMORY ? status : TROUPE_OK;
}

/* ---- functions of users ---------------------------------------------------------------------- */

static void show(const tp_placing_table *table, uint32_t position, uint64_t now)
{
    const tp_placement_member *member = &table->members[position];
    const tp_load *load = &member->load;
    uint64_t age = load->at == 0 ? UINT64_MAX : (now > load->at ? now - load->at : 0);
    table->shown[position] = (troupe_member){.name = table->view_members[position].name,
        .incarnation = member->incarnation,
        .labels = (const troupe_label *)(const void *)member->labels,
        .label_count = member->label_count,
        .load = {.cpu = load->busy / 1000.0,
            .memory = load->memory / 1000.0,
            .actors = load->actors + load->placed,
            .age = age},
        .distance = member->distance,
        .is_asker = member->incarnation == table->origin};
}

_Static_assert(sizeof(troupe_label) == sizeof(tp_label), "labels are shown as they are");

static int choose_by_user(const tp_placement_ask *ask, const tp_placement_member *members,
    const uint32_t *candidates, uint32_t count, void *user)
{
    const tp_placing_table *table = user;
    const troupe_placing *placing = &table->types[ask->type].own->is.placement;
    (void)members;
    for (uint32_t i = 0; i < count; i++) {
        show(table, candidates[i], ask->now);
        table->shown_list[i] = &table->shown[candidates[i]];
    }
    const troupe_placement question = {ask->type_name, ask->partition, ask->key};
    return placing->choose(&question, table->shown_list, count, placing->user);
}

/* ---- tables ---------------------------------------------------------------------------------- */

static int compare_names(const void *left, const void *right)
{
    const troupe_slice *one = left, *two = right;
    size_t size = one->size < two->size ? one->size : two->size;
    int order = memcmp(one->data, two->data, size);
    return order != 0 ? order : (one->size > two->size) - (one->size < two->size);
}

static void destroy_table(tp_placing_table *table)
{
    if (table == NULL)
        return;
    for (uint32_t i = 0; i < table->type_count; i++)
        tp_selector_destroy(table->types[i].selector);
    tp_release(table->allocator, table, table->bytes);
}

/* Of one block. */
static void *cut(char **at, size_t bytes)
{
    char *here = *at;
    *at += (bytes + 15) & ~(size_t)15;
    return here;
}

static tp_placing_table *make_table(
    const troupe_allocator *allocator, const tp_view *view, size_t names, size_t labels)
{
    size_t count = view->member_count, words = (names + 63) / 64;
    size_t bytes = sizeof(tp_placing_table) + 16 + count * sizeof(tp_placement_member) +
                   count * words * 8 + (labels + count) * sizeof(tp_label) +
                   count * (2 * sizeof(uint32_t) + 2 * sizeof(void *) + sizeof(troupe_member)) +
                   names * (sizeof(troupe_slice) + sizeof(hosted)) + 10 * 16;
    tp_placing_table *table = tp_allocate_zeroed(allocator, bytes);
    if (table == NULL)
        return NULL;
    table->allocator = allocator;
    table->bytes = bytes;
    table->view = view->number;
    table->count = (uint32_t)count;
    table->words = (uint32_t)words;
    table->view_members = view->members;
    char *at = (char *)table;
    (void)cut(&at, sizeof *table);
    table->members = cut(&at, count * sizeof(tp_placement_member));
    table->bits = cut(&at, count * words * 8);
    table->labels = cut(&at, labels * sizeof(tp_label));
    table->room = cut(&at, count * sizeof(uint32_t));
    table->ring = cut(&at, count * sizeof(uint32_t));
    table->successors = cut(&at, count * sizeof(void *));
    table->shown = cut(&at, count * sizeof(troupe_member));
    table->shown_list = cut(&at, count * sizeof(void *));
    table->names = cut(&at, names * sizeof(troupe_slice));
    table->types = cut(&at, names * sizeof(hosted));
    return table;
}

static uint32_t find_type(const tp_placing_table *table, troupe_slice name)
{
    const troupe_slice *found =
        table->type_count == 0
            ? NULL
            : bsearch(&name, table->names, table->type_count, sizeof name, compare_names);
    return found != NULL ? (uint32_t)(found - table->names) : UINT32_MAX;
}

static void fill_names(tp_placing_table *table, const tp_view *view)
{
    uint32_t count = 0;
    for (size_t i = 0; i < view->member_count; i++)
        for (size_t k = 0; k < view->members[i].type_count; k++)
            table->names[count++] = view->members[i].types[k];
    if (count != 0)
        qsort(table->names, count, sizeof *table->names, compare_names);
    uint32_t unique = 0;
    for (uint32_t i = 0; i < count; i++)
        if (unique == 0 || !troupe_slice_equal(table->names[unique - 1], table->names[i]))
            table->names[unique++] = table->names[i];
    table->type_count = unique;
}

static void fill_member(
    tp_placing_table *table, const tp_view_member *from, uint32_t number, tp_label **labels)
{
    tp_placement_member *member = &table->members[number];
    uint64_t *bits = &table->bits[(size_t)number * table->words];
    *member = (tp_placement_member){.incarnation = from->incarnation,
        .node = number,
        .status = from->status == TP_VIEW_ACTIVE ? TP_MEMBER_ACTIVE : TP_MEMBER_LEAVING,
        .types = bits,
        .type_words = table->words,
        .labels = *labels};
    for (size_t i = 0; i < from->type_count; i++) {
        uint32_t type = find_type(table, from->types[i]);
        bits[type / 64] |= UINT64_C(1) << (type % 64);
    }
    tp_label *own = *labels;
    for (size_t i = 0; i < from->label_count; i++) {
        troupe_slice name = from->labels[i].name;
        if (!tp_placing_is_private(name))
            own[member->label_count++] = (tp_label){name, from->labels[i].value};
    }
    (void)tp_labels_sort(own, member->label_count, NULL);
    *labels += member->label_count;
}

static troupe_status fill_type(
    tp_placing *self, tp_placing_table *table, const tp_view *view, uint32_t number)
{
    hosted *type = &table->types[number];
    const tp_types *types = &self->shared->types;
    type->name = table->names[number];
    type->own = tp_types_find(types, type->name);
    type->policy =
        (tp_placement_policy){.kind = self->standard, .user = table, .max_age = self->max_age};
    uint64_t seed = ++self->seed;
    tp_placer_init(&type->placer, tp_prng_split(&seed));
    type->placer.turn = tp_prng_next(&type->placer.chance) >> 32; /* homes begin differently */
    /* The newest member that says something of it. */
    for (size_t i = view->member_count; i-- > 0;) {
        const tp_view_member *member = &view->members[i];
        for (size_t k = 0; k < member->label_count; k++) {
            troupe_slice name = member->labels[k].name;
            size_t head = sizeof LABEL - 1;
            if (name.size == type->name.size + head && memcmp(name.data, LABEL, head) == 0 &&
                memcmp(name.data + head, type->name.data, type->name.size) == 0) {
                TROUPE_TRY(read_policy(self, type, member->labels[k].value));
                i = 0;
                break;
            }
        }
    }
    if (type->own != NULL && type->own->is.placement.choose != NULL) {
        type->policy.otherwise = type->policy.kind;
        type->policy.kind = TP_PLACEMENT_CUSTOM;
        type->policy.custom = choose_by_user;
    }
    return TROUPE_OK;
}

static troupe_status renew(tp_placing *self, const tp_chart *chart)
{
    const tp_view *view = chart->members;
    if (self->table != NULL && self->table->view == view->number)
        return TROUPE_OK;
    destroy_table(self->table);
    self->table = NULL;
    size_t names = 0, labels = 0;
    for (size_t i = 0; i < view->member_count; i++) {
        names += view->members[i].type_count;
        labels += view->members[i].label_count;
    }
    tp_placing_table *table = make_table(self->shared->allocator, view, names, labels);
    if (table == NULL)
        return TROUPE_NO_MEMORY;
    fill_names(table, view);
    tp_label *at = table->labels;
    for (uint32_t i = 0; i < table->count; i++)
        fill_member(table, &view->members[i], i, &at);
    for (uint32_t i = 0; i < table->type_count; i++) {
        troupe_status status = fill_type(self, table, view, i);
        if (status != TROUPE_OK) {
            destroy_table(table);
            return status;
        }
    }
    self->table = table;
    return TROUPE_OK;
}

static uint32_t thousandths(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : (uint32_t)(part >= whole ? 1000 : (double)part * 1000 / (double)whole);
}

static void read_loads(tp_placing *self)
{
    tp_placing_table *table = self->table;
    uint64_t edition = tp_loads_edition(self->loads);
    if (edition == table->edition)
        return;
    tp_load_sheet *sheet = tp_loads_take(self->loads);
    if (sheet == NULL)
        return;
    table->edition = edition;
    for (uint32_t i = 0; i < table->count; i++) {
        tp_placement_member *member = &table->members[i];
        const tp_load_row *row = tp_load_sheet_find(sheet, member->incarnation);
        if (row == NULL)
            continue;
        member->distance = row->round_trip;
        if (row->at != member->load.at)
            member->load = (tp_load){.at = row->at,
                .busy = row->said.cpu,
                .memory = thousandths(row->said.memory, row->said.memory_limit),
                .actors = row->said.actors};
    }
    tp_load_sheet_release(sheet);
}

/* ---- choosing -------------------------------------------------------------------------------- */

void tp_placing_init(tp_placing *self, tp_shared *shared, tp_loads *loads)
{
    const troupe_node_options *set = &shared->options;
    *self = (tp_placing){.shared = shared, .loads = loads, .standard = TP_PLACEMENT_PREFER_LOCAL};
    (void)tp_placement_parse(troupe_str(set->placement), &self->standard);
    self->max_age = set->health_check_interval * 4;
    if (self->max_age < TP_PLACEMENT_MAX_AGE)
        self->max_age = TP_PLACEMENT_MAX_AGE;
    shared->env->entropy(shared->env, &self->seed, sizeof self->seed);
}

void tp_placing_deinit(tp_placing *self)
{
    destroy_table(self->table);
    self->table = NULL;
}

static void complain(tp_placing *self, const tp_type *type, const char *why, uint64_t now)
{
    if (self->complained != 0 && now < self->complained + TROUPE_SECONDS(1))
        return;
    self->complained = now;
    TP_LOG(self->shared->log, TROUPE_LOG_WARN, "placement",
        TP_FIELDS(tp_field_text("type", type->name)), "%s", why);
}

static size_t ask_ring(tp_placing_table *table, const tp_chart *chart, uint64_t hash)
{
    uint32_t count = tp_ring_successors(chart->ring, hash, table->successors, table->count);
    for (uint32_t i = 0; i < count; i++)
        table->ring[i] = table->successors[i]->node;
    return count;
}

troupe_status tp_placing_choose(tp_placing *self, const tp_chart *chart, const tp_type *type,
    const tp_directory_id *id, uint64_t origin, uint64_t now, uint64_t *ret_node)
{
    TROUPE_TRY(renew(self, chart));
    read_loads(self);
    tp_placing_table *table = self->table;
    uint32_t number = find_type(table, type->name);
    if (number == UINT32_MAX) {
        complain(self, type, tp_placement_reason(TP_PLACEMENT_NO_HOST), now);
        return TROUPE_NO_TYPE;
    }
    hosted *host = &table->types[number];
    uint32_t local = tp_directory_find_member(&chart->view, origin), position;
    tp_placement_ask ask = {.hash = id->hash,
        .type = number,
        .type_name = type->name,
        .partition = id->partition,
        .key = id->key,
        .now = now,
        .ring = table->ring};
    if (tp_placement_uses_ring(&host->policy))
        ask.ring_count = ask_ring(table, chart, id->hash);
    const tp_placement_table members = {table->members, table->count, table->room};
    table->origin = origin;
    if (local != TP_DIRECTORY_NOBODY)
        table->members[local].is_self = true;
    tp_placement_result result =
        tp_placement_choose(&host->placer, &host->policy, &ask, &members, &position);
    if (local != TP_DIRECTORY_NOBODY)
        table->members[local].is_self = false;
    if (result != TP_PLACEMENT_CHOSEN) {
        complain(self, type, tp_placement_reason(result), now);
        return result == TP_PLACEMENT_NO_HOST ? TROUPE_NO_TYPE : TROUPE_UNAVAILABLE;
    }
    table->members[position].load.placed++;
    *ret_node = table->members[position].incarnation;
    return TROUPE_OK;
}

bool tp_placing_may_receive(
    tp_placing *self, const tp_chart *chart, const tp_type *type, uint64_t incarnation)
{
    if (renew(self, chart) != TROUPE_OK)
        return false;
    const tp_placing_table *table = self->table;
    uint32_t number = find_type(table, type->name);
    uint32_t position = tp_directory_find_member(&chart->view, incarnation);
    if (number == UINT32_MAX || position == TP_DIRECTORY_NOBODY)
        return false;
    const hosted *host = &table->types[number];
    const tp_placement_member *member = &table->members[position];
    return host->policy.kind != TP_PLACEMENT_CUSTOM &&
           host->policy.kind != TP_PLACEMENT_CONSISTENT_HASH && type->is.stateless_workers == 0 &&
           member->status == TP_MEMBER_ACTIVE &&
           tp_placement_hosts(member->types, member->type_words, number) &&
           tp_selector_holds(host->policy.selector, member->labels, member->label_count);
}

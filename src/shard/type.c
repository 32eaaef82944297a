/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks and resolves the actor types of a node, finds types and methods by name, hashes ids. See
 * type.h.
 *
 * The hash is XXH3 (Collet, xxhash.com) seeded with a secret that no caller sees; XXH3 is not a
 * cryptographic function, so this defends against accidents and blind attempts, not against
 * somebody who can measure collisions.
 */
#include "shard/type.h"

#include "base/alloc.h"
#include "base/id.h"
#include "os/fiber.h"
#include "schema/schema.h"
#include "shard/filters.h"

#include <stdio.h>

#define TYPES_FEW 8 /* are found as fast one after the other */

#define XXH_INLINE_ALL
#define XXH_NO_STREAM
#include <xxhash.h>

static troupe_status wrong(char *error, size_t size, const char *type, const char *what)
{
    snprintf(error, size, "actor type '%s': %s", type, what);
    return TROUPE_USAGE;
}

static troupe_status check_methods(const troupe_type *given, char *error, size_t size)
{
    const char *name = given->name;
    for (size_t i = 0; i < given->method_count; i++) {
        const troupe_method *method = &given->methods[i];
        if (method->name == NULL || method->name[0] == 0 || strlen(method->name) > TP_NAME_MAX)
            return wrong(error, size, name, "a method's name must be 1 to 128 bytes");
        if ((method->run == NULL) == (method->read == NULL))
            return wrong(error, size, name, "a method needs exactly one function: run, or read");
        for (size_t j = 0; j < i; j++)
            if (strcmp(given->methods[j].name, method->name) == 0)
                return wrong(error, size, name, "two methods have the same name");
    }
    return TROUPE_OK;
}

static troupe_status check_schema(const troupe_type *given, char *error, size_t size)
{
    const troupe_schema *schema = given->schema;
    if (schema == NULL)
        return TROUPE_OK;
    char words[320] = "";
    if (troupe_schema_check(schema, words, sizeof words) != TROUPE_OK) {
        snprintf(error, size, "actor type '%s': the table of its state is wrong: %s", given->name,
            words);
        return TROUPE_USAGE;
    }
    if (schema->size != given->state_size)
        return wrong(error, size, given->name,
            "its schema describes another struct than its state: state_size differs; use "
            "TROUPE_STATE(struct, fields)");
    if (given->save != NULL)
        return wrong(error, size, given->name,
            "it has a schema and save and load hooks: one of them says what is stored");
    return TROUPE_OK;
}

static troupe_status check_type(const troupe_type *given, char *error, size_t size)
{
    const char *name = given->name ? given->name : "(none)";
    if (given->size != sizeof *given)
        return wrong(error, size, name,
            "its size differs: begin it with TROUPE_TYPE(\"name\") and compile it anew");
    if (given->name == NULL || !tp_name_is_valid(troupe_str(given->name)))
        return wrong(
            error, size, name, "the name must be 1 to 128 bytes of letters, digits, '_', '.', '-'");
    if (given->method_count > TP_METHODS_MAX)
        return wrong(error, size, name, "it has more than 4,096 methods");
    if (given->method_count != 0 && given->method_size != sizeof(troupe_method))
        return wrong(error, size, name,
            "its methods' size differs: use TROUPE_METHODS(array) and compile it anew");
    if ((given->save == NULL) != (given->load == NULL))
        return wrong(error, size, name, "save and load hooks go together; one is missing");
    if (given->state_size > TP_STATE_MAX)
        return wrong(error, size, name, "state_size is above 1 GiB");
    if (given->stack_size > TP_FIBER_STACK_MAX)
        return wrong(error, size, name, "stack_size is above 1 GiB");
    if (given->reentrancy > TROUPE_REENTRANCY_ALWAYS)
        return wrong(error, size, name, "unknown reentrancy");
    if (given->supervision.on_panic > TROUPE_SUPERVISE_STOP ||
        given->supervision.on_error > TROUPE_SUPERVISE_STOP)
        return wrong(error, size, name, "unknown supervision");
    if (given->persist > TROUPE_PERSIST_EVERY_N)
        return wrong(error, size, name, "unknown persist mode");
    if (given->persist != TROUPE_PERSIST_NONE && given->state_size == 0 && given->save == NULL)
        return wrong(error, size, name, "it is persistent but has neither state nor a save hook");
    if (given->persist == TROUPE_PERSIST_EVERY_N && given->snapshot_interval == 0)
        return wrong(error, size, name,
            "TROUPE_PERSIST_EVERY_N needs snapshot_interval: the turns from save to save");
    if (given->persist == TROUPE_PERSIST_NONE &&
        (given->retention.max_snapshots != 0 || given->retention.max_age != 0))
        return wrong(error, size, name, "it keeps snapshots (retention) but is not persistent");
    if (given->snapshot_interval > 1 && given->persist != TROUPE_PERSIST_EVERY_N &&
        (given->persist != TROUPE_PERSIST_EVERY_TURN ||
            (given->retention.max_snapshots == 0 && given->retention.max_age == 0)))
        return wrong(error, size, name,
            "snapshot_interval means nothing here: it is for TROUPE_PERSIST_EVERY_N, or for "
            "TROUPE_PERSIST_EVERY_TURN with retention");
    if (given->stateless_workers > TROUPE_WORKERS_MAX)
        return wrong(error, size, name, "stateless_workers is above 1,024");
    if (given->stateless_workers != 0 && given->persist != TROUPE_PERSIST_NONE)
        return wrong(error, size, name,
            "stateless workers cannot be persistent: many activations of one id have no state in "
            "common; leave out persist, or stateless_workers");
    if (given->supervision.poison_after > UINT8_MAX)
        return wrong(error, size, name, "supervision.poison_after is above 255");
    if (given->supervision.jitter > 100)
        return wrong(error, size, name, "supervision.jitter is above 100 per cent");
    const char *filters = tp_filters_check(given->filters, given->filter_size, given->filter_count);
    if (filters != NULL)
        return wrong(error, size, name, filters);
    TROUPE_TRY(check_schema(given, error, size));
    return check_methods(given, error, size);
}

static void fill_defaults(tp_type *type, const troupe_node_options *options)
{
    troupe_type *is = &type->is;
    if (is->idle == 0)
        is->idle = options->idle;
    if (is->mailbox_limit == 0)
        is->mailbox_limit = options->mailbox_limit;
    if (is->batch == 0)
        is->batch = options->turn_batch;
    if (is->arena_limit == 0)
        is->arena_limit = options->arena_limit;
    troupe_supervision *supervision = &is->supervision;
    if (supervision->backoff == 0)
        supervision->backoff = TROUPE_MILLISECONDS(10);
    if (supervision->backoff_cap == 0)
        supervision->backoff_cap = TROUPE_SECONDS(30);
    if (supervision->jitter == 0)
        supervision->jitter = 20;
    if (supervision->poison_after == 0)
        supervision->poison_after = 3;
}

static troupe_status resolve(
    tp_types *types, tp_type *type, const troupe_type *given, const troupe_node_options *options)
{
    type->is = *given;
    type->name = troupe_str(given->name);
    type->hash = tp_type_name_hash(types, type->name);
    fill_defaults(type, options);
    type->mailbox_bytes = options->mailbox_bytes;
    type->encodes = given->save != NULL || given->schema != NULL;
    type->owns = given->schema != NULL && troupe_schema_owns(given->schema);
    type->restores =
        given->state_size != 0 && !given->keep_on_failure && given->save == NULL && !type->owns;
    type->kept = type->restores ? (uint32_t)given->state_size : 0;
    type->interleaves = given->reentrancy != TROUPE_REENTRANCY_NONE;
    type->activates_alone = given->on_activate == NULL && given->schema == NULL &&
                            given->persist == TROUPE_PERSIST_NONE;
    type->loads_alone = given->on_activate == NULL && given->load == NULL &&
                        given->schema == NULL && given->persist != TROUPE_PERSIST_NONE;
    type->gated = given->persist == TROUPE_PERSIST_EVERY_TURN;
    type->commits = type->gated || given->persist == TROUPE_PERSIST_EVERY_N;
    type->plain = !type->commits && given->stack_size == 0;
    type->keeps = given->retention.max_snapshots != 0 || given->retention.max_age != 0;
    type->ends_alone =
        given->on_deactivate == NULL && (given->persist == TROUPE_PERSIST_NONE || type->gated);
    type->method_count = (uint32_t)given->method_count;
    if (given->method_count == 0)
        return tp_filters_put(type, types->allocator, options);
    type->methods = tp_allocate(types->allocator, given->method_count * sizeof *type->methods);
    if (type->methods == NULL)
        return TROUPE_NO_MEMORY;
    for (size_t i = 0; i < given->method_count; i++) {
        const troupe_method *method = &given->methods[i];
        type->methods[i] = (tp_method){troupe_str(method->name), method->run, method->read};
        if (method->read != NULL)
            type->interleaves = true;
    }
    return tp_filters_put(type, types->allocator, options);
}

/* Where the name is, or would be. */
static uint32_t *slot_of(const tp_types *types, troupe_slice name)
{
    uint32_t at = (uint32_t)tp_type_name_hash(types, name);
    for (;; at++) {
        uint32_t *slot = &types->slots[at & (types->slot_count - 1)];
        if (*slot == 0 || troupe_slice_equal(types->list[*slot - 1].name, name))
            return slot;
    }
}

static troupe_status make_slots(tp_types *types)
{
    if (types->count <= TYPES_FEW)
        return TROUPE_OK;
    uint32_t count = 4 * TYPES_FEW;
    while (count < 2 * types->count)
        count *= 2;
    types->slots = tp_allocate_zeroed(types->allocator, count * sizeof *types->slots);
    if (types->slots == NULL)
        return TROUPE_NO_MEMORY;
    types->slot_count = count;
    for (uint32_t i = 0; i < types->count; i++)
        *slot_of(types, types->list[i].name) = i + 1;
    return TROUPE_OK;
}

troupe_status tp_types_init(tp_types *types, const troupe_allocator *allocator,
    const uint64_t secret[2], const troupe_node_options *options, const troupe_type *const *given,
    size_t count, char *error, size_t error_size)
{
    *types = (tp_types){.allocator = allocator, .secret = {secret[0], secret[1]}};
    const char *filters =
        tp_filters_check(options->filters, options->filter_size, options->filter_count);
    if (filters != NULL) {
        snprintf(error, error_size, "the node's filters: %s", filters);
        return TROUPE_USAGE;
    }
    if (count == 0)
        return wrong(error, error_size, "(none)", "a node needs at least one type");
    if (count > UINT16_MAX)
        return wrong(error, error_size, "(many)", "a node has at most 65,535 types");
    for (size_t i = 0; i < count; i++) {
        if (given[i] == NULL)
            return wrong(error, error_size, "(NULL)", "the pointer is NULL");
        troupe_status status = check_type(given[i], error, error_size);
        if (status != TROUPE_OK)
            return status;
        for (size_t j = 0; j < i; j++)
            if (strcmp(given[i]->name, given[j]->name) == 0)
                return wrong(error, error_size, given[i]->name, "it is registered twice");
    }
    types->list = tp_allocate_zeroed(allocator, count * sizeof *types->list);
    if (types->list == NULL)
        return TROUPE_NO_MEMORY;
    types->count = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        types->list[i].number = (uint32_t)i;
        if (resolve(types, &types->list[i], given[i], options) != TROUPE_OK) {
            tp_types_deinit(types);
            return TROUPE_NO_MEMORY;
        }
    }
    troupe_status status = make_slots(types);
    if (status != TROUPE_OK)
        tp_types_deinit(types);
    return status;
}

void tp_types_deinit(tp_types *types)
{
    tp_release(types->allocator, types->slots, types->slot_count * sizeof *types->slots);
    types->slots = NULL;
    types->slot_count = 0;
    for (uint32_t i = 0; i < types->count; i++) {
        tp_filters_release(&types->list[i]);
        tp_release(types->allocator, types->list[i].methods,
            types->list[i].method_count * sizeof(tp_method));
    }
    tp_release(types->allocator, types->list, types->count * sizeof *types->list);
    types->list = NULL;
    types->count = 0;
}

const tp_type *tp_types_find(const tp_types *types, troupe_slice name)
{
    if (types->slot_count != 0) {
        uint32_t found = *slot_of(types, name);
        return found != 0 ? &types->list[found - 1] : NULL;
    }
    for (uint32_t i = 0; i < types->count; i++)
        if (troupe_slice_equal(types->list[i].name, name))
            return &types->list[i];
    return NULL;
}

int32_t tp_type_method(const tp_type *type, troupe_slice name)
{
    for (uint32_t i = 0; i < type->method_count; i++)
        if (troupe_slice_equal(type->methods[i].name, name))
            return (int32_t)i;
    return type->is.otherwise != NULL && name.size != 0 && name.size <= TP_NAME_MAX
               ? TP_METHOD_OTHER
               : -1;
}

static uint64_t hash_id(
    const tp_types *types, uint64_t type, troupe_slice partition, troupe_slice key)
{
    uint64_t seed = type ^ types->secret[1];
    if (partition.size != 0)
        seed = XXH3_64bits_withSeed(partition.data, partition.size, ~seed);
    return XXH3_64bits_withSeed(key.data, key.size, seed);
}

uint64_t tp_type_hash(
    const tp_types *types, const tp_type *type, troupe_slice partition, troupe_slice key)
{
    return hash_id(types, type->hash, partition, key);
}

uint64_t tp_type_name_hash(const tp_types *types, troupe_slice name)
{
    return XXH3_64bits_withSeed(name.data, name.size, types->secret[0]);
}

uint64_t tp_types_hash(const tp_types *types, troupe_id id)
{
    return hash_id(types, tp_type_name_hash(types, id.type), id.partition, id.key);
}

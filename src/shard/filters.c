/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the filters of a type around a method: before in order, after in the other one. A filter
 * that refuses ends the call, and only those that had let it pass see its end.
 *
 * Invariants
 * 1. A type without filters does not come here.
 * 2. What runs after a failure cannot wait: a park would commit what the failed method changed.
 * Threads: of the turn's shard.
 */
#include "shard/filters.h"

#include "base/alloc.h"
#include "shard/shard.h"

const char *tp_filters_check(const troupe_filter *list, size_t size, size_t count)
{
    if (count == 0)
        return NULL;
    if (list == NULL || size != sizeof *list)
        return "its filters' size differs: use TROUPE_FILTERS(array) and compile it anew";
    if (count > TP_FILTERS_MAX)
        return "it has more than 64 filters";
    for (size_t i = 0; i < count; i++)
        if (list[i].before == NULL && list[i].after == NULL)
            return "a filter needs a function: before, after, or both";
    return NULL;
}

static void refuse(troupe_turn *turn, const troupe_filter *filter, troupe_status status)
{
    turn->refused = true;
    tp_count(&tp_counters_of(turn->shard, turn->actor->type)->refused);
    if (tp_turn_is_asked(turn) && !turn->failed)
        (void)!troupe_fail(turn, status, "refused by the filter '%s': %s",
            filter->name != NULL ? filter->name : "(unnamed)", troupe_status_text(status));
}

/* How many let it pass. */
static uint32_t enter(troupe_turn *turn, const tp_filters *filters, troupe_status *ret_status)
{
    for (uint32_t i = 0; i < filters->count; i++) {
        const troupe_filter *filter = &filters->list[i];
        troupe_status status =
            filter->before != NULL ? filter->before(turn, filter->user) : TROUPE_OK;
        if (status == TROUPE_OK && turn->failed)
            status = TROUPE_USAGE; /* it gave words, but no status */
        if (status != TROUPE_OK) {
            refuse(turn, filter, status);
            *ret_status = status;
            return i;
        }
    }
    return filters->count;
}

static void leave(
    troupe_turn *turn, const tp_filters *filters, uint32_t passed, troupe_status status)
{
    if (status != TROUPE_OK)
        turn->interrupted = true;
    while (passed-- > 0)
        if (filters->list[passed].after != NULL)
            filters->list[passed].after(turn, status, filters->list[passed].user);
}

static troupe_status filtered_run(troupe_turn *turn, void *state, troupe_slice payload)
{
    const tp_filters *filters = turn->actor->type->filters;
    troupe_status status;
    uint32_t passed = enter(turn, filters, &status);
    if (passed == filters->count)
        status = turn->message->method == TP_METHOD_OTHER
                     ? filters->otherwise(turn, state, payload)
                     : filters->methods[turn->message->method].run(turn, state, payload);
    leave(turn, filters, passed, status);
    return status;
}

static troupe_status filtered_read(troupe_turn *turn, const void *state, troupe_slice payload)
{
    const tp_filters *filters = turn->actor->type->filters;
    troupe_status status;
    uint32_t passed = enter(turn, filters, &status);
    if (passed == filters->count)
        status = filters->methods[turn->message->method].read(turn, state, payload);
    leave(turn, filters, passed, status);
    return status;
}

static size_t size_of(uint32_t filters, uint32_t methods)
{
    return sizeof(tp_filters) + filters * sizeof(troupe_filter) + methods * sizeof(tp_method);
}

troupe_status tp_filters_put(
    tp_type *type, const troupe_allocator *allocator, const troupe_node_options *options)
{
    size_t of_node = options->filter_count, of_type = type->is.filter_count;
    uint32_t count = (uint32_t)(of_node + of_type);
    if (count == 0)
        return TROUPE_OK;
    tp_filters *self = tp_allocate(allocator, size_of(count, type->method_count));
    if (self == NULL)
        return TROUPE_NO_MEMORY;
    *self = (tp_filters){.allocator = allocator, .count = count};
    if (of_node != 0)
        memcpy(self->list, options->filters, of_node * sizeof *self->list);
    if (of_type != 0)
        memcpy(self->list + of_node, type->is.filters, of_type * sizeof *self->list);
    self->methods = (tp_method *)(void *)(self->list + count);
    for (uint32_t i = 0; i < type->method_count; i++) {
        self->methods[i] = type->methods[i];
        if (type->methods[i].read != NULL)
            type->methods[i].read = filtered_read;
        else
            type->methods[i].run = filtered_run;
    }
    self->otherwise = type->is.otherwise;
    if (self->otherwise != NULL)
        type->is.otherwise = filtered_run;
    type->filters = self;
    return TROUPE_OK;
}

void tp_filters_release(tp_type *type)
{
    tp_filters *self = type->filters;
    if (self != NULL)
        tp_release(self->allocator, self, size_of(self->count, type->method_count));
    type->filters = NULL;
}

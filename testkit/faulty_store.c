/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See faulty_store.h. A group is cut where something goes wrong: what is before it runs first, so
 * that the order of operations stays.
 *
 * Threads: as faulty_store.h says.
 */
#include "testkit/faulty_store.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/prng.h"
#include "store/kind.h"

#define GROUP_MOST 1024
#define LATE_MOST  16

/* A commit that has not landed yet, with copies of all that it points to. */
typedef struct late {
    struct late *next;
    uint64_t after; /* so many operations */
    troupe_store_op op;
    size_t size; /* of this block */
} late;

struct tp_faulty_store {
    troupe_store store;
    troupe_store *inner;
    const troupe_allocator *allocator;
    tp_prng prng;
    tp_fault_plan plan;
    uint64_t seen;   /* operations of the plan's kinds */
    uint64_t writer; /* the newest that was opened */
    uint64_t counts[TP_FAULTS];
    late *late;
    size_t batch_size;
    troupe_store_op *batch[GROUP_MOST];
    bool silent[GROUP_MOST];
};

/* ---- what is late ---------------------------------------------------------------------------- */

static size_t commit_room(const troupe_store_op *op)
{
    const troupe_store_commit *commit = &op->commit;
    size_t size = sizeof(late) + commit->row_count * sizeof *commit->rows +
                  commit->event_count * sizeof *commit->events;
    size += op->id.type.size + op->id.partition.size + op->id.key.size;
    size += commit->state.size;
    for (size_t i = 0; i < commit->row_count; i++)
        size += commit->rows[i].key.size + commit->rows[i].value.size;
    for (size_t i = 0; i < commit->event_count; i++)
        size += commit->events[i].name.size + commit->events[i].payload.size;
    return size;
}

static void keep(troupe_slice *slice, char **at)
{
    tp_bytes_copy(*at, slice->data, slice->size);
    slice->data = *at;
    *at += slice->size;
}

static late *late_create(tp_faulty_store *self, const troupe_store_op *op)
{
    size_t size = commit_room(op);
    late *made = tp_allocate(self->allocator, size);
    if (made == NULL)
        return NULL;
    *made = (late){.op = *op, .size = size};
    troupe_store_commit *commit = &made->op.commit;
    troupe_store_row *rows = (troupe_store_row *)(made + 1);
    troupe_store_event *events = (troupe_store_event *)(rows + commit->row_count);
    char *at = (char *)(events + commit->event_count);
    keep(&made->op.id.type, &at);
    keep(&made->op.id.partition, &at);
    keep(&made->op.id.key, &at);
    keep(&commit->state, &at);
    for (size_t i = 0; i < commit->row_count; i++) {
        rows[i] = commit->rows[i];
        keep(&rows[i].key, &at);
        keep(&rows[i].value, &at);
    }
    for (size_t i = 0; i < commit->event_count; i++) {
        events[i] = commit->events[i];
        keep(&events[i].name, &at);
        keep(&events[i].payload, &at);
    }
    commit->rows = rows;
    commit->events = events;
    made->op.allocator = self->allocator;
    made->op.items = made->op.last = NULL;
    return made;
}

static bool land(tp_faulty_store *self, late *landing)
{
    troupe_store_op *list[] = {&landing->op};
    uint64_t writer = landing->op.writer;
    if (self->plan.any_writer)
        landing->op.writer = self->writer;
    self->inner->run(self->inner, list, 1);
    bool done = landing->op.status == TROUPE_OK;
    if (self->plan.landed != NULL)
        self->plan.landed(self->plan.user, &landing->op, writer);
    troupe_store_release(&landing->op);
    tp_release(self->allocator, landing, landing->size);
    return done;
}

/* ---- the group ------------------------------------------------------------------------------- */

/* The answer without the store's words. */
static void answer(troupe_store_op *op, troupe_status status)
{
    troupe_store_release(op);
    op->found = op->wake = 0;
    op->more = false;
    op->status = status;
}

static void flush(tp_faulty_store *self)
{
    if (self->batch_size != 0)
        self->inner->run(self->inner, self->batch, self->batch_size);
    for (size_t i = 0; i < self->batch_size; i++) {
        troupe_store_op *op = self->batch[i];
        if (self->silent[i])
            answer(op, !tp_store_changes(op) ? TROUPE_UNAVAILABLE : TROUPE_UNKNOWN);
    }
    self->batch_size = 0;
}

static void pass_on(tp_faulty_store *self, troupe_store_op *op, bool silent)
{
    self->batch[self->batch_size] = op;
    self->silent[self->batch_size++] = silent;
    if (self->batch_size == self->store.group)
        flush(self);
}

static void run_twice(tp_faulty_store *self, troupe_store_op *op)
{
    troupe_store_op again = *op; /* the copies it makes go to the same allocator */
    again.items = again.last = NULL;
    troupe_store_op *list[] = {op};
    flush(self);
    self->inner->run(self->inner, list, 1);
    list[0] = &again;
    self->inner->run(self->inner, list, 1);
    troupe_store_release(&again);
}

static void delay_landing(tp_faulty_store *self, troupe_store_op *op)
{
    late *made = late_create(self, op);
    answer(op, TROUPE_UNKNOWN);
    if (made == NULL)
        return; /* no memory: it is lost, which is as good */
    uint64_t most = self->plan.late_most != 0 ? self->plan.late_most : LATE_MOST;
    made->after = tp_prng_between(&self->prng, 1, most);
    made->next = self->late;
    self->late = made;
}

static tp_fault choose(tp_faulty_store *self, const troupe_store_op *op)
{
    const tp_fault_plan *plan = &self->plan;
    uint32_t usual = 1u << TROUPE_STORE_COMMIT | 1u << TROUPE_STORE_LOAD;
    uint32_t kinds = plan->kinds != 0 ? plan->kinds : usual;
    if ((kinds & 1u << op->kind) == 0)
        return TP_FAULT_NONE;
    if (++self->seen == plan->at)
        return plan->fault;
    uint64_t drawn = tp_prng_below(&self->prng, 1024);
    for (unsigned fault = TP_FAULT_REFUSED; fault < TP_FAULTS; fault++) {
        if (drawn < plan->chances[fault])
            return (tp_fault)fault;
        drawn -= plan->chances[fault];
    }
    return TP_FAULT_NONE;
}

static void run_one(tp_faulty_store *self, troupe_store_op *op)
{
    tp_fault fault = choose(self, op);
    if (op->kind == TROUPE_STORE_OPEN_WRITER)
        self->writer = op->writer;
    if (fault == TP_FAULT_LATE && op->kind != TROUPE_STORE_COMMIT)
        fault = TP_FAULT_LOST;
    if (fault == TP_FAULT_TWICE && !tp_store_changes(op))
        fault = TP_FAULT_NONE;
    self->counts[fault]++;
    switch (fault) {
    case TP_FAULT_REFUSED:
        answer(op, TROUPE_UNAVAILABLE);
        break;
    case TP_FAULT_LOST:
        answer(op, !tp_store_changes(op) ? TROUPE_UNAVAILABLE : TROUPE_UNKNOWN);
        break;
    case TP_FAULT_LATE:
        delay_landing(self, op);
        break;
    case TP_FAULT_TWICE:
        run_twice(self, op);
        break;
    default:
        pass_on(self, op, fault == TP_FAULT_SILENT);
        break;
    }
}

static void land_due(tp_faulty_store *self)
{
    for (late **at = &self->late; *at != NULL;) {
        late *seen = *at;
        if (--seen->after != 0) {
            at = &seen->next;
            continue;
        }
        *at = seen->next;
        flush(self);
        (void)land(self, seen);
    }
}

static void run(troupe_store *store, troupe_store_op *const *ops, size_t count)
{
    tp_faulty_store *self = (tp_faulty_store *)store;
    const tp_fault_plan *plan = &self->plan;
    if (plan->delay_most != 0 && plan->pause != NULL)
        plan->pause(plan->user, tp_prng_below(&self->prng, plan->delay_most) + 1);
    for (size_t i = 0; i < count; i++) {
        land_due(self);
        run_one(self, ops[i]);
    }
    flush(self);
}

static void hurry(troupe_store *store)
{
    troupe_store *inner = ((tp_faulty_store *)store)->inner;
    if (inner->hurry != NULL)
        inner->hurry(inner);
}

static void close_store(troupe_store *store)
{
    (void)store; /* the next node may have it */
}

/* ---- making it ------------------------------------------------------------------------------- */

tp_faulty_store *tp_faulty_store_create(
    const troupe_allocator *allocator, troupe_store *inner, uint64_t seed)
{
    tp_faulty_store *self = tp_allocate_zeroed(allocator, sizeof *self);
    if (self == NULL)
        return NULL;
    self->store = *inner;
    self->store.size = sizeof self->store;
    self->store.immediate = false; /* chance and what is late have no lock */
    if (inner->group == 0 || inner->group > GROUP_MOST)
        self->store.group = GROUP_MOST;
    self->store.run = run;
    self->store.hurry = hurry;
    self->store.close = close_store;
    self->inner = inner;
    self->allocator = allocator;
    tp_prng_seed(&self->prng, seed);
    return self;
}

void tp_faulty_store_destroy(tp_faulty_store *faulty)
{
    if (faulty == NULL)
        return;
    while (faulty->late != NULL) {
        late *lost = faulty->late;
        faulty->late = lost->next;
        tp_release(faulty->allocator, lost, lost->size);
    }
    tp_release(faulty->allocator, faulty, sizeof *faulty);
}

troupe_store *tp_faulty_store_get(tp_faulty_store *faulty)
{
    return &faulty->store;
}

void tp_faulty_store_plan(tp_faulty_store *faulty, const tp_fault_plan *plan)
{
    faulty->plan = *plan;
    faulty->seen = 0;
}

uint64_t tp_faulty_store_land(tp_faulty_store *faulty)
{
    uint64_t done = 0;
    while (faulty->late != NULL) {
        late *landing = faulty->late;
        faulty->late = landing->next;
        done += land(faulty, landing);
    }
    return done;
}

uint64_t tp_faulty_store_count(const tp_faulty_store *faulty, tp_fault fault)
{
    return faulty->counts[fault];
}

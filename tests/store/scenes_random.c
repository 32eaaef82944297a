/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The random scene: groups of random operations on a few actors, each answer compared with that of
 * a plain model, which says what invariants 1 to 3 of <troupe/provider.h> mean.
 *
 * Threads: one.
 */
#include "scene.h"

#include "base/prng.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    ACTORS = 8,
    KEYS = 6, /* of rows, in each kind */
    KINDS = 6,
    MOST = 4096, /* events, snapshots of one actor */
    GROUP = 12,
    ROWS = 5,
    EVENTS = 3,
    WRITERS = 3,
    VALUE = 100,
};

/* A value is made from its seed; size -1: there is none. */
typedef struct value {
    uint64_t seed;
    int size;
} value;

typedef struct moment {
    uint64_t number, time;
    value value;
    bool gone;
} moment;

typedef struct actor {
    troupe_id id;
    char text[32];
    uint64_t version, wake, time;
    bool is_live;
    value state;
    value rows[KINDS][KEYS];
    moment events[MOST], snapshots[MOST];
    size_t event_count, first_event, snapshot_count;
    uint64_t last_time;
} actor;

typedef struct model {
    scene *scene;
    tp_prng prng;
    actor actors[ACTORS];
    int writers[WRITERS]; /* 0: absent, 1: open, 2: closed */
    uint64_t writer_base;
    uint64_t clock;
} model;

typedef struct step {
    troupe_store_op op;
    actor *who;
    size_t writer;
    value state;
    size_t row_keys[ROWS];
    value row_values[ROWS];
    value event_values[EVENTS];
    troupe_store_row rows[ROWS];
    troupe_store_event events[EVENTS];
    char bytes[1 + ROWS + EVENTS][VALUE];
    char after[32];
} step;

static const char key_names[KEYS][4] = {"a", "b", "\xff", "/", "a\0b", "\0"};
static const size_t key_sizes[KEYS] = {1, 1, 1, 1, 3, 1};

static troupe_slice key_of(size_t index)
{
    return (troupe_slice){key_names[index], key_sizes[index]};
}

static value choose_value(model *self)
{
    return (value){tp_prng_next(&self->prng), (int)tp_prng_below(&self->prng, VALUE + 1)};
}

static troupe_slice bytes_of(value of, char *room)
{
    return scene_fill(room, (size_t)of.size, of.seed);
}

static void check_value(value expected, troupe_slice found)
{
    char room[VALUE];
    scene_slices_equal(bytes_of(expected, room), found);
}

/* ---- choosing ------------------------------------------------------------------------------- */

static void choose_commit(model *self, step *made, uint64_t version)
{
    tp_prng *prng = &self->prng;
    troupe_store_commit *commit = &made->op.commit;
    made->op.version = tp_prng_chance(prng, 7, 8) ? version : tp_prng_below(prng, version + 3);
    made->op.writer = self->writer_base + made->writer;
    commit->erase = tp_prng_chance(prng, 1, 12);
    commit->has_state = tp_prng_chance(prng, 3, 4) || !made->who->is_live;
    if (commit->erase && tp_prng_chance(prng, 1, 2))
        commit->has_state = false;
    commit->snapshot = commit->has_state && tp_prng_chance(prng, 1, 3);
    commit->time = self->clock += tp_prng_below(prng, 5);
    commit->wake = tp_prng_chance(prng, 1, 3) ? SCENE_TIME + tp_prng_below(prng, 10) : 0;
    made->state = choose_value(self);
    if (commit->has_state)
        commit->state = bytes_of(made->state, made->bytes[0]);
    bool bare = commit->erase && !commit->has_state;
    commit->row_count = bare ? 0 : tp_prng_below(prng, ROWS + 1);
    commit->rows = made->rows;
    for (size_t i = 0; i < commit->row_count; i++) {
        made->row_keys[i] = tp_prng_below(prng, KEYS);
        made->row_values[i] = choose_value(self);
        made->rows[i] = (troupe_store_row){.kind = 1 + (uint32_t)tp_prng_below(prng, KINDS - 1),
            .remove = tp_prng_chance(prng, 1, 3),
            .key = key_of(made->row_keys[i]),
            .value = bytes_of(made->row_values[i], made->bytes[1 + i])};
    }
    commit->event_count = bare ? 0 : tp_prng_below(prng, EVENTS + 1);
    commit->events = made->events;
    for (size_t i = 0; i < commit->event_count; i++) {
        made->event_values[i] = choose_value(self);
        made->events[i] = (troupe_store_event){
            troupe_str("event"), bytes_of(made->event_values[i], made->bytes[1 + ROWS + i])};
    }
}

static void choose_step(model *self, step *made, uint64_t version)
{
    static const struct {
        troupe_store_kind kind;
        uint64_t weight;
    } kinds[] = {{TROUPE_STORE_COMMIT, 50}, {TROUPE_STORE_LOAD, 15}, {TROUPE_STORE_READ_EVENTS, 5},
        {TROUPE_STORE_LIST_SNAPSHOTS, 5}, {TROUPE_STORE_READ_SNAPSHOT, 5}, {TROUPE_STORE_PRUNE, 2},
        {TROUPE_STORE_LIST_IDS, 4}, {TROUPE_STORE_LIST_DUE, 6}, {TROUPE_STORE_OPEN_WRITER, 4},
        {TROUPE_STORE_CLOSE_WRITER, 1}};
    uint64_t pick = tp_prng_below(&self->prng, 97);
    size_t at = 0;
    while (pick >= kinds[at].weight)
        pick -= kinds[at++].weight;
    troupe_store_op *op = &made->op;
    *op = scene_op(self->scene, kinds[at].kind);
    op->id = made->who->id;
    op->type = made->who->id.type;
    op->writer = self->writer_base + made->writer;
    op->limit = tp_prng_below(&self->prng, 6);
    op->keep = tp_prng_below(&self->prng, 4);
    op->from = tp_prng_below(&self->prng, version + 2);
    if (op->kind == TROUPE_STORE_COMMIT)
        choose_commit(self, made, version);
    op->until = SCENE_TIME + tp_prng_below(&self->prng, 12);
    if (op->kind == TROUPE_STORE_PRUNE) {
        op->until = tp_prng_chance(&self->prng, 1, 2) ? 0 : self->clock - 20;
        op->limit = 0;
    }
    bool pages = op->kind == TROUPE_STORE_LIST_IDS || op->kind == TROUPE_STORE_LIST_DUE;
    if (pages && tp_prng_chance(&self->prng, 1, 2)) {
        actor *after = &self->actors[tp_prng_below(&self->prng, ACTORS)];
        op->after = scene_text(after->id, made->after, sizeof made->after);
        op->from = SCENE_TIME + tp_prng_below(&self->prng, 10);
    }
}

/* ---- the model ------------------------------------------------------------------------------ */

static void erase(actor *who)
{
    who->state.size = -1;
    for (size_t kind = 0; kind < KINDS; kind++)
        for (size_t key = 0; key < KEYS; key++)
            who->rows[kind][key].size = -1;
    who->first_event = who->event_count;
    who->snapshot_count = 0;
}

static troupe_status commit(model *self, step *did)
{
    actor *who = did->who;
    const troupe_store_commit *is = &did->op.commit;
    if (self->writers[did->writer] != 1)
        return TROUPE_CLOSED;
    if (did->op.version != who->version) {
        assert_int_equal(did->op.found, who->version);
        return TROUPE_CONFLICT;
    }
    if (is->erase)
        erase(who);
    who->is_live = !is->erase || is->has_state;
    who->version++;
    who->wake = is->wake;
    who->time = is->time;
    if (is->has_state)
        who->state = did->state;
    if (is->snapshot)
        who->snapshots[who->snapshot_count++] = (moment){who->version, is->time, did->state, false};
    for (size_t i = 0; i < is->row_count; i++) {
        value *row = &who->rows[is->rows[i].kind][did->row_keys[i]];
        *row = did->row_values[i];
        if (is->rows[i].remove)
            row->size = -1;
    }
    for (size_t i = 0; i < is->event_count; i++) {
        who->last_time = who->last_time + 1 > is->time ? who->last_time + 1 : is->time;
        who->events[who->event_count] =
            (moment){who->event_count + 1, who->last_time, did->event_values[i], false};
        who->event_count++;
    }
    assert_int_equal(did->op.found, who->version);
    return TROUPE_OK;
}

static void check_load(const step *did)
{
    const actor *who = did->who;
    size_t count = 0;
    assert_int_equal(did->op.found, who->version);
    assert_int_equal(did->op.wake, who->wake);
    if (did->op.items == NULL && did->op.from == who->version)
        return; /* known, and left out */
    if (who->state.size >= 0) {
        assert_non_null(did->op.items);
        assert_int_equal(did->op.items->kind, TROUPE_ROW_STATE);
        check_value(who->state, did->op.items->value);
        count++;
    }
    for (uint32_t kind = 1; kind < KINDS; kind++) {
        for (size_t key = 0; key < KEYS; key++) {
            if (who->rows[kind][key].size < 0)
                continue;
            const troupe_store_item *found = scene_find_row(&did->op, kind, key_of(key));
            assert_non_null(found);
            check_value(who->rows[kind][key], found->value);
            count++;
        }
    }
    assert_int_equal(scene_count(&did->op), count);
}

static void check_events(const step *did)
{
    const actor *who = did->who;
    const troupe_store_item *item = did->op.items;
    size_t limit = did->op.limit != 0 ? did->op.limit : 1000;
    for (size_t i = who->first_event; i < who->event_count && limit > 0; i++) {
        if (who->events[i].number < did->op.from)
            continue;
        assert_non_null(item);
        assert_int_equal(item->number, who->events[i].number);
        assert_int_equal(item->time, who->events[i].time);
        check_value(who->events[i].value, item->value);
        item = item->next;
        limit--;
    }
    assert_null(item);
}

static void check_snapshots(const step *did)
{
    const actor *who = did->who;
    const troupe_store_item *item = did->op.items;
    size_t limit = did->op.limit != 0 ? did->op.limit : 1000;
    for (size_t i = who->snapshot_count; i-- > 0 && limit > 0;) {
        if (who->snapshots[i].gone)
            continue;
        assert_non_null(item);
        assert_int_equal(item->number, who->snapshots[i].number);
        assert_int_equal(item->time, who->snapshots[i].time);
        item = item->next;
        limit--;
    }
    assert_null(item);
}

static troupe_status check_snapshot(const step *did)
{
    const actor *who = did->who;
    for (size_t i = 0; i < who->snapshot_count; i++) {
        if (who->snapshots[i].gone || who->snapshots[i].number != did->op.from)
            continue;
        assert_non_null(did->op.items);
        check_value(who->snapshots[i].value, did->op.items->value);
        return TROUPE_OK;
    }
    assert_null(did->op.items);
    return TROUPE_NOT_FOUND;
}

static void prune(model *self, const step *did)
{
    uint64_t went = 0;
    for (actor *who = self->actors; who < self->actors + ACTORS; who++) {
        if (!troupe_slice_equal(who->id.type, did->op.type))
            continue;
        uint64_t newer = 0;
        for (size_t i = who->snapshot_count; i-- > 0;) {
            moment *at = &who->snapshots[i];
            if (at->gone)
                continue;
            bool too_many = did->op.keep != 0 && newer >= did->op.keep;
            bool too_old = did->op.until != 0 && at->time < did->op.until;
            if (newer++ == 0 || (!too_many && !too_old))
                continue;
            at->gone = true;
            went++;
        }
    }
    assert_int_equal(did->op.found, went);
}

static int compare_text(troupe_slice left, troupe_slice right)
{
    size_t size = left.size < right.size ? left.size : right.size;
    int order = size != 0 ? memcmp(left.data, right.data, size) : 0;
    return order != 0 ? order : (left.size > right.size) - (left.size < right.size);
}

static bool is_listed(const step *did, const actor *who)
{
    char room[32];
    troupe_slice text = scene_text(who->id, room, sizeof room);
    int order = compare_text(text, did->op.after);
    if (did->op.kind == TROUPE_STORE_LIST_IDS)
        return who->is_live && who->version != 0 &&
               troupe_slice_equal(who->id.type, did->op.type) && order > 0;
    if (who->wake == 0 || who->wake > did->op.until)
        return false;
    return did->op.after.size == 0 || who->wake > did->op.from ||
           (who->wake == did->op.from && order > 0);
}

/* The actors are sorted by their text; the due ones are found moment by moment. */
static void check_list(model *self, const step *did)
{
    const troupe_store_item *item = did->op.items;
    size_t limit = did->op.limit != 0 ? did->op.limit : 1000, left = 0;
    bool due = did->op.kind == TROUPE_STORE_LIST_DUE;
    for (uint64_t wake = SCENE_TIME; wake < SCENE_TIME + (due ? 12 : 1); wake++) {
        for (const actor *who = self->actors; who < self->actors + ACTORS; who++) {
            if (!is_listed(did, who) || (due && who->wake != wake))
                continue;
            if (limit == 0) {
                left++;
                continue;
            }
            limit--;
            assert_non_null(item);
            scene_slices_equal(item->key, troupe_str(who->text));
            assert_int_equal(item->time, due ? who->wake : who->time);
            if (!due)
                assert_int_equal(item->number, who->version);
            item = item->next;
        }
    }
    assert_null(item);
    assert_int_equal(did->op.more, left != 0);
}

static troupe_status check(model *self, step *did)
{
    switch (did->op.kind) {
    case TROUPE_STORE_COMMIT:
        return commit(self, did);
    case TROUPE_STORE_OPEN_WRITER:
        if (self->writers[did->writer] != 0)
            return TROUPE_CONFLICT;
        self->writers[did->writer] = 1;
        return TROUPE_OK;
    case TROUPE_STORE_CLOSE_WRITER:
        self->writers[did->writer] = 2;
        return TROUPE_OK;
    case TROUPE_STORE_LOAD:
        check_load(did);
        return TROUPE_OK;
    case TROUPE_STORE_READ_EVENTS:
        check_events(did);
        return TROUPE_OK;
    case TROUPE_STORE_LIST_SNAPSHOTS:
        check_snapshots(did);
        return TROUPE_OK;
    case TROUPE_STORE_READ_SNAPSHOT:
        return check_snapshot(did);
    case TROUPE_STORE_PRUNE:
        prune(self, did);
        return TROUPE_OK;
    default:
        check_list(self, did);
        return TROUPE_OK;
    }
}

/* ---- the run -------------------------------------------------------------------------------- */

static void begin(model *self, scene *of, uint64_t seed)
{
    static const char *const names[ACTORS] = {
        "ant/0/%u", "ant/1%u", "ant@p/%u", "bee/%u", "bee/%ux", "bee@p/%u", "bee@q/%u", "cat/%u"};
    memset(self, 0, sizeof *self);
    self->scene = of;
    self->clock = SCENE_TIME;
    self->writer_base = SCENE_WRITER + 1000;
    tp_prng_seed(&self->prng, seed);
    for (size_t i = 0; i < ACTORS; i++) {
        actor *who = &self->actors[i];
        snprintf(who->text, sizeof who->text, "%.*s7%s", (int)(strchr(names[i], '%') - names[i]),
            names[i], strchr(names[i], '%') + 2);
        who->id = scene_id(who->text);
        erase(who);
    }
}

static void run_group(model *self, step *steps)
{
    troupe_store_op ops[GROUP];
    uint64_t ahead[ACTORS] = {0}; /* commits before it in the group that are likely to be done */
    size_t count = 1 + tp_prng_below(&self->prng, GROUP);
    for (size_t i = 0; i < count; i++) {
        size_t who = tp_prng_below(&self->prng, ACTORS);
        steps[i].who = &self->actors[who];
        steps[i].writer = tp_prng_below(&self->prng, WRITERS);
        uint64_t version = self->actors[who].version + ahead[who];
        choose_step(self, &steps[i], version);
        ahead[who] += steps[i].op.kind == TROUPE_STORE_COMMIT && steps[i].op.version == version &&
                      self->writers[steps[i].writer] == 1;
        ops[i] = steps[i].op;
    }
    scene_run_all(self->scene, ops, count);
    for (size_t i = 0; i < count; i++) {
        steps[i].op = ops[i];
        troupe_status expected = check(self, &steps[i]);
        if (ops[i].status != expected)
            fail_msg("operation of kind %d on %s, number %zu of its group: %s, expected %s",
                ops[i].kind, steps[i].who->text, i, troupe_status_name(ops[i].status),
                troupe_status_name(expected));
        troupe_store_release(&ops[i]);
    }
    /* When all writers are closed new ones come. */
    bool over = true;
    for (size_t i = 0; i < WRITERS; i++)
        over = over && self->writers[i] == 2;
    if (over) {
        self->writer_base += WRITERS;
        memset(self->writers, 0, sizeof self->writers);
    }
}

void random_operations_agree_with_a_plain_model(void **state)
{
    scene *self = *state;
    const char *said = getenv("CONFORMANCE_ROUNDS"), *seed = getenv("CONFORMANCE_SEED");
    size_t rounds = self->place->rounds != 0 ? self->place->rounds : 6000;
    if (said != NULL)
        rounds = strtoull(said, NULL, 10);
    enum { SEEDS = 3 };
    model *plain = malloc(sizeof *plain);
    step *steps = malloc(GROUP * sizeof *steps);
    assert_true(plain != NULL && steps != NULL);
    for (uint64_t i = 0; i < SEEDS; i++) {
        uint64_t number = seed != NULL ? strtoull(seed, NULL, 10) : i + 1;
        if (i > 0) { /* anew */
            scene_close(self);
            if (self->place->clean != NULL)
                assert_int_equal(self->place->clean(self->place->user), 0);
            scene_open(self);
        }
        print_message("seed %u of the random scene\n", (unsigned)number);
        begin(plain, self, number);
        for (size_t done = 0; done < rounds / SEEDS; done += GROUP / 2) {
            run_group(plain, steps);
            if (self->place->durable && tp_prng_chance(&plain->prng, 1, 100))
                scene_reopen(self);
        }
    }
    free(steps);
    free(plain);
}

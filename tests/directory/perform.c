/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes, links and the performing of effects in the model world of world.h.
 *
 * Invariants: see world_inside.h.
 */
#include "world_inside.h"

#include "base/alloc.h"

#include <stdlib.h>

void world_fail(world *w, const char *wrong)
{
    if (w->result.wrong == NULL) {
        w->result.wrong = wrong;
    }
}

void world_trace(world *w, uint64_t a, uint64_t b)
{
    uint64_t mix = w->result.trace ^ (a * UINT64_C(0x9E3779B97F4A7C15) + b);
    w->result.trace = tp_prng_split(&mix);
}

bool world_chance(world *w, uint64_t of)
{
    return tp_prng_below(&w->prng, of) == 0;
}

uint32_t world_below(world *w, uint64_t n)
{
    return (uint32_t)tp_prng_below(&w->prng, n);
}

static uint32_t shard_of(uint64_t hash, uint32_t shards)
{
    return (uint32_t)(((hash & UINT32_MAX) * shards) >> 32);
}

node *world_find_node(world *w, uint64_t incarnation)
{
    for (uint32_t i = 0; i < w->node_count; i++) {
        if (w->nodes[i].incarnation == incarnation) {
            return &w->nodes[i];
        }
    }
    return NULL;
}

bool world_in_view(const world *w, uint32_t number, uint64_t incarnation)
{
    return number > 0 &&
           tp_directory_find_member(&w->views[number]->view, incarnation) != TP_DIRECTORY_NOBODY;
}

bool world_is_effective(const world *w, const node *n)
{
    return n->up && world_in_view(w, w->newest, n->incarnation);
}

machine *world_machine_of(world *w, node *n, uint32_t id)
{
    return &n->machines[shard_of(w->hashes[id], n->shards)];
}

static uint32_t id_of(const world *w, const tp_directory_id *id)
{
    for (uint32_t i = 0; i < w->plan.ids; i++) {
        if (w->hashes[i] == id->hash && id->key.size == strlen(w->keys[i]) &&
            memcmp(id->key.data, w->keys[i], id->key.size) == 0) {
            return i;
        }
    }
    return UINT32_MAX;
}

tp_directory_id world_id_at(world *w, uint32_t id)
{
    return (tp_directory_id){w->hashes[id], 7, troupe_str(""), troupe_str(w->keys[id])};
}

/* ---- messages ---- */

void world_lose(message *m)
{
    m->lost = true;
}

void world_run_message(world *w, node *n, uint32_t id, message *m)
{
    if (!world_is_effective(w, n)) {
        world_lose(m);
        return;
    }
    if (m->done) {
        world_fail(w, "a message ran twice");
    }
    if (m->id != id) {
        world_fail(w, "a message came to another actor");
    }
    m->done = true;
    node *origin = world_find_node(w, m->origin);
    uint64_t *last = &w->last_run[origin - w->nodes][id];
    if (!w->faults && !m->probe && m->number < *last) {
        world_fail(w, "D3: messages of one sender ran out of order");
    }
    *last = m->number + 1;
    world_trace(w, m->number, n->incarnation);
}

static void check_one(world *w, uint32_t id)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->node_count; i++) {
        node *n = &w->nodes[i];
        if (world_is_effective(w, n)) {
            count += world_machine_of(w, n, id)->actors[id].active;
        }
    }
    if (count > 1) {
        world_fail(w, "D1: two activations have effects");
    }
}

static void runs_as(world *w, node *n, uint32_t id, uint64_t number)
{
    actor *a = &world_machine_of(w, n, id)->actors[id];
    a->active = true;
    a->number = number;
    check_one(w, id);
    if (world_is_effective(w, n) && number > w->max_run[id]) {
        w->max_run[id] = number;
    }
}

/* ---- frames ---- */

static frame *put(world *w, node *from, uint32_t shard, uint64_t to, uint32_t to_shard)
{
    node *target = world_find_node(w, to);
    frame *f = calloc(1, sizeof(*f));
    f->view = from->view;
    f->from_node = from->incarnation;
    f->from_shard = shard;
    if (target == NULL || to_shard >= target->shards) {
        world_fail(w, "a frame to nobody");
        target = from;
        to_shard = 0;
    }
    uint32_t a = (uint32_t)(from - w->nodes) * SHARDS + shard;
    uint32_t b = (uint32_t)(target - w->nodes) * SHARDS + to_shard;
    if (w->links[a][b].head == NULL) {
        w->links[a][b].head = f;
    } else {
        w->links[a][b].tail->next = f;
    }
    w->links[a][b].tail = f;
    w->on_links++;
    return f;
}

void world_free_frame(frame *f)
{
    for (uint32_t i = 0; f->items != NULL && i < f->word.item_count; i++) {
        free((void *)(uintptr_t)f->items[i].id.key.data);
    }
    free(f->items);
    free(f->spans);
    free(f);
}

static void copy_word(frame *f, const tp_directory_word *word)
{
    f->word = *word;
    f->items = calloc(word->item_count + 1, sizeof(*f->items));
    for (uint32_t i = 0; i < word->item_count; i++) {
        f->items[i] = word->items[i];
        size_t size = word->items[i].id.key.size;
        char *key = malloc(size + 1);
        memcpy(key, word->items[i].id.key.data, size);
        f->items[i].id.key.data = key;
        f->items[i].id.partition = troupe_str("");
    }
    f->spans = calloc(word->span_count + 1, sizeof(*f->spans));
    if (word->span_count > 0) {
        memcpy(f->spans, word->spans, word->span_count * sizeof(*f->spans));
    }
    f->word.items = f->items;
    f->word.spans = f->spans;
}

/* A frame that much depends on, and what follows it, comes late. */
static void hold_up(world *w, const node *from, uint64_t to)
{
    const node *target = world_find_node(w, to);
    if (w->plan.storm != 0 && target != NULL && world_chance(w, w->plan.storm)) {
        w->frozen[from - w->nodes][target - w->nodes] =
            w->result.steps + world_below(w, w->plan.steps);
    }
}

static void settle(
    world *w, node *n, uint32_t shard, uint64_t to, uint64_t hash, uint64_t number, bool lost)
{
    node *target = world_find_node(w, to);
    frame *f = put(w, n, shard, to, shard_of(hash, target->shards));
    f->kind = SETTLED;
    f->number = number;
    f->lost = lost;
}

/* ---- effects ---- */

uint64_t world_choose_member(world *w, node *n)
{
    const tp_directory_view *v = &w->views[n->view]->view;
    return v->members[world_below(w, v->member_count)].node;
}

static void perform_delivery(world *w, node *n, uint32_t shard, const tp_directory_effect *e)
{
    parcel *p = (parcel *)e->letter;
    uint32_t id = p->message->id;
    actor *a = &n->machines[shard].actors[id];
    if (e->create) {
        if (a->active) {
            world_fail(w, "an activation is created twice");
        }
        if (!w->faults && w->kept[id]) {
            world_fail(w, "D1: a planned change lost the state");
        }
        w->kept[id] = true;
        a->captures = false;
        runs_as(w, n, id, e->number);
    }
    if (!a->active) {
        world_fail(w, "a letter for an activation that is not here");
    }
    a->guarded = e->guarded;
    world_run_message(w, n, id, p->message);
    if (p->letter.from != 0) {
        settle(w, n, shard, p->letter.from, p->letter.id.hash, p->letter.number, false);
    }
    free(p);
}

static void perform_forward(world *w, node *n, uint32_t shard, const tp_directory_effect *e)
{
    parcel *p = (parcel *)e->letter;
    frame *f = put(w, n, shard, e->node, e->shard);
    f->kind = LETTER;
    f->message = p->message;
    f->origin = p->letter.origin;
    f->order = p->letter.order;
    f->number = e->number;
    f->grant = p->letter.grant;
    f->hops = p->letter.hops;
    f->trail = p->letter.trail;
    f->flags = p->letter.flags;
    if (f->grant.number != 0) {
        hold_up(w, n, e->node);
    }
    free(p);
}

bool world_follow(world *w, node *n, uint32_t shard, const tp_directory_id *id, message *m)
{
    tp_directory_course course;
    if (!tp_directory_follow(n->machines[shard].directory, id, m->number, &course)) {
        return false;
    }
    frame *f = put(w, n, shard, course.node, course.shard);
    f->kind = LETTER;
    f->message = m;
    f->origin = n->incarnation;
    f->order = course.order;
    f->number = course.ticket;
    f->hops = 1;
    w->result.followed++;
    return true;
}

static void perform_refusal(world *w, node *n, uint32_t shard, const tp_directory_effect *e)
{
    parcel *p = (parcel *)e->letter;
    if (e->kind == TP_DIRECTORY_REFUSE) {
        p->message->refused = true;
        world_trace(w, p->message->number, (uint64_t)e->status);
        if (p->letter.from != 0) {
            settle(w, n, shard, p->letter.from, p->letter.id.hash, p->letter.number, false);
        }
    } else {
        world_lose(p->message);
    }
    free(p);
}

static void perform_copy(world *w, node *n, uint32_t shard, const tp_directory_effect *e)
{
    uint32_t id = id_of(w, &e->id);
    if (id == UINT32_MAX) {
        world_fail(w, "an effect for an id that nobody has");
        return;
    }
    actor *a = &n->machines[shard].actors[id];
    switch (e->kind) {
    case TP_DIRECTORY_UNGUARD:
        a->guarded = false;
        break;
    case TP_DIRECTORY_CAPTURE:
        a->guarded = true;
        a->captures = true;
        break;
    case TP_DIRECTORY_INSTALL: {
        frame *f = put(w, n, shard, e->node, e->shard);
        f->kind = INSTALL;
        f->id = id;
        f->number = e->number;
        f->copy_number = a->number;
        w->result.moved++;
        hold_up(w, n, e->node);
        break;
    }
    case TP_DIRECTORY_RESUME:
        if (world_is_effective(w, n) && w->max_run[id] > a->copy_ran) {
            world_fail(w, "D1: an older copy runs again");
        }
        if (!a->copy) {
            world_fail(w, "a copy that is not here runs");
        }
        a->copy = false;
        a->guarded = e->guarded;
        runs_as(w, n, id, e->number);
        break;
    default: /* DROP; an INSTALL that was not taken never was a copy here */
        if (e->number == a->copy_number) {
            a->copy = false;
        }
        break;
    }
}

static void perform(world *w, node *n, uint32_t shard, const tp_directory_effect *e)
{
    world_trace(w, e->kind, n->incarnation << 8 | shard);
    switch (e->kind) {
    case TP_DIRECTORY_DELIVER:
        perform_delivery(w, n, shard, e);
        break;
    case TP_DIRECTORY_FORWARD:
        perform_forward(w, n, shard, e);
        break;
    case TP_DIRECTORY_REFUSE:
    case TP_DIRECTORY_DISCARD:
        perform_refusal(w, n, shard, e);
        break;
    case TP_DIRECTORY_SETTLE:
        settle(w, n, shard, e->node, e->id.hash, e->number, e->lost);
        break;
    case TP_DIRECTORY_LOST:
        world_lose(&w->messages[e->token]);
        break;
    case TP_DIRECTORY_WORD: {
        frame *f = put(w, n, shard, e->node, e->shard);
        f->kind = WORD;
        copy_word(f, &e->word);
        if (f->word.kind >= TP_WORD_RELEASED && f->word.kind <= TP_WORD_RAN) {
            hold_up(w, n, e->node);
        }
        break;
    }
    case TP_DIRECTORY_PLACE:
        n->machines[shard].actors[id_of(w, &e->id)].places = true;
        break;
    case TP_DIRECTORY_LEARNED:
    case TP_DIRECTORY_FOUND:
    case TP_DIRECTORY_TARDY:
        break;
    default:
        perform_copy(w, n, shard, e);
        break;
    }
}

void world_drain(world *w, node *n, uint32_t shard)
{
    const tp_directory_effect *e;
    while (n->up && (e = tp_directory_effect_take(n->machines[shard].directory)) != NULL) {
        perform(w, n, shard, e);
    }
}

/* ---- nodes ---- */

static void drop_letter(void *user, tp_letter *letter)
{
    (void)user;
    parcel *p = (parcel *)letter;
    world_lose(p->message);
    free(p);
}

void world_die(world *w, node *n)
{
    n->up = false;
    for (uint32_t s = 0; s < n->shards; s++) {
        machine *m = &n->machines[s];
        const tp_directory_effect *e;
        while ((e = tp_directory_effect_take(m->directory)) != NULL) {
            if (e->letter != NULL) {
                drop_letter(NULL, e->letter);
            }
        }
        tp_directory_destroy(m->directory, drop_letter, NULL);
        m->directory = NULL;
        memset(m->actors, 0, sizeof(m->actors));
        if (tp_pool_bytes(&m->pool) != 0) {
            world_fail(w, "a machine did not give its memory back");
        }
        tp_pool_deinit(&m->pool);
    }
    for (uint32_t i = 0; i < w->message_count; i++) { /* who asks is gone, too */
        if (w->messages[i].origin == n->incarnation && !w->messages[i].done) {
            world_lose(&w->messages[i]);
        }
    }
    world_trace(w, 99, n->incarnation);
}

void world_install_next(world *w, node *n)
{
    n->view++;
    for (uint32_t s = 0; s < n->shards; s++) {
        if (WORLD_FEED(w, n, s,
                tp_directory_install(n->machines[s].directory, &w->views[n->view]->view)) !=
            TROUPE_OK) {
            world_fail(w, "a view was not installed");
        }
    }
    if (!world_in_view(w, n->view, n->incarnation)) {
        world_die(w, n);
        return;
    }
    for (uint32_t s = 0; s < n->shards; s++) {
        world_drain(w, n, s);
    }
}

node *world_start_node(world *w, uint64_t incarnation)
{
    node *n = &w->nodes[w->node_count++];
    bool hungry = w->hungry;
    w->hungry = false;
    n->incarnation = incarnation;
    n->shards = 1 + world_below(w, w->plan.shards);
    n->up = true;
    n->in_ring = true;
    for (uint32_t s = 0; s < n->shards; s++) {
        machine *m = &n->machines[s];
        tp_directory_options options = {.self = incarnation,
            .shard = s,
            .shards = n->shards,
            .slice = w->plan.slice,
            .replicas = w->plan.replicas};
        bool ok = tp_pool_init(&m->pool, &w->allocator, 0, 1, w->plan.direct_pool) == TROUPE_OK;
        ok = ok &&
             tp_directory_create(&options, &m->pool, &w->allocator, &m->directory) == TROUPE_OK;
        if (!ok) {
            abort();
        }
        tp_directory_set_without(m->directory, w->plan.without);
    }
    w->hungry = hungry;
    return n;
}

/* ---- a frame arrives ---- */

static void letter_comes(world *w, node *n, uint32_t shard, frame *f)
{
    uint32_t id = f->message->id;
    actor *a = &n->machines[shard].actors[id];
    if (a->active && !a->guarded && f->grant.number == 0 && f->trail.count == 0 &&
        !tp_directory_is_starving(n->machines[shard].directory) &&
        world_in_view(w, n->view, f->from_node)) {
        world_run_message(w, n, id, f->message);
        settle(w, n, shard, f->from_node, w->hashes[id], f->number, false);
        return;
    }
    parcel *p = calloc(1, sizeof(*p));
    p->message = f->message;
    p->letter.id = world_id_at(w, id);
    p->letter.from = f->from_node;
    p->letter.number = f->number;
    p->letter.origin = f->origin;
    p->letter.order = f->order;
    p->letter.grant = f->grant;
    p->letter.hops = f->hops;
    p->letter.trail = f->trail;
    p->letter.flags = f->flags;
    p->letter.deadline = UINT64_MAX;
    p->letter.bytes = 10;
    tp_directory_arrived(n->machines[shard].directory, &p->letter);
    world_drain(w, n, shard);
}

static void copy_comes(world *w, node *n, uint32_t shard, frame *f)
{
    actor *a = &n->machines[shard].actors[f->id];
    tp_directory_id id = world_id_at(w, f->id);
    if (!world_in_view(w, n->view, f->from_node)) {
        return;
    }
    actor before = *a;
    tp_directory_state state = tp_directory_state_of(n->machines[shard].directory, &id);
    if (state == TP_DIRECTORY_ABSENT || state == TP_DIRECTORY_TARGET) {
        a->copy = true;
        a->copy_number = f->number;
        a->copy_ran = f->copy_number;
    }
    if (WORLD_FEED(w, n, shard,
            tp_directory_installed(n->machines[shard].directory, &id, f->from_node, f->number)) !=
        TROUPE_OK) {
        world_fail(w, "a copy was not taken");
    }
    if (state == TP_DIRECTORY_TARGET && f->number <= before.copy_number) {
        *a = before;
    }
    const tp_directory_effect *e;
    while (n->up && (e = tp_directory_effect_take(n->machines[shard].directory)) != NULL) {
        if (e->kind != TP_DIRECTORY_DROP) { /* the former copy's, or this one's: see above */
            perform(w, n, shard, e);
        }
    }
}

static void arrive(world *w, uint32_t to, frame *f)
{
    node *n = &w->nodes[to / SHARDS];
    uint32_t shard = to % SHARDS;
    while (n->up && n->view < f->view) {
        world_install_next(w, n);
    }
    world_trace(w, f->kind, to);
    if (!n->up) {
        if (f->kind == LETTER) {
            world_lose(f->message); /* the link tells */
        }
    } else if (f->kind == LETTER) {
        letter_comes(w, n, shard, f);
    } else if (f->kind == INSTALL) {
        copy_comes(w, n, shard, f);
    } else if (f->kind == SETTLED) {
        tp_directory_settled(n->machines[shard].directory, f->number, f->lost);
        world_drain(w, n, shard);
    } else {
        if (WORLD_FEED(w, n, shard,
                tp_directory_word_came(n->machines[shard].directory, f->from_node, f->from_shard,
                    &f->word)) != TROUPE_OK) {
            world_fail(w, "a word was not taken");
        }
        world_drain(w, n, shard);
    }
    world_free_frame(f);
}

/* Takes the first frame of some link. */
bool world_deliver_one(world *w)
{
    const uint32_t all = w->node_count * SHARDS;
    if (w->on_links == 0) {
        return false;
    }
    uint32_t start = world_below(w, all * all);
    for (uint32_t i = 0; i < all * all; i++) {
        uint32_t at = (start + i) % (all * all);
        uint32_t a = at / all, b = at % all;
        frame *f = w->links[a][b].head;
        if (f != NULL && (w->thaw || w->frozen[a / SHARDS][b / SHARDS] <= w->result.steps)) {
            w->links[a][b].head = f->next;
            w->on_links--;
            arrive(w, b, f);
            return true;
        }
    }
    return false;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens in the model world of world.h, step by step, and what must hold at its end.
 *
 * Invariants: see world_inside.h.
 */
#include "world_inside.h"

#include "base/alloc.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- what happens by itself ---- */

static node *some_node(world *w)
{
    uint32_t start = world_below(w, w->node_count);
    for (uint32_t i = 0; i < w->node_count; i++) {
        node *n = &w->nodes[(start + i) % w->node_count];
        if (n->up && world_in_view(w, n->view, n->incarnation)) {
            return n;
        }
    }
    return NULL;
}

static void send_message(world *w, node *n, uint32_t id, bool probe)
{
    message *m = &w->messages[w->message_count];
    *m = (message){.id = id, .origin = n->incarnation, .number = w->message_count, .probe = probe};
    w->message_count++;
    machine *at = world_machine_of(w, n, id);
    actor *a = &at->actors[id];
    if (a->active && !a->guarded) {
        world_run_message(w, n, id, m);
        return;
    }
    tp_directory_id name = world_id_at(w, id);
    if (!probe && world_follow(w, n, (uint32_t)(at - n->machines), &name, m)) {
        world_drain(w, n, (uint32_t)(at - n->machines));
        return;
    }
    parcel *p = calloc(1, sizeof(*p));
    p->message = m;
    p->letter.id = name;
    p->letter.deadline = UINT64_MAX;
    p->letter.bytes = 10;
    p->letter.token = m->number;
    p->letter.hint = world_chance(w, 2) ? world_choose_member(w, n) : 0;
    tp_directory_request(at->directory, &p->letter);
    world_drain(w, n, (uint32_t)(at - n->machines));
}

static void release_one(world *w, node *n, uint32_t id)
{
    machine *m = world_machine_of(w, n, id);
    actor *a = &m->actors[id];
    if (!a->active || a->guarded || a->captures) {
        return;
    }
    w->releases++;
    w->kept[id] = false;
    a->active = false;
    tp_directory_id name = world_id_at(w, id);
    if (WORLD_FEED(w, n, (uint32_t)(m - n->machines), tp_directory_release(m->directory, &name)) !=
        TROUPE_OK) {
        world_fail(w, "a release was not taken");
    }
    world_drain(w, n, (uint32_t)(m - n->machines));
}

static void move_one(world *w, node *n, uint32_t id)
{
    machine *m = world_machine_of(w, n, id);
    if (!m->actors[id].active || m->actors[id].captures) {
        return;
    }
    tp_directory_id name = world_id_at(w, id);
    uint64_t to = world_choose_member(w, n);
    if (tp_directory_move(m->directory, &name, to) == TROUPE_OK) {
        w->moves++;
    }
    world_drain(w, n, (uint32_t)(m - n->machines));
}

/* Answers to CAPTURE and PLACE, late. */
static void answer_one(world *w, node *n, uint32_t id)
{
    machine *m = world_machine_of(w, n, id);
    actor *a = &m->actors[id];
    uint32_t shard = (uint32_t)(m - n->machines);
    tp_directory_id name = world_id_at(w, id);
    if (a->captures) {
        bool done = !world_chance(w, 8);
        a->captures = false;
        if (done) {
            a->active = false;
            a->copy = true;
            a->copy_number = a->number;
            a->copy_ran = a->number;
        }
        if (WORLD_FEED(w, n, shard, tp_directory_captured(m->directory, &name, done)) !=
            TROUPE_OK) {
            world_fail(w, "a capture was not taken");
        }
        world_drain(w, n, shard);
    }
    if (n->up && a->places) {
        a->places = false;
        tp_directory_placed(m->directory, &name, world_choose_member(w, n), TROUPE_OK);
        world_drain(w, n, shard);
    }
}

static bool work_one(world *w, node *n)
{
    bool more = false;
    for (uint32_t s = 0; n->up && s < n->shards; s++) {
        more |= tp_directory_work(n->machines[s].directory);
        world_drain(w, n, s);
    }
    return more;
}

static void tick_one(world *w, node *n)
{
    for (uint32_t s = 0; n->up && s < n->shards; s++) {
        tp_directory_tick(n->machines[s].directory, w->now);
        world_drain(w, n, s);
    }
}

/* ---- views ---- */

static void publish(world *w, const bool *members)
{
    view *v = calloc(1, sizeof(*v));
    tp_ring_member in_ring[NODES];
    uint32_t count = 0, arcs = 0;
    bool any_in_ring = false;
    for (uint32_t i = 0; i < w->node_count; i++) {
        any_in_ring |= members[i] && w->nodes[i].in_ring;
    }
    for (uint32_t i = 0; i < w->node_count; i++) {
        if (!members[i]) {
            continue;
        }
        uint64_t name = w->nodes[i].incarnation;
        v->members[count] = (tp_directory_member){name, w->nodes[i].shards};
        if (w->nodes[i].in_ring || !any_in_ring) {
            in_ring[arcs++] = (tp_ring_member){name * 1000, name, count};
        }
        count++;
    }
    if (tp_ring_create(tp_allocator_system(), in_ring, arcs, POINTS, &v->ring) != TROUPE_OK) {
        abort();
    }
    v->view = (tp_directory_view){++w->newest, v->members, count, v->ring};
    w->views[w->newest] = v;
    world_trace(w, 50, w->newest);
}

static void change_view(world *w)
{
    bool members[NODES] = {false};
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->node_count; i++) {
        node *n = &w->nodes[i];
        members[i] = n->up && world_in_view(w, w->newest, n->incarnation);
        count += members[i];
        if (n->up && world_chance(w, 3)) {
            n->in_ring = !n->in_ring; /* homes move, as when nodes leave */
        }
    }
    uint32_t victim = world_below(w, w->node_count);
    if (w->evictions < w->plan.evictions && members[victim] && count > 1 && world_chance(w, 2)) {
        members[victim] = false; /* it goes on, and does not know */
        w->evictions++;
        w->faults = true;
    }
    if (w->node_count < NODES && world_chance(w, 4)) {
        node *n = world_start_node(w, w->newest + 1000);
        n->view = w->newest - 1; /* it installs the view before its own, too */
        members[w->node_count - 1] = true;
        publish(w, members);
        n->view = w->newest - 2;
        for (uint32_t s = 0; s < n->shards; s++) {
            if (w->newest > 1 && !world_chance(w, 4) &&
                WORLD_FEED(w, n, s,
                    tp_directory_install(
                        n->machines[s].directory, &w->views[w->newest - 1]->view)) != TROUPE_OK) {
                world_fail(w, "a joining node did not take the former view");
            }
        }
        n->view = w->newest - 1;
        world_install_next(w, n);
        return;
    }
    publish(w, members);
}

static void crash_one(world *w)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < w->node_count; i++) {
        left += world_is_effective(w, &w->nodes[i]);
    }
    node *n = some_node(w);
    if (n != NULL && left > 1) {
        w->crashes++;
        w->faults = true;
        world_die(w, n);
    }
}

/* ---- a run ---- */

/* In a storm: where the actor is, if it is anywhere. */
static node *some_host(world *w, node *n, uint32_t id)
{
    for (uint32_t i = 0; w->plan.storm != 0 && i < w->node_count; i++) {
        if (w->nodes[i].up && world_machine_of(w, &w->nodes[i], id)->actors[id].active) {
            return &w->nodes[i];
        }
    }
    return n;
}

static void step_once(world *w)
{
    const world_plan *plan = &w->plan;
    node *n = some_node(w);
    uint32_t id = world_below(w, plan->ids);
    if (world_chance(w, 24)) { /* a link is slow for a while */
        w->frozen[world_below(w, w->node_count)][world_below(w, w->node_count)] =
            w->result.steps + world_below(w, plan->steps);
    }
    switch (world_below(w, 16)) {
    case 0:
        if (w->message_count < plan->messages && n != NULL) {
            send_message(w, n, id, false);
        }
        break;
    case 1:
        if (n != NULL && n->view < w->newest) {
            world_install_next(w, n);
        }
        break;
    case 2:
        if (n != NULL && w->releases < plan->releases) {
            release_one(w, some_host(w, n, id), id);
        }
        break;
    case 3:
        if (n != NULL && w->moves < plan->moves) {
            move_one(w, some_host(w, n, id), id);
        }
        break;
    case 4:
        if (w->newest < plan->views && world_chance(w, plan->storm != 0 ? 2 : 6)) {
            change_view(w);
        } else if (w->crashes < plan->crashes && w->newest < plan->views &&
                   world_chance(w, plan->storm != 0 ? 2 : 6)) {
            crash_one(w);
        }
        break;
    case 5:
        w->now += world_chance(w, 8) ? UINT64_C(6000000000) : UINT64_C(1000000);
        if (n != NULL && world_chance(w, 2)) {
            tick_one(w, n);
        }
        break;
    case 6:
    case 7:
        if (n != NULL) {
            answer_one(w, n, id);
        }
        break;
    case 8:
    case 9:
    case 10:
        if (n != NULL) {
            work_one(w, n);
        }
        break;
    default:
        world_deliver_one(w);
        break;
    }
}

static bool is_told(const message *m)
{
    return m->done || m->lost || m->refused;
}

/* Everything that can happen happens, until all is told or nothing helps. */
static void come_to_rest(world *w)
{
    w->thaw = true;
    w->hungry = false;
    for (uint32_t round = 0; round < 60 && w->result.wrong == NULL; round++) {
        bool busy = true;
        for (uint32_t i = 0; busy && i < 20000 && w->result.wrong == NULL; i++) {
            busy = false;
            for (uint32_t k = 0; k < w->node_count; k++) {
                node *n = &w->nodes[k];
                while (n->up && n->view < w->newest) {
                    world_install_next(w, n);
                    busy = true;
                }
                for (uint32_t id = 0; n->up && id < w->plan.ids; id++) {
                    answer_one(w, n, id);
                }
                busy |= n->up && work_one(w, n);
            }
            while (world_deliver_one(w)) {
                busy = true;
            }
        }
        bool all = round > 12; /* repeats have come to an end, too */
        for (uint32_t i = 0; i < w->message_count; i++) {
            all = all && is_told(&w->messages[i]);
        }
        if (all) {
            return;
        }
        w->now += UINT64_C(1100000000);
        for (uint32_t k = 0; k < w->node_count; k++) {
            tick_one(w, &w->nodes[k]);
        }
    }
}

static void check_told(world *w)
{
    for (uint32_t i = 0; i < w->message_count; i++) {
        const message *m = &w->messages[i];
        if (!is_told(m)) {
            world_fail(w, "D2: a message is neither done nor told lost");
        }
        if (!w->faults && !m->done && (w->plan.hunger == 0 || !m->refused)) {
            world_fail(w, "D2: a planned change lost a message");
        }
    }
}

static void check_probes(world *w)
{
    uint32_t first = w->message_count;
    for (uint32_t id = 0; id < w->plan.ids; id++) {
        node *n = some_node(w);
        if (n == NULL) {
            world_fail(w, "nobody is left");
            return;
        }
        send_message(w, n, id, true);
    }
    come_to_rest(w);
    for (uint32_t i = first; i < w->message_count; i++) {
        if (!w->messages[i].done) {
            world_fail(w, "D4: a new message does not activate the actor");
        }
    }
}

/* Without actors and messages nothing is left in any machine. */
static void check_empty(world *w)
{
    for (uint32_t k = 0; k < w->node_count; k++) {
        for (uint32_t id = 0; w->nodes[k].up && id < w->plan.ids; id++) {
            release_one(w, &w->nodes[k], id);
        }
    }
    come_to_rest(w);
    for (uint32_t k = 0; k < w->node_count && w->result.wrong == NULL; k++) {
        for (uint32_t s = 0; w->nodes[k].up && s < w->nodes[k].shards; s++) {
            tp_directory_figures figures;
            tp_directory_figures_get(w->nodes[k].machines[s].directory, &figures);
            if (figures.records - figures.copies + figures.held + figures.ways +
                    figures.held_bytes + figures.activations + figures.entries + figures.tasks !=
                0) {
                world_fail(w, "something is left of actors that are gone");
            }
            if (!tp_directory_reached(w->nodes[k].machines[s].directory,
                    tp_directory_mark(w->nodes[k].machines[s].directory))) {
                world_fail(w, "a letter is open that is settled");
            }
        }
    }
}

static void add_up(world *w)
{
    for (uint32_t i = 0; i < w->message_count; i++) {
        w->result.done += w->messages[i].done;
        w->result.lost += w->messages[i].lost && !w->messages[i].done;
        w->result.refused += w->messages[i].refused;
    }
    for (uint32_t k = 0; k < w->node_count; k++) {
        for (uint32_t s = 0; w->nodes[k].up && s < w->nodes[k].shards; s++) {
            tp_directory_figures figures;
            tp_directory_figures_get(w->nodes[k].machines[s].directory, &figures);
            w->result.surveys += figures.surveys;
            w->result.claims += figures.claims;
            w->result.grants += figures.grants;
            w->result.returns += figures.returns;
        }
    }
}

static void end_world(world *w)
{
    for (uint32_t k = 0; k < w->node_count; k++) {
        if (w->nodes[k].up) {
            world_die(w, &w->nodes[k]);
        }
    }
    for (uint32_t a = 0; a < NODES * SHARDS; a++) {
        for (uint32_t b = 0; b < NODES * SHARDS; b++) {
            while (w->links[a][b].head != NULL) {
                frame *f = w->links[a][b].head;
                w->links[a][b].head = f->next;
                world_free_frame(f);
            }
        }
    }
    for (uint32_t i = 0; i <= w->newest; i++) {
        tp_ring_destroy(w->views[i] != NULL ? w->views[i]->ring : NULL);
        free(w->views[i]);
    }
    free(w->messages);
}

static void begin_world(world *w)
{
    bool members[NODES] = {false};
    for (uint32_t i = 0; i < w->plan.ids; i++) {
        w->hashes[i] = tp_prng_next(&w->prng);
        (void)snprintf(w->keys[i], sizeof(w->keys[i]), "key-%u", i);
    }
    for (uint32_t i = 0; i < w->plan.nodes; i++) {
        world_start_node(w, i + 1);
        members[i] = true;
    }
    publish(w, members);
    for (uint32_t i = 0; i < w->plan.nodes; i++) {
        world_install_next(w, &w->nodes[i]);
    }
}

static void *hungry_allocate(void *context, size_t size)
{
    world *w = context;
    return w->hungry && tp_prng_below(&w->luck, w->plan.hunger) == 0 ? NULL : malloc(size);
}

static void *hungry_reallocate(void *context, void *block, size_t old_size, size_t new_size)
{
    (void)context;
    (void)old_size;
    return realloc(block, new_size);
}

static void hungry_release(void *context, void *block, size_t size)
{
    (void)context;
    (void)size;
    free(block);
}

world_result world_run(uint64_t seed, const world_plan *plan)
{
    world *w = calloc(1, sizeof(*w));
    w->plan = *plan;
    tp_prng_seed(&w->prng, seed);
    tp_prng_seed(&w->luck, ~seed);
    w->allocator = (troupe_allocator){w, hungry_allocate, hungry_reallocate, hungry_release};
    w->messages = calloc(plan->messages + IDS * 2, sizeof(*w->messages));
    begin_world(w);
    w->hungry = plan->hunger != 0;
    for (uint32_t i = 0; i < plan->steps && w->result.wrong == NULL; i++) {
        step_once(w);
        w->result.steps++;
    }
    if (w->result.wrong == NULL) {
        bool members[NODES] = {false};
        for (uint32_t i = 0; i < w->node_count; i++) {
            members[i] = world_is_effective(w, &w->nodes[i]);
        }
        publish(w, members); /* the last one: without those who crashed */
        come_to_rest(w);
    }
    if (w->result.wrong == NULL) {
        check_told(w);
    }
    if (w->result.wrong == NULL) {
        check_probes(w);
    }
    if (w->result.wrong == NULL) {
        check_empty(w);
    }
    add_up(w);
    end_world(w);
    world_result result = w->result;
    free(w);
    return result;
}

world_plan world_draw(uint64_t seed, bool planned)
{
    tp_prng prng;
    tp_prng_seed(&prng, seed * 2 + planned);
    world_plan plan = {0};
    plan.nodes = 2 + (uint32_t)tp_prng_below(&prng, 4);
    plan.ids = 1 + (uint32_t)tp_prng_below(&prng, 3);
    plan.steps = 100 + (uint32_t)tp_prng_below(&prng, 900);
    plan.messages = 4 + (uint32_t)tp_prng_below(&prng, 40);
    plan.views = 1 + (uint32_t)tp_prng_below(&prng, 8);
    plan.releases = (uint32_t)tp_prng_below(&prng, 12);
    plan.moves = (uint32_t)tp_prng_below(&prng, 12);
    plan.shards = 1 + (uint32_t)tp_prng_below(&prng, SHARDS);
    plan.slice = 1 + (uint32_t)tp_prng_below(&prng, 3);
    plan.replicas = (uint32_t)tp_prng_below(&prng, 3);
    plan.direct_pool = tp_prng_below(&prng, 8) == 0;
    if (!planned) {
        plan.crashes = (uint32_t)tp_prng_below(&prng, 3);
        plan.evictions = (uint32_t)tp_prng_below(&prng, 3);
    }
    return plan;
}

world_plan world_draw_storm(uint64_t seed)
{
    tp_prng prng;
    tp_prng_seed(&prng, seed);
    world_plan plan = {0};
    plan.nodes = 3 + (uint32_t)tp_prng_below(&prng, 2);
    plan.ids = 1;
    plan.steps = 100 + (uint32_t)tp_prng_below(&prng, 400);
    plan.messages = 4 + (uint32_t)tp_prng_below(&prng, 30);
    plan.views = 2 + (uint32_t)tp_prng_below(&prng, 8);
    plan.releases = (uint32_t)tp_prng_below(&prng, 12);
    plan.moves = (uint32_t)tp_prng_below(&prng, 12);
    plan.shards = 1;
    plan.slice = 1;
    plan.storm = 2 + (uint32_t)tp_prng_below(&prng, 6);
    plan.crashes = (uint32_t)tp_prng_below(&prng, 3);
    plan.evictions = (uint32_t)tp_prng_below(&prng, 2);
    return plan;
}

world_plan world_draw_hunger(uint64_t seed)
{
    world_plan plan = world_draw(seed, true);
    plan.hunger = 2 + (uint32_t)(seed % 64);
    plan.direct_pool = true;
    return plan;
}

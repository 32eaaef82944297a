/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Draws what is done in a town: operation i from (seed, i) alone. And says it in words.
 *
 * Threads: one, as world.h.
 */
#include "testkit/town.h"

#include <stdio.h>
#include <stdlib.h>

#define DRAWN_MOST (TOWN_DEEDS - 100) /* the others are for the end */

static uint64_t draw_time(tp_prng *prng, uint64_t least, uint64_t most)
{
    uint64_t scale = least;
    while (scale < most && tp_prng_chance(prng, 3, 4))
        scale *= 2;
    uint64_t drawn = scale + tp_prng_below(prng, scale);
    return drawn < most ? drawn : most;
}

tp_town_deed *tp_town_deed_make(tp_town *town, uint16_t target)
{
    if (town->deed_count == TOWN_DEEDS)
        return NULL;
    tp_town_deed *deed = calloc(1, sizeof *deed);
    if (deed == NULL)
        abort();
    town->deeds[town->deed_count++] = deed;
    deed->number = town->deed_count;
    deed->town = town;
    deed->target = target;
    return deed;
}

static void draw_children(tp_town *town, tp_prng *prng, tp_town_deed *deed)
{
    uint32_t count = 1 + (uint32_t)tp_prng_below(prng, TOWN_CHILDREN);
    uint16_t same = (uint16_t)tp_prng_below(prng, town->actor_count);
    /* All by the outbox or none: an ask in the middle is a commit point. */
    bool posts = town->actors[deed->target].type == TOWN_TILL && tp_prng_chance(prng, 1, 2);
    for (uint32_t i = 0; i < count && town->deed_count < DRAWN_MOST; i++) {
        /* Asks go up only: who waits in a circle waits for ever. */
        bool asks = !posts && tp_prng_chance(prng, 1, 2) && deed->target + 1U < town->actor_count;
        uint16_t target = same;
        if (asks)
            target = (uint16_t)(deed->target + 1 +
                                tp_prng_below(prng, town->actor_count - deed->target - 1));
        tp_town_deed *child = tp_town_deed_make(town, target);
        child->is_tell = !asks;
        child->from = deed;
        child->outbox = posts;
        child->then = posts && tp_prng_chance(prng, 1, 2);
        child->refuses = posts && tp_prng_chance(prng, 1, 6);
        child->repeats = deed->repeats || deed->once || deed->outbox;
        if (asks && !town->calm && tp_prng_chance(prng, 1, 3))
            child->timeout = draw_time(prng, TROUPE_MILLISECONDS(1), TROUPE_SECONDS(4));
        if (tp_prng_chance(prng, 1, 8))
            child->rests = draw_time(prng, TROUPE_MICROSECONDS(5), TROUPE_MILLISECONDS(100));
        tp_town_draw_kept(town, prng, child);
        deed->children[deed->child_count++] = child;
    }
}

static tp_town_deed *draw_deed(tp_town *town, tp_prng *prng, uint16_t target)
{
    if (town->deed_count >= DRAWN_MOST)
        return NULL;
    tp_town_deed *deed = tp_town_deed_make(town, target);
    deed->is_tell = tp_prng_chance(prng, 1, 4);
    if (tp_prng_chance(prng, 1, 6))
        deed->rests = draw_time(
            prng, TROUPE_MICROSECONDS(5), town->calm ? TROUPE_MILLISECONDS(50) : 2 * town->ttl);
    if (!deed->is_tell && !town->calm && tp_prng_chance(prng, 1, 3))
        deed->timeout = draw_time(prng, TROUPE_MILLISECONDS(1), TROUPE_SECONDS(8));
    tp_town_draw_kept(town, prng, deed);
    if (tp_prng_chance(prng, 1, 4))
        draw_children(town, prng, deed);
    return deed;
}

static tp_town_op_kind draw_kind(tp_town *town, tp_prng *prng, tp_town_op_kind first)
{
    uint32_t sum = 0, i = first;
    uint32_t end = town->calm ? TOWN_KILL : TOWN_OPS;
    for (uint32_t k = first; k < end; k++)
        sum += town->scenario->ops[k];
    for (uint64_t drawn = tp_prng_below(prng, sum); drawn >= town->scenario->ops[i]; i++)
        drawn -= town->scenario->ops[i];
    return (tp_town_op_kind)i;
}

/* Words of a move that are late for longer than anybody is patient, and what comes meanwhile. */
static void draw_late_move(tp_town *town, tp_prng *prng, tp_town_op *op)
{
    op->with[0].kind = TOWN_CUT;
    op->with[0].pick = op->other / 64; /* from where it goes to */
    op->with[0].other = op->pick + 1;
    op->with[0].at = draw_time(prng, TROUPE_MICROSECONDS(20), TROUPE_MILLISECONDS(10));
    op->with[0].wait = TROUPE_SECONDS(3) + tp_prng_below(prng, TROUPE_SECONDS(6));
    op->with[1].kind = draw_kind(town, prng, TOWN_KILL);
    op->with[1].at = tp_prng_below(prng, TROUPE_SECONDS(5));
}

static void draw_with(tp_town *town, tp_prng *prng, tp_town_op *op)
{
    bool moves = op->kind == TOWN_MOVE;
    for (uint32_t i = 0; i < TOWN_WITH; i++) {
        op->with[i].pick = op->other + i;
        op->with[i].other = op->pick;
        op->with[i].wait = op->wait;
    }
    op->with[0].kind = draw_kind(town, prng, TOWN_KILL);
    op->with[0].at = draw_time(prng, TROUPE_MICROSECONDS(100),
        moves ? TROUPE_MILLISECONDS(50) : TROUPE_MILLISECONDS(500));
    if (moves && tp_prng_chance(prng, 1, 2))
        draw_late_move(town, prng, op);
}

void tp_town_plan(tp_town *town, uint32_t index, tp_town_op *ret_op)
{
    tp_prng prng;
    uint64_t seed = town->options->seed ^ ((uint64_t)index << 40) ^ 0x70A2;
    tp_prng_seed(&prng, tp_prng_split(&seed));
    *ret_op = (tp_town_op){.kind = draw_kind(town, &prng, TOWN_ASKS)};
    ret_op->pick = (uint32_t)tp_prng_next(&prng) >> 4;
    ret_op->other = (uint32_t)tp_prng_next(&prng) >> 4;
    ret_op->wait = draw_time(&prng, TROUPE_MILLISECONDS(2),
        ret_op->kind == TOWN_WAIT ? TROUPE_SECONDS(2) : 3 * town->ttl);
    bool moves = ret_op->kind == TOWN_MOVE;
    bool is_long = ret_op->kind == TOWN_START || ret_op->kind == TOWN_LEAVE || moves;
    uint32_t count = 0;
    if (ret_op->kind == TOWN_ASKS)
        count = tp_prng_chance(&prng, 1, 6) ? 4 + (uint32_t)tp_prng_below(&prng, 16)
                                            : 1 + (uint32_t)tp_prng_below(&prng, 4);
    if (is_long)
        count = 2 + (uint32_t)tp_prng_below(&prng, moves ? 20 : 12);
    if (is_long && !town->calm && tp_prng_chance(&prng, 1, moves ? 2 : 3))
        draw_with(town, &prng, ret_op);
    bool one = tp_prng_chance(&prng, 1, 3);
    uint16_t same = (uint16_t)tp_prng_below(&prng, town->actor_count);
    if (moves && tp_prng_chance(&prng, 3, 4))
        same = (uint16_t)(ret_op->other % town->actor_count); /* the one that moves */
    for (uint32_t i = 0; i < count; i++) {
        uint16_t target = one ? same : (uint16_t)tp_prng_below(&prng, town->actor_count);
        tp_town_deed *deed = draw_deed(town, &prng, target);
        if (deed == NULL)
            break;
        ret_op->delays[ret_op->count] =
            is_long ? draw_time(&prng, TROUPE_MICROSECONDS(10),
                          moves ? TROUPE_MILLISECONDS(30) : TROUPE_SECONDS(1))
                    : 0;
        ret_op->deeds[ret_op->count++] = deed;
    }
}

/* ---- in words -------------------------------------------------------------------------------- */

static const char *word_of(const tp_town_deed *deed)
{
    if (deed->outbox)
        return deed->then ? "asks for later" : "posts to";
    return deed->once ? "asks once" : deed->is_tell ? "tells" : "asks";
}

void tp_town_say(tp_town *town, uint32_t index, const tp_town_op *op)
{
    static const char *const names[TOWN_OPS] = {"asks", "waits", "deactivates", "STARTS", "LEAVES",
        "moves", "KILLS", "stops", "cuts", "membership out", "store faults"};
    if (town->options->say == NULL)
        return;
    char text[2000];
    size_t used = (size_t)snprintf(text, sizeof text, "%u. at %.6f s: %s (%u, %u, %.3f ms)", index,
        (double)tp_world_now(town->world) / 1e9, names[op->kind], op->pick, op->other,
        (double)op->wait / 1e6);
    for (uint32_t i = 0; i < TOWN_WITH && op->with[i].kind != TOWN_ASKS; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, " with %s after %.3f ms",
            names[op->with[i].kind], (double)op->with[i].at / 1e6);
    for (uint32_t i = 0; i < op->count && used + 100 < sizeof text; i++) {
        const tp_town_deed *deed = op->deeds[i];
        used += (size_t)snprintf(text + used, sizeof text - used, "; #%u %s %s/%u", deed->number,
            word_of(deed), tp_town_type_names[town->actors[deed->target].type],
            deed->target);
        for (uint32_t k = 0; k < deed->child_count && used + 40 < sizeof text; k++)
            used += (size_t)snprintf(text + used, sizeof text - used, " (#%u %s %u)",
                deed->children[k]->number, word_of(deed->children[k]),
                deed->children[k]->target);
    }
    town->options->say(town->options->say_user, text);
}

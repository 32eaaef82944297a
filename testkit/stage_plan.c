/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Draws what is done on a stage: operation i from (seed, i) alone, with all the deeds that follow
 * from it. And says it in words.
 *
 * Threads: one, as world.h.
 */
#include "testkit/stage.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define DEPTH_MOST 4
#define ACTS_MOST  5

/* A duration between the two, each order of magnitude as likely. */
static uint64_t draw_time(tp_prng *prng, uint64_t least, uint64_t most)
{
    uint64_t scale = least;
    while (scale < most && tp_prng_chance(prng, 3, 4))
        scale *= 2;
    uint64_t drawn = scale + tp_prng_below(prng, scale);
    return drawn < most ? drawn : most;
}

static uint32_t draw_weighted(tp_prng *prng, const uint8_t *weights, uint32_t count, uint32_t mask)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += (mask >> i) & 1 ? 0 : weights[i];
    if (sum == 0)
        return 0;
    uint64_t drawn = tp_prng_below(prng, sum);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t weight = (mask >> i) & 1 ? 0 : weights[i];
        if (drawn < weight)
            return i;
        drawn -= weight;
    }
    return 0;
}

static tp_deed *make_deed(
    tp_stage *stage, tp_deed *parent, tp_deed_kind kind, uint16_t sender, uint16_t target)
{
    if (stage->deed_count == stage->deed_capacity) {
        stage->deed_capacity = stage->deed_capacity != 0 ? stage->deed_capacity * 2 : 512;
        stage->deeds = realloc(stage->deeds, stage->deed_capacity * sizeof(tp_deed *));
    }
    tp_deed *deed = calloc(1, sizeof *deed);
    stage->deeds[stage->deed_count++] = deed;
    deed->number = stage->deed_count;
    deed->root = parent != NULL ? parent->root : deed->number;
    deed->parent = parent;
    deed->kind = kind;
    deed->sender = sender;
    deed->target = target;
    deed->stage = stage;
    deed->deadline_most = TROUPE_NEVER;
    deed->deadline_least = TROUPE_NEVER;
    return deed;
}

static uint16_t draw_actor(tp_stage *stage, tp_prng *prng)
{
    uint32_t most = stage->solo_first;
    if (tp_prng_chance(prng, 2, 5))
        most = most < 3 ? most : 3;
    return (uint16_t)tp_prng_below(prng, most);
}

static void draw_manner(tp_stage *stage, tp_prng *prng, tp_deed *deed)
{
    const tp_stage_type *type = &tp_stage_types[stage->players[deed->target].type];
    bool hasty = stage->scenario->deadlines;
    if (type->reads)
        deed->read_only = tp_prng_chance(prng, 1, 3);
    if (!deed->read_only && stage->players[deed->target].type == TP_CHAIN)
        deed->other = tp_prng_chance(prng, 1, 4);
    if (tp_prng_chance(prng, hasty ? 5 : 1, 10))
        deed->timeout = draw_time(prng, TROUPE_MICROSECONDS(20), TROUPE_MILLISECONDS(200));
    if (tp_prng_chance(prng, hasty ? 35 : 5, 100))
        deed->cancel_after = draw_time(prng, TROUPE_MICROSECONDS(10), TROUPE_MILLISECONDS(60));
    if (tp_prng_chance(prng, 1, 3))
        deed->padding = (uint32_t)draw_time(prng, 16, 600);
    if (tp_prng_chance(prng, 1, 150))
        deed->padding = 4000 + (uint32_t)tp_prng_below(prng, 4000);
    if (tp_prng_chance(prng, 1, 16) && deed->kind != TP_DEED_CALL && deed->parent != NULL)
        deed->retries = 2 + (uint32_t)tp_prng_below(prng, 3);
    if (tp_prng_chance(prng, 1, 200) && stage->players[deed->target].type != TP_CHAIN) {
        deed->nonsense = true;
        deed->read_only = false;
    }
}

static void draw_acts(tp_stage *stage, tp_prng *prng, tp_deed *deed, uint32_t depth);

static tp_deed *draw_child(
    tp_stage *stage, tp_prng *prng, tp_deed *parent, tp_act_kind kind, uint32_t depth)
{
    tp_deed_kind as = kind == TP_ACT_ASK    ? TP_DEED_ASK
                      : kind == TP_ACT_TELL ? TP_DEED_TELL
                                            : TP_DEED_CALL;
    tp_deed *deed = make_deed(stage, parent, as, parent->target, draw_actor(stage, prng));
    draw_manner(stage, prng, deed);
    draw_acts(stage, prng, deed, depth + 1);
    return deed;
}

static bool is_allowed(const tp_deed *deed, tp_act_kind kind)
{
    return !deed->read_only || kind != TP_ACT_WRITE;
}

static void draw_acts(tp_stage *stage, tp_prng *prng, tp_deed *deed, uint32_t depth)
{
    if (deed->nonsense)
        return;
    uint32_t mask = stage->act_mask;
    if (depth >= DEPTH_MOST)
        mask |= 1U << TP_ACT_ASK | 1U << TP_ACT_TELL | 1U << TP_ACT_CALL;
    uint32_t count = (uint32_t)tp_prng_below(prng, ACTS_MOST + 1 - (depth > 1));
    deed->acts = calloc(count + 1, sizeof(tp_act));
    for (uint32_t i = 0; i < count; i++) {
        tp_act act = {
            .kind = (tp_act_kind)draw_weighted(prng, stage->scenario->acts, TP_ACT_COUNT, mask)};
        act.amount = tp_prng_next(prng) >> 16;
        if (act.kind == TP_ACT_SLEEP)
            act.amount = draw_time(prng, TROUPE_MICROSECONDS(5), TROUPE_SECONDS(4));
        if (act.kind == TP_ACT_WORK)
            act.amount = draw_time(prng, TROUPE_MICROSECONDS(1), TROUPE_MILLISECONDS(40));
        if (!is_allowed(deed, act.kind))
            continue;
        if (act.kind == TP_ACT_ASK || act.kind == TP_ACT_TELL || act.kind == TP_ACT_CALL)
            act.deed = draw_child(stage, prng, deed, act.kind, depth);
        deed->acts[deed->act_count++] = act;
    }
}

static uint16_t draw_client(tp_prng *prng)
{
    return (uint16_t)(STAGE_ACTORS + tp_prng_below(prng, STAGE_CLIENTS));
}

static void plan_call(tp_stage *stage, tp_prng *prng, tp_op *op, tp_deed_kind kind)
{
    uint16_t target = draw_actor(stage, prng); /* one draw a statement: the order is the run */
    tp_deed *deed = make_deed(stage, NULL, kind, draw_client(prng), target);
    draw_manner(stage, prng, deed);
    if (op->kind != TP_OP_BLOCKING)
        deed->retries = 0;
    draw_acts(stage, prng, deed, 0);
    op->deeds[op->count++] = deed;
}

/* Many at once, most of them to one: what limits are for. */
static void add_burst(tp_stage *stage, tp_prng *prng, tp_op *op)
{
    uint16_t first = draw_actor(stage, prng);
    tp_deed *deed = make_deed(stage, NULL, TP_DEED_ASK, draw_client(prng), first);
    op->deeds[op->count++] = deed;
    uint32_t count = 20 + (uint32_t)tp_prng_below(prng, 120);
    bool tells = tp_prng_chance(prng, 1, 2), one = tp_prng_chance(prng, 1, 2);
    uint16_t target = draw_actor(stage, prng);
    deed->acts = calloc(count, sizeof(tp_act));
    deed->act_count = count;
    for (uint32_t i = 0; i < count; i++) {
        if (!one)
            target = (uint16_t)tp_prng_below(prng, stage->solo_first);
        tp_deed *child =
            make_deed(stage, deed, tells ? TP_DEED_TELL : TP_DEED_CALL, deed->target, target);
        child->acts = calloc(1, sizeof(tp_act));
        child->acts[0] = (tp_act){.kind = TP_ACT_WRITE};
        child->act_count = 1;
        deed->acts[i] = (tp_act){.kind = tells ? TP_ACT_TELL : TP_ACT_CALL, .deed = child};
    }
    if (tp_prng_chance(prng, 1, 2)) { /* the target is slow */
        deed->acts[0].deed->acts[0] = (tp_act){
            .kind = TP_ACT_SLEEP, .amount = draw_time(prng, 20000, TROUPE_MILLISECONDS(60))};
    }
}

static void plan_burst(tp_stage *stage, tp_prng *prng, tp_op *op)
{
    uint32_t count = stage->scenario->stormy ? 1 + (uint32_t)tp_prng_below(prng, 4) : 1;
    for (uint32_t i = 0; i < count; i++)
        add_burst(stage, prng, op);
}

/* Each asks the next, the last one the first; every caller comes on its own. */
static void plan_circle(tp_stage *stage, tp_prng *prng, tp_op *op)
{
    uint32_t count = 2 + (uint32_t)tp_prng_below(prng, 4);
    if (count > stage->solo_count)
        count = stage->solo_count;
    uint32_t first = (uint32_t)tp_prng_below(prng, stage->solo_count);
    bool racing = tp_prng_chance(prng, 1, 2);
    for (uint32_t i = 0; i < count; i++) {
        uint16_t self = (uint16_t)(stage->solo_first + (first + i) % stage->solo_count);
        uint16_t next =
            (uint16_t)(stage->solo_first + (first + (i + 1) % count) % stage->solo_count);
        tp_deed *deed = make_deed(stage, NULL, TP_DEED_ASK, draw_client(prng), self);
        deed->acts = calloc(4, sizeof(tp_act));
        deed->acts[0] =
            (tp_act){.kind = TP_ACT_SLEEP, .amount = draw_time(prng, 5000, TROUPE_MILLISECONDS(8))};
        for (uint32_t k = 1; k < (racing ? 3U : 2U); k++) {
            tp_deed *ask = make_deed(stage, deed, TP_DEED_ASK, self, next);
            ask->acts = calloc(1, sizeof(tp_act));
            ask->acts[0] = (tp_act){.kind = TP_ACT_WRITE};
            ask->act_count = 1;
            if (racing && tp_prng_chance(prng, 1, 2))
                ask->timeout = draw_time(prng, TROUPE_MILLISECONDS(2), TROUPE_MILLISECONDS(12));
            if (racing && tp_prng_chance(prng, 1, 3))
                ask->cancel_after =
                    draw_time(prng, TROUPE_MILLISECONDS(2), TROUPE_MILLISECONDS(12));
            deed->acts[k] = (tp_act){.kind = TP_ACT_ASK, .deed = ask};
            deed->act_count = k + 1;
        }
        deed->acts[deed->act_count++] = (tp_act){.kind = TP_ACT_WRITE};
        op->deeds[op->count++] = deed;
    }
}

void tp_plan(tp_stage *stage, uint32_t index, tp_op *ret_op)
{
    tp_prng prng;
    uint64_t seed = stage->options->seed ^ ((uint64_t)index << 40);
    tp_prng_seed(&prng, tp_prng_split(&seed));
    *ret_op =
        (tp_op){.kind = (tp_op_kind)draw_weighted(&prng, stage->scenario->ops, TP_OP_COUNT, 0)};
    if (ret_op->kind == TP_OP_CIRCLE && stage->solo_count < 2)
        ret_op->kind = TP_OP_ASK;
    if (tp_prng_chance(&prng, 2, 3))
        ret_op->steps_before = (uint32_t)tp_prng_below(&prng, 14);
    ret_op->actor = (uint16_t)tp_prng_below(&prng, stage->player_count);
    switch (ret_op->kind) {
    case TP_OP_ASK:
    case TP_OP_BLOCKING:
        plan_call(stage, &prng, ret_op, TP_DEED_ASK);
        break;
    case TP_OP_TELL:
        plan_call(stage, &prng, ret_op, TP_DEED_TELL);
        break;
    case TP_OP_BURST:
        plan_burst(stage, &prng, ret_op);
        break;
    case TP_OP_CIRCLE:
        plan_circle(stage, &prng, ret_op);
        break;
    case TP_OP_WAIT:
        ret_op->wait = draw_time(&prng, TROUPE_MICROSECONDS(50), TROUPE_SECONDS(2));
        break;
    default:
        break;
    }
}

/* ---- in words -------------------------------------------------------------------------------- */

typedef struct prose {
    char text[4096];
    size_t size;
} prose;

static void add(prose *words, const char *format, ...) TROUPE_PRINTF(2, 3);

static void add(prose *words, const char *format, ...)
{
    if (words->size + 1 >= sizeof words->text)
        return;
    va_list arguments;
    va_start(arguments, format);
    int size =
        vsnprintf(words->text + words->size, sizeof words->text - words->size, format, arguments);
    va_end(arguments);
    words->size += (size_t)size;
    if (words->size >= sizeof words->text)
        words->size = sizeof words->text - 1;
}

static void add_time(prose *words, const char *what, uint64_t duration)
{
    if (duration >= TROUPE_SECONDS(1))
        add(words, "%s %.2f s", what, (double)duration / 1e9);
    else if (duration >= TROUPE_MILLISECONDS(1))
        add(words, "%s %.2f ms", what, (double)duration / 1e6);
    else
        add(words, "%s %.1f us", what, (double)duration / 1e3);
}

static void add_deed(tp_stage *stage, prose *words, const tp_deed *deed);

static void add_act(tp_stage *stage, prose *words, const tp_act *act)
{
    static const char *const names[TP_ACT_COUNT] = {"writes", "asks", "tells", "calls", "sleeps",
        "yields", "blocks", "works", "starts a timer", "stops a timer", "defers", "allocates",
        "replies", "leaves", "fails", "errs", "panics"};
    if (act->deed != NULL) {
        add(words, "%s ", names[act->kind]);
        add_deed(stage, words, act->deed);
    } else if (act->kind == TP_ACT_SLEEP || act->kind == TP_ACT_WORK) {
        add_time(words, names[act->kind], act->amount);
    } else {
        add(words, "%s", names[act->kind]);
    }
}

static void add_deed(tp_stage *stage, prose *words, const tp_deed *deed)
{
    const tp_player *target = &stage->players[deed->target];
    add(words, "%s/%s %s #%u", tp_stage_types[target->type].name, target->key, tp_deed_method(deed),
        deed->number);
    if (deed->timeout != 0)
        add_time(words, " timeout", deed->timeout);
    if (deed->cancel_after != 0 && deed->kind != TP_DEED_TELL)
        add_time(words, " cancelled after", deed->cancel_after);
    if (deed->retries != 0)
        add(words, " tries %u", deed->retries);
    if (deed->act_count == 0)
        return;
    add(words, " (");
    uint32_t shown = deed->act_count < 8 ? deed->act_count : 8;
    for (uint32_t i = 0; i < shown; i++) {
        if (i != 0)
            add(words, ", ");
        add_act(stage, words, &deed->acts[i]);
    }
    if (shown < deed->act_count)
        add(words, ", and %u more", deed->act_count - shown);
    add(words, ")");
}

void tp_plan_say(tp_stage *stage, uint32_t index, const tp_op *op)
{
    static const char *const names[TP_OP_COUNT] = {
        "asks", "tells", "asks", "asks", "waits", "deactivates", "looks in", "asks and waits"};
    if (stage->options->say == NULL)
        return;
    prose words = {.size = 0};
    add(&words, "%u. ", index);
    add_time(&words, "at", tp_world_now(stage->world));
    add(&words, ": ");
    for (uint32_t i = 0; i < op->count; i++) {
        char name[40];
        tp_stage_name(stage, op->deeds[i]->sender, name, sizeof name);
        add(&words, "%s%s %s ", i != 0 ? "; " : "", name, names[op->kind]);
        add_deed(stage, &words, op->deeds[i]);
    }
    if (op->kind == TP_OP_WAIT)
        add_time(&words, "waits", op->wait);
    else if (op->count == 0)
        add(&words, "%s", names[op->kind]);
    if (op->kind == TP_OP_DEACTIVATE) {
        char name[40];
        tp_stage_name(stage, op->actor, name, sizeof name);
        add(&words, " %s", name);
    }
    stage->options->say(stage->options->say_user, words.text);
}

/* What is under way: for the end of a replay. */
void tp_plan_say_open(tp_stage *stage)
{
    for (uint32_t i = 0; i < stage->player_count; i++) {
        const tp_player *player = &stage->players[i];
        for (const tp_stage_turn *view = player->open; view != NULL; view = view->next) {
            prose words = {.size = 0};
            add(&words, "open: a turn of %s/%s, deed %u", tp_stage_types[player->type].name,
                player->key, view->deed != NULL ? view->deed->number : 0);
            if (view->asking != NULL)
                add(&words, ", asks deed %u", view->asking->number);
            stage->options->say(stage->options->say_user, words.text);
        }
    }
    for (uint32_t i = 0; i < stage->deed_count; i++) {
        const tp_deed *deed = stage->deeds[i];
        if (!deed->issued || deed->finished_call || deed->view != NULL)
            continue;
        if (deed->kind == TP_DEED_TELL && deed->starts != 0)
            continue;
        prose words = {.size = 0};
        add(&words, "without an end: deed %u, begun %u times, to ", deed->number, deed->starts);
        tp_stage_name(stage, deed->target, words.text + words.size, 40);
        stage->options->say(stage->options->say_user, words.text);
    }
}

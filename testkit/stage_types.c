/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The actor types of a stage, and the one program that all of them run: they do what the deed says
 * whose number the message brings. Each call that may park is told to the model before and after.
 *
 * Threads: one, as world.h.
 */
#include "testkit/stage.h"

#include <stdio.h>
#include <stdlib.h>

#define HEAD sizeof(tp_stage_state)

const tp_stage_type tp_stage_types[STAGE_TYPES] = {
    [TP_SOLO] = {.name = "solo", .state_size = 32, .restores = true},
    [TP_READER] =
        {.name = "reader", .state_size = 48, .restores = true, .reads = true, .interleaves = true},
    [TP_CHAIN] =
        {.name = "chain", .state_size = 64, .restores = true, .chain = true, .interleaves = true},
    [TP_ALWAYS] = {.name = "always",
        .state_size = 56,
        .restores = true,
        .always = true,
        .reads = true,
        .interleaves = true},
    [TP_KEEPER] = {.name = "keeper", .state_size = 96, .restores = true, .persistent = true},
    [TP_HOOKED] = {.name = "hooked", .state_size = 64, .persistent = true, .hooks = true},
    [TP_FRAGILE] = {.name = "fragile", .state_size = 40, .restores = true, .fragile = true},
    [TP_STOPPER] = {.name = "stopper", .state_size = 40, .restores = true, .stops = true},
    [TP_BIG] = {.name = "big",
        .state_size = STAGE_STATE,
        .restores = true,
        .reads = true,
        .interleaves = true,
        .persistent = true},
};

/* ---- payloads -------------------------------------------------------------------------------- */

troupe_slice tp_deed_payload(tp_deed *deed)
{
    size_t size = sizeof deed->number + deed->padding;
    if (deed->payload == NULL) {
        deed->payload = malloc(size);
        memcpy(deed->payload, &deed->number, sizeof deed->number);
        for (size_t i = sizeof deed->number; i < size; i++)
            deed->payload[i] = (unsigned char)(deed->number * 31 + i * 7);
    }
    return troupe_slice_of(deed->payload, size);
}

static tp_deed *deed_of(tp_stage *stage, troupe_slice payload)
{
    uint32_t number = 0;
    if (payload.size >= sizeof number)
        memcpy(&number, payload.data, sizeof number);
    if (number == 0 || number > stage->deed_count)
        tp_violate(
            stage, "P4 payload", "a message brings deed %u of %u", number, stage->deed_count);
    tp_deed *deed = stage->deeds[number - 1];
    if (!troupe_slice_equal(tp_deed_payload(deed), payload))
        tp_violate(stage, "P4 payload", "the bytes of deed %u were changed on the way", number);
    return deed;
}

const char *tp_deed_method(const tp_deed *deed)
{
    if (deed->nonsense)
        return "nonsense";
    return deed->read_only ? "look" : deed->other ? "anything" : "work";
}

troupe_id tp_player_id(const tp_stage *stage, uint16_t actor)
{
    const tp_player *player = &stage->players[actor];
    return troupe_id_of(tp_stage_types[player->type].name, player->key);
}

static void fire(tp_world_event *event)
{
    tp_deed *deed = TP_CONTAINER(event, tp_deed, fire);
    deed->fired_at = tp_world_now(deed->stage->world);
    troupe_cancel_fire(deed->cancel);
}

void tp_deed_options(tp_stage *stage, tp_deed *deed, troupe_call_options *ret_options)
{
    *ret_options = (troupe_call_options){
        TROUPE_CALL_OPTIONS, .timeout = deed->timeout, .retry = {.attempts = deed->retries}};
    if (deed->cancel_after == 0 || deed->kind == TP_DEED_TELL)
        return;
    /* A token must outlive its call, and the end of a callback whose asker died is told to nobody.
     */
    if (stage->scenario->closes && deed->kind == TP_DEED_CALL)
        return;
    if (troupe_cancel_create(stage->node, &deed->cancel) != TROUPE_OK) {
        deed->cancel = NULL;
        return;
    }
    ret_options->cancel = deed->cancel;
    deed->fire.happen = fire;
    tp_world_at(stage->world, &deed->fire, tp_world_now(stage->world) + deed->cancel_after);
}

/* ---- what they do ---------------------------------------------------------------------------- */

typedef struct doing {
    tp_stage *stage;
    tp_stage_turn view;
    troupe_turn *turn;
    void *state;
    unsigned char *block; /* of the arena */
    size_t block_size;
    bool replied;
    troupe_status status;
} doing;

static void do_write(doing *self)
{
    tp_stage_state *state = self->state;
    size_t size = tp_stage_types[self->stage->players[self->view.actor].type].state_size;
    unsigned char *bytes = self->state;
    uint32_t number = self->view.deed != NULL ? self->view.deed->number : 0;
    state->writes++;
    state->last_deed = number;
    for (size_t i = HEAD; i < size; i++)
        bytes[i] = (unsigned char)(bytes[i] * 5 + number + i);
    self->view.pending++;
}

static void do_ask(doing *self, tp_deed *deed)
{
    troupe_call_options options;
    tp_deed_options(self->stage, deed, &options);
    troupe_answer answer;
    tp_deed_issue(self->stage, deed, &self->view);
    deed->accepted = true;
    tp_stage_turn_pause(&self->view, self->state);
    troupe_status status = troupe_ask(self->turn, tp_player_id(self->stage, deed->target),
        tp_deed_method(deed), tp_deed_payload(deed), &options, &answer);
    self->view.asking = NULL;
    if (status != answer.status)
        tp_violate(self->stage, "P3 answer", "an ask returns %s and answers %s",
            troupe_status_name(status), troupe_status_name(answer.status));
    tp_stage_turn_resume(&self->view, self->state, deed);
    tp_deed_answered(self->stage, deed, &answer, self->turn);
    troupe_answer_release(&answer);
}

static void do_tell(doing *self, tp_deed *deed)
{
    troupe_call_options options;
    tp_deed_options(self->stage, deed, &options);
    tp_deed_issue(self->stage, deed, &self->view);
    tp_stage_turn_pause(&self->view, self->state);
    troupe_status status = troupe_tell(self->turn, tp_player_id(self->stage, deed->target),
        tp_deed_method(deed), tp_deed_payload(deed), &options);
    tp_stage_turn_resume(&self->view, self->state, NULL);
    tp_deed_sent(self->stage, deed, status);
}

static void called_back(troupe_turn *turn, void *state, const troupe_answer *answer, void *user)
{
    tp_deed *deed = user;
    tp_stage *stage = deed->stage;
    doing self = {.stage = stage, .turn = turn, .state = state};
    tp_stage_turn_begin(stage, &self.view, turn, deed->sender, NULL, state);
    if (deed->epoch != stage->players[deed->sender].epoch)
        tp_violate(
            stage, "P3 callback", "an answer comes to a later activation than the one that asked");
    tp_deed_answered(stage, deed, answer, turn);
    do_write(&self);
    tp_stage_turn_end(&self.view, state, TROUPE_OK, false);
}

static void do_call(doing *self, tp_deed *deed)
{
    troupe_call_options options;
    tp_deed_options(self->stage, deed, &options);
    tp_deed_issue(self->stage, deed, &self->view);
    troupe_status status = troupe_ask_callback(self->turn, tp_player_id(self->stage, deed->target),
        tp_deed_method(deed), tp_deed_payload(deed), &options, called_back, deed);
    tp_deed_sent(self->stage, deed, status);
}

static void check_wait(doing *self, troupe_status status, const char *what)
{
    bool may = status == TROUPE_OK || status == TROUPE_BUSY ||
               (status == TROUPE_CANCELLED && troupe_turn_is_cancelled(self->turn)) ||
               (status == TROUPE_INTERRUPTED && self->stage->closing) ||
               (status == TROUPE_NO_MEMORY && self->stage->memory_fails);
    if (!may)
        tp_violate(self->stage, "P3 waits", "%s returns %s for no reason", what,
            troupe_status_name(status));
}

static void do_sleep(doing *self, uint64_t duration)
{
    uint64_t least = tp_world_step_began(self->stage->world) + duration;
    tp_stage_turn_pause(&self->view, self->state);
    troupe_status status =
        duration == 0 ? troupe_yield(self->turn) : troupe_sleep(self->turn, duration);
    tp_stage_turn_resume(&self->view, self->state, NULL);
    check_wait(self, status, "a sleep");
    if (status == TROUPE_OK && tp_world_now(self->stage->world) < least)
        tp_violate(self->stage, "P3 waits", "a sleep ends early");
}

typedef struct stage_job {
    tp_stage *stage;
    uint32_t runs;
} stage_job;

static void run_job(void *argument)
{
    stage_job *job = argument;
    job->runs++;
}

static void do_block(doing *self)
{
    stage_job job = {self->stage, 0};
    self->stage->jobs_open++;
    tp_stage_turn_pause(&self->view, self->state);
    troupe_status status = troupe_blocking(self->turn, run_job, &job);
    tp_stage_turn_resume(&self->view, self->state, NULL);
    self->stage->jobs_open--;
    check_wait(self, status, "a blocking job");
    if (job.runs != (status == TROUPE_OK))
        tp_violate(self->stage, "P3 waits", "a blocking job ran %u times (%s)", job.runs,
            troupe_status_name(status));
}

static void do_timer(doing *self, uint64_t amount)
{
    tp_stage *stage = self->stage;
    if (stage->timer_count == stage->timer_capacity) {
        stage->timer_capacity = stage->timer_capacity != 0 ? stage->timer_capacity * 2 : 64;
        stage->timers = realloc(stage->timers, stage->timer_capacity * sizeof *stage->timers);
    }
    uint32_t index = stage->timer_count;
    uint64_t first = amount % TROUPE_MILLISECONDS(40) + 1;
    uint64_t period =
        amount % 3 == 0 ? 0 : TROUPE_MICROSECONDS(200) + amount % TROUPE_MILLISECONDS(9);
    stage->timers[index] = (tp_stage_timer){.actor = self->view.actor,
        .epoch = stage->players[self->view.actor].epoch,
        .most = 1 + (uint32_t)(amount % 5),
        .started = tp_world_step_began(stage->world),
        .first = first,
        .period = period};
    troupe_status status = troupe_timer_start(self->turn, "tick",
        troupe_slice_of(&index, sizeof index), first, period, &stage->timers[index].timer);
    if (status == TROUPE_OK)
        stage->timer_count++;
    else if (status != TROUPE_BUSY && !(status == TROUPE_NO_MEMORY && stage->memory_fails))
        tp_violate(stage, "P1 timers", "a timer does not start: %s", troupe_status_name(status));
}

static void do_untimer(doing *self, uint64_t amount)
{
    tp_stage *stage = self->stage;
    uint32_t epoch = stage->players[self->view.actor].epoch;
    for (uint32_t i = stage->timer_count; i-- != 0 && stage->timer_count - i < 200;) {
        tp_stage_timer *timer = &stage->timers[i];
        if (timer->actor != self->view.actor || timer->epoch != epoch || timer->stopped)
            continue;
        bool was = troupe_timer_stop(self->turn, timer->timer);
        if (!was && timer->ticks == 0 && !stage->memory_fails)
            tp_violate(stage, "P1 timers", "a timer that never ticked is gone");
        timer->stopped = true;
        if (amount-- % 2 == 0)
            return;
    }
}

static void deferred(void *argument)
{
    uint32_t *open = argument;
    --*open;
}

static void do_defer(doing *self)
{
    troupe_status status = troupe_defer(self->turn, deferred, &self->stage->defers_open);
    if (status == TROUPE_OK)
        self->stage->defers_open++;
    else if (!self->stage->memory_fails)
        tp_violate(self->stage, "P11 clean-ups", "a clean-up is refused");
}

static void do_alloc(doing *self, uint64_t amount)
{
    if (self->stage->memory_fails)
        return; /* it panics for want of memory, as promised */
    self->block_size = 1 + amount % 3000;
    self->block = troupe_turn_alloc(self->turn, self->block_size);
    memset(self->block, (int)self->view.actor, self->block_size);
    unsigned char *kept = troupe_actor_alloc(self->turn, 24);
    memset(kept, 7, 24);
}

static void check_block(const doing *self)
{
    for (size_t i = 0; i < self->block_size; i++)
        if (self->block[i] != (unsigned char)self->view.actor)
            tp_violate(
                self->stage, "P11 arena", "the arena of a turn was written by somebody else");
}

static void do_reply(doing *self)
{
    if (self->view.deed->kind == TP_DEED_TELL || self->replied)
        return;
    troupe_status status = troupe_reply_bytes(self->turn, tp_deed_payload(self->view.deed));
    self->replied = status == TROUPE_OK;
    if (status == TROUPE_OK)
        return;
    if (!self->stage->memory_fails || status != TROUPE_NO_MEMORY)
        tp_violate(
            self->stage, "P3 reply", "a reply is refused with %s", troupe_status_name(status));
    self->view.deed->failed = true;
    self->status = TROUPE_APPLICATION + 4;
}

static void do_fail(doing *self, const tp_act *act)
{
    tp_deed *deed = self->view.deed;
    if (act->kind == TP_ACT_PANIC) {
        check_block(self);
        tp_stage_turn_end(&self->view, self->state, TROUPE_PANIC, true);
        troupe_panic(self->turn, "as asked by deed %u", deed->number);
    }
    bool is_error = act->kind == TP_ACT_ERROR;
    deed->errored |= is_error;
    deed->failed |= !is_error;
    self->status =
        is_error ? TROUPE_CORRUPT : TROUPE_APPLICATION + (troupe_status)(act->amount % 5);
    if (!self->replied)
        self->status = troupe_fail(self->turn, self->status, "as asked by deed %u", deed->number);
}

static void do_act(doing *self, const tp_act *act)
{
    switch (act->kind) {
    case TP_ACT_WRITE:
        do_write(self);
        break;
    case TP_ACT_ASK:
        do_ask(self, act->deed);
        break;
    case TP_ACT_TELL:
        do_tell(self, act->deed);
        break;
    case TP_ACT_CALL:
        do_call(self, act->deed);
        break;
    case TP_ACT_SLEEP:
        do_sleep(self, act->amount);
        break;
    case TP_ACT_YIELD:
        do_sleep(self, 0);
        break;
    case TP_ACT_BLOCK:
        do_block(self);
        break;
    case TP_ACT_WORK:
        tp_world_advance(self->stage->world, act->amount);
        break;
    case TP_ACT_TIMER:
        do_timer(self, act->amount);
        break;
    case TP_ACT_UNTIMER:
        do_untimer(self, act->amount);
        break;
    case TP_ACT_DEFER:
        do_defer(self);
        break;
    case TP_ACT_ALLOC:
        do_alloc(self, act->amount);
        break;
    case TP_ACT_REPLY:
        do_reply(self);
        break;
    case TP_ACT_LEAVE:
        troupe_deactivate(self->turn);
        break;
    default:
        do_fail(self, act);
        break;
    }
}

/* A deed that is delivered again does not send the same deeds again. */
static bool was_sent(const tp_act *act)
{
    return act->deed != NULL && act->deed->issued;
}

static troupe_status perform(troupe_turn *turn, void *state, troupe_slice payload)
{
    tp_stage *stage = troupe_turn_user(turn);
    tp_deed *deed = deed_of(stage, payload);
    doing self = {.stage = stage, .turn = turn, .state = state, .status = TROUPE_OK};
    tp_stage_turn_begin(stage, &self.view, turn, deed->target, deed, state);
    if (strcmp(tp_deed_method(deed), "work") != 0 && !deed->read_only &&
        !troupe_slice_equal(troupe_turn_method(turn), troupe_str("anything")))
        tp_violate(stage, "P4 payload", "a catch-all hears another method's name");
    for (uint32_t i = 0; i < deed->act_count && self.status == TROUPE_OK; i++)
        if (!was_sent(&deed->acts[i]))
            do_act(&self, &deed->acts[i]);
    if (self.status == TROUPE_OK)
        do_reply(&self);
    check_block(&self);
    tp_stage_turn_end(&self.view, state, self.status, false);
    return self.status;
}

static troupe_status look(troupe_turn *turn, const void *state, troupe_slice payload)
{
    return perform(turn, (void *)(uintptr_t)state, payload);
}

static uint16_t self_of(tp_stage *stage, const troupe_turn *turn)
{
    troupe_id id = troupe_turn_self(turn);
    for (uint16_t i = 0; i < stage->player_count; i++)
        if (troupe_id_equal(id, tp_player_id(stage, i)))
            return i;
    tp_violate(stage, "P4 target", "a turn of nobody");
}

static troupe_status tick(troupe_turn *turn, void *state, troupe_slice payload)
{
    tp_stage *stage = troupe_turn_user(turn);
    doing self = {.stage = stage, .turn = turn, .state = state};
    tp_stage_turn_begin(stage, &self.view, turn, self_of(stage, turn), NULL, state);
    tp_timer_ticked(stage, &self.view, payload);
    do_write(&self);
    tp_stage_turn_end(&self.view, state, TROUPE_OK, false);
    return TROUPE_OK;
}

/* ---- hooks ----------------------------------------------------------------------------------- */

static troupe_status on_activate(troupe_turn *turn, void *state)
{
    tp_stage *stage = troupe_turn_user(turn);
    uint16_t actor = self_of(stage, turn);
    tp_player *player = &stage->players[actor];
    doing self = {.stage = stage, .turn = turn, .state = state};
    memcpy(player->last, tp_player_fresh(stage, player), tp_stage_types[player->type].state_size);
    player->epoch++;
    tp_stage_turn_begin(stage, &self.view, turn, actor, NULL, state);
    self.view.hook = true;
    uint64_t chance = tp_prng_below(&stage->prng, 16);
    if (chance < 3)
        do_sleep(&self, TROUPE_MICROSECONDS(50) << (2 * chance));
    troupe_status status = chance == 4 ? TROUPE_APPLICATION + 9 : TROUPE_OK;
    if (status == TROUPE_OK) {
        tp_stage **owned = malloc(sizeof(tp_stage *));
        *owned = stage;
        ((tp_stage_state *)state)->owned = owned;
        stage->owned_open++;
    }
    tp_stage_turn_end(&self.view, state, status, false);
    return status;
}

static void on_deactivate(troupe_turn *turn, void *state, troupe_reason reason)
{
    tp_stage *stage = troupe_turn_user(turn);
    doing self = {.stage = stage, .turn = turn, .state = state};
    tp_stage_turn_begin(stage, &self.view, turn, self_of(stage, turn), NULL, state);
    self.view.hook = true;
    if (reason == 0)
        tp_violate(stage, "P2 lifecycle", "a deactivation without a reason");
    if (tp_prng_chance(&stage->prng, 1, 4))
        do_sleep(&self, TROUPE_MICROSECONDS(300));
    do_write(&self);
    tp_stage_turn_end(&self.view, state, TROUPE_OK, false);
}

static troupe_status save(troupe_turn *turn, const void *state, troupe_writer *writer)
{
    (void)turn;
    tp_stage_state head = *(const tp_stage_state *)state;
    head.owned = NULL;
    TROUPE_TRY(troupe_write(writer, &head, HEAD));
    return troupe_write(
        writer, (const char *)state + HEAD, tp_stage_types[TP_HOOKED].state_size - HEAD);
}

static troupe_status load(troupe_turn *turn, void *state, troupe_slice saved)
{
    (void)turn;
    if (saved.size != tp_stage_types[TP_HOOKED].state_size)
        return TROUPE_CORRUPT;
    memcpy(state, saved.data, saved.size);
    return TROUPE_OK;
}

static void discard(void *state)
{
    tp_stage_state *head = state;
    if (head->owned == NULL)
        return;
    (*head->owned)->owned_open--;
    free(head->owned);
    head->owned = NULL;
}

/* ---- types ----------------------------------------------------------------------------------- */

static const troupe_method plain_methods[] = {
    TROUPE_METHOD_NAMED("work", perform), TROUPE_METHOD(tick)};
static const troupe_method reader_methods[] = {
    TROUPE_METHOD_NAMED("work", perform), TROUPE_METHOD(tick), TROUPE_READ_METHOD(look)};

static void set_hooks(troupe_type *type)
{
    type->keep_on_failure = true;
    type->on_activate = on_activate;
    type->on_deactivate = on_deactivate;
    type->save = save;
    type->load = load;
    type->discard = discard;
}

void tp_stage_types_make(tp_stage *stage)
{
    for (uint32_t i = 0; i < STAGE_TYPES; i++) {
        const tp_stage_type *is = &tp_stage_types[i];
        troupe_type *type = &stage->types[i];
        *type = (troupe_type){TROUPE_TYPE(is->name), .state_size = is->state_size,
            TROUPE_METHODS(plain_methods), .user = stage};
        if (is->reads) {
            type->methods = reader_methods;
            type->method_count = sizeof reader_methods / sizeof reader_methods[0];
        }
        if (is->chain)
            type->reentrancy = TROUPE_REENTRANCY_CALL_CHAIN;
        if (is->always)
            type->reentrancy = TROUPE_REENTRANCY_ALWAYS;
        if (is->persistent)
            type->persist = TROUPE_PERSIST_ON_DEACTIVATE;
        if (is->hooks)
            set_hooks(type);
    }
    stage->types[TP_CHAIN].otherwise = perform;
    stage->types[TP_KEEPER].batch = 2;
    stage->types[TP_BIG].stack_size = 128 * 1024;
    stage->types[TP_FRAGILE].supervision =
        (troupe_supervision){.on_panic = TROUPE_SUPERVISE_RESTART,
            .on_error = TROUPE_SUPERVISE_RESTART,
            .backoff = TROUPE_MILLISECONDS(20),
            .backoff_cap = TROUPE_MILLISECONDS(200),
            .jitter = 25,
            .poison_after = 2,
            .redeliver = true};
    stage->types[TP_STOPPER].supervision =
        (troupe_supervision){.on_panic = TROUPE_SUPERVISE_STOP, .max_failures = 3};
}

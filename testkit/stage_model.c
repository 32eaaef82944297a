/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model of a stage: what each turn may see and do, and what each answer says, checked as it
 * happens.
 *
 * P1   one step at a time, on one shard; who may come in while another is parked
 * P3   one answer for each ask; NOT_DONE is true; nothing starts after its deadline
 * P4   what one sender sends one actor starts in that order, none twice
 * P11  a failing turn leaves the bytes of its last commit point; no other actor's bytes change
 *
 * Threads: one, as world.h.
 */
#include "testkit/stage.h"

#include "shard/shard.h"

#include <stdio.h>

_Noreturn void tp_violate(tp_stage *stage, const char *checker, const char *format, ...)
{
    char text[1024];
    int size = snprintf(text, sizeof text, "at operation %u, %.6f s: ", stage->op,
        (double)tp_world_now(stage->world) / 1e9);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + size, sizeof text - (size_t)size, format, arguments);
    va_end(arguments);
    if (stage->options->say != NULL) { /* a replay: the log helps */
        tp_plan_say_open(stage);
        const char *log = tp_world_log(stage->world);
        size_t length = strlen(log);
        if (length != 0)
            stage->options->say(
                stage->options->say_user, length > 1500 ? log + length - 1500 : log);
    }
    stage->options->violated(stage->options->user, checker, text);
    __builtin_trap();
}

void tp_stage_name(const tp_stage *stage, uint16_t sender, char *out, size_t size)
{
    if (sender >= STAGE_ACTORS) {
        snprintf(out, size, "client %d", sender - STAGE_ACTORS);
        return;
    }
    const tp_player *player = &stage->players[sender];
    snprintf(out, size, "%s/%s", tp_stage_types[player->type].name, player->key);
}

const unsigned char *tp_player_fresh(const tp_stage *stage, const tp_player *player)
{
    static const unsigned char zeros[STAGE_STATE];
    (void)stage;
    return tp_stage_types[player->type].persistent ? player->stored : zeros;
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void check_state(
    tp_stage *stage, const tp_player *player, const void *state, const char *when)
{
    size_t size = tp_stage_types[player->type].state_size;
    if (memcmp(player->last, state, size) == 0)
        return;
    size_t at = 0;
    while (player->last[at] == ((const unsigned char *)state)[at])
        at++;
    tp_violate(stage, "P11 state",
        "%s/%s %s finds other bytes than its last commit point left (byte %zu of %zu)",
        tp_stage_types[player->type].name, player->key, when, at, size);
}

static void step_begins(tp_stage_turn *view, const void *state, const char *when)
{
    tp_stage *stage = view->stage;
    tp_player *player = &stage->players[view->actor];
    if (player->in_step)
        tp_violate(stage, "P1 steps", "two steps of %s/%s at once",
            tp_stage_types[player->type].name, player->key);
    uint32_t shard = troupe_turn_shard(view->turn);
    if (player->shard == UINT32_MAX)
        player->shard = shard;
    if (player->shard != shard)
        tp_violate(stage, "P1 thread", "%s/%s runs on shard %u and on %u",
            tp_stage_types[player->type].name, player->key, player->shard, shard);
    player->in_step = true;
    check_state(stage, player, state, when);
}

static void step_ends(tp_stage_turn *view, const void *state)
{
    tp_player *player = &view->stage->players[view->actor];
    size_t size = tp_stage_types[player->type].state_size;
    if (view->read_only && memcmp(player->last, state, size) != 0)
        tp_violate(view->stage, "P1 read-only", "a state changed while a read-only method ran");
    memcpy(player->last, state, size);
    player->in_step = false;
}

static bool is_of_root(const tp_player *player, const tp_deed *deed)
{
    for (const tp_stage_turn *open = player->open; open != NULL; open = open->next)
        if (open->deed != NULL && open->deed->root == deed->root)
            return true;
    return false;
}

static void check_admission(tp_stage *stage, const tp_player *player, const tp_deed *deed)
{
    const tp_stage_type *type = &tp_stage_types[player->type];
    if (player->open == NULL || type->always)
        return;
    if (deed != NULL && deed->read_only)
        return;
    if (type->chain && deed != NULL && is_of_root(player, deed))
        return;
    tp_violate(stage, "P1 turns", "%s/%s begins a turn (deed %u) while another is parked (deed %u)",
        type->name, player->key, deed != NULL ? deed->number : 0,
        player->open->deed != NULL ? player->open->deed->number : 0);
}

static void check_order(tp_stage *stage, tp_deed *deed)
{
    if (deed->sequence == 0)
        return;
    uint32_t *arrived = &stage->arrived[deed->sender][deed->target];
    if (deed->starts > 1)
        return; /* delivered again */
    if (deed->sequence <= *arrived) {
        char name[40];
        tp_stage_name(stage, deed->sender, name, sizeof name);
        tp_violate(stage, "P4 order", "deed %u, number %u of %s to %s/%s, starts after number %u",
            deed->number, deed->sequence, name,
            tp_stage_types[stage->players[deed->target].type].name,
            stage->players[deed->target].key, *arrived);
    }
    *arrived = deed->sequence;
}

static void check_start(tp_stage *stage, tp_stage_turn *view, tp_deed *deed)
{
    const tp_player *player = &stage->players[view->actor];
    deed->starts++;
    if (deed->target != view->actor)
        tp_violate(stage, "P4 target", "deed %u arrives at another actor", deed->number);
    if (!deed->issued)
        tp_violate(stage, "P4 twice", "deed %u was never sent", deed->number);
    bool again = tp_stage_types[player->type].fragile && deed->panics + 1 >= deed->starts;
    if (deed->starts > 1 && !again && deed->retries == 0)
        tp_violate(stage, "P4 twice", "deed %u starts again (%u)", deed->number, deed->starts);
    if (deed->promised_not_started && deed->panics == 0)
        tp_violate(stage, "P3 NOT_DONE", "deed %u starts after its caller was told %s",
            deed->number, troupe_status_name(deed->status));
    uint64_t began = tp_world_step_began(stage->world);
    if (deed->deadline_most <= began)
        tp_violate(stage, "P3 deadline", "deed %u starts %.3f ms after its deadline", deed->number,
            (double)(began - deed->deadline_most) / 1e6);
    if (deed->fired_at != 0 && began > deed->fired_at + STAGE_SOON && !stage->memory_fails &&
        deed->kind != TP_DEED_TELL)
        tp_violate(stage, "P3 cancel", "deed %u starts long after it was cancelled", deed->number);
    if (began < player->rests_until && !stage->memory_fails)
        tp_violate(stage, "P11 back-off", "%s/%s runs %.3f ms before its back-off is over",
            tp_stage_types[player->type].name, player->key,
            (double)(player->rests_until - began) / 1e6);
    check_order(stage, deed);
    deed->view = view;
}

void tp_stage_turn_begin(tp_stage *stage, tp_stage_turn *view, troupe_turn *turn, uint16_t actor,
    tp_deed *deed, const void *state)
{
    memset(view, 0, offsetof(tp_stage_turn, commit));
    view->stage = stage;
    view->turn = turn;
    view->actor = actor;
    view->deed = deed;
    view->read_only = deed != NULL && deed->read_only;
    tp_player *player = &stage->players[actor];
    check_admission(stage, player, deed);
    step_begins(view, state, "at a turn's begin");
    memcpy(view->commit, state, tp_stage_types[player->type].state_size);
    view->next = player->open;
    player->open = view;
    if (deed != NULL)
        check_start(stage, view, deed);
}

static uint64_t parks_of(const tp_stage_turn *view)
{
    return tp_cell_get(&view->turn->shard->counters.parks);
}

void tp_stage_turn_pause(tp_stage_turn *view, const void *state)
{
    view->parks = parks_of(view);
    step_ends(view, state);
}

static void commit(tp_stage_turn *view)
{
    if (view->deed == NULL || view->pending == 0)
        return;
    view->deed->effects += view->pending;
    if (view->deed->promised_not_done)
        tp_violate(view->stage, "P3 NOT_DONE",
            "deed %u takes effect after its caller was told %s, NOT_DONE", view->deed->number,
            troupe_status_name(view->deed->status));
    view->pending = 0;
}

void tp_stage_turn_resume(tp_stage_turn *view, const void *state, const tp_deed *asked)
{
    const tp_stage_type *type = &tp_stage_types[view->stage->players[view->actor].type];
    step_begins(view, state, "after a park");
    if (view->parks == parks_of(view))
        return; /* it did not park */
    bool commits = asked != NULL || type->interleaves;
    /* Between two attempts it slept: only the turn knows whether one of them parked, too. */
    if (asked != NULL && asked->retries != 0 && !type->interleaves && view->turn->before != NULL)
        commits = memcmp(view->turn->before, state, type->state_size) == 0;
    if (!commits)
        return;
    memcpy(view->commit, state, type->state_size);
    commit(view);
}

static void close_view(tp_stage_turn *view)
{
    tp_stage_turn **at = &view->stage->players[view->actor].open;
    while (*at != view)
        at = &(*at)->next;
    *at = view->next;
    if (view->deed != NULL)
        view->deed->view = NULL;
}

/* What supervision will do about it, as far as the model must know. */
static void failed(tp_stage_turn *view, troupe_status status, bool panics)
{
    tp_stage *stage = view->stage;
    tp_player *player = &stage->players[view->actor];
    const tp_stage_type *type = &tp_stage_types[player->type];
    if (!panics && (status >= TROUPE_APPLICATION || status == TROUPE_FAILED))
        return;
    player->resets++;
    if (!type->fragile || player->open != NULL)
        return;
    const troupe_supervision *policy = &stage->types[player->type].supervision;
    /* At least the first one: how many failures in a row are remembered the model cannot know. */
    player->rests_until =
        tp_world_step_began(stage->world) + policy->backoff / 100 * (100 - policy->jitter);
}

void tp_stage_turn_end(tp_stage_turn *view, const void *state, troupe_status status, bool panics)
{
    tp_stage *stage = view->stage;
    tp_player *player = &stage->players[view->actor];
    const tp_stage_type *type = &tp_stage_types[player->type];
    tp_deed *deed = view->deed;
    step_ends(view, state);
    close_view(view);
    if (deed != NULL) {
        deed->ends++;
        deed->ended_at = tp_world_now(stage->world);
        deed->panics += panics;
        deed->ended_ok = status == TROUPE_OK && !panics;
    }
    if (status == TROUPE_OK && !panics) {
        commit(view);
        return;
    }
    if (type->restores && !view->read_only && !view->hook) {
        memcpy(player->last, view->commit, type->state_size);
        view->pending = 0;
    } else {
        commit(view);
    }
    if (!view->hook)
        failed(view, status, panics);
}

/* ---- sends ----------------------------------------------------------------------------------- */

void tp_deed_issue(tp_stage *stage, tp_deed *deed, tp_stage_turn *by)
{
    uint64_t now = tp_world_now(stage->world), least = tp_world_step_began(stage->world);
    TP_ASSERT(!deed->issued);
    deed->issued = true;
    deed->issued_at = now;
    deed->epoch = by != NULL ? stage->players[by->actor].epoch : 0;
    if (deed->retries == 0 && !deed->nonsense)
        deed->sequence = ++stage->sent[deed->sender][deed->target];
    uint64_t timeout = deed->timeout;
    if (timeout == 0)
        timeout = deed->kind == TP_DEED_TELL ? TROUPE_NEVER : stage->node_options.ask_timeout;
    deed->deadline_least = timeout == TROUPE_NEVER ? TROUPE_NEVER : least + timeout;
    deed->deadline_most = timeout == TROUPE_NEVER ? TROUPE_NEVER : now + timeout;
    if (deed->kind != TP_DEED_TELL && by != NULL &&
        by->deed != NULL) { /* the turn's own deadline is never exceeded */
        if (by->deed->deadline_least < deed->deadline_least)
            deed->deadline_least = by->deed->deadline_least;
        if (by->deed->deadline_most < deed->deadline_most)
            deed->deadline_most = by->deed->deadline_most;
    }
    if (deed->retries != 0) {
        stage->retrying += deed->kind == TP_DEED_ASK;
        deed->deadline_least = 0;
        deed->deadline_most = TROUPE_NEVER;
    }
    if (deed->kind == TP_DEED_ASK && by != NULL) {
        by->asking = deed;
        tp_cycles_asked(stage, deed, by);
    }
}

void tp_deed_drop_cancel(tp_stage *stage, tp_deed *deed)
{
    if (deed->cancel == NULL)
        return;
    tp_world_cancel(stage->world, &deed->fire);
    troupe_cancel_destroy(deed->cancel);
    deed->cancel = NULL;
}

static void refused(tp_stage *stage, tp_deed *deed)
{
    if (deed->starts > deed->panics && deed->retries == 0)
        tp_violate(stage, "P3 NOT_DONE", "deed %u was refused (%s), and has started", deed->number,
            troupe_status_name(deed->status));
    deed->promised_not_done = true;
    deed->promised_not_started = true;
}

static void check_refusal(tp_stage *stage, const tp_deed *deed, troupe_status status)
{
    bool ok = false;
    switch (status) {
    case TROUPE_BUSY:
        ok = true;
        break;
    case TROUPE_NO_MEMORY:
        ok = stage->memory_fails;
        break;
    case TROUPE_NO_METHOD:
        ok = deed->nonsense;
        break;
    case TROUPE_CLOSED:
    case TROUPE_INTERRUPTED:
        ok = stage->closing;
        break;
    case TROUPE_EXPIRED:
        ok = deed->deadline_least <= tp_world_now(stage->world);
        break;
    case TROUPE_CANCELLED:
        ok = deed->retries != 0;
        break;
    default:
        break;
    }
    if (!ok)
        tp_violate(stage, "P3 refusal", "deed %u is refused with %s for no reason", deed->number,
            troupe_status_name(status));
}

void tp_deed_sent(tp_stage *stage, tp_deed *deed, troupe_status status)
{
    if (status == TROUPE_OK) {
        if (deed->nonsense)
            tp_violate(stage, "P3 refusal", "an unknown method was accepted");
        deed->accepted = true;
        return;
    }
    deed->status = status;
    deed->finished_call = true;
    tp_deed_drop_cancel(stage, deed);
    refused(stage, deed);
    check_refusal(stage, deed, status);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void check_reply(tp_stage *stage, tp_deed *deed, troupe_slice payload)
{
    if (!troupe_slice_equal(payload, tp_deed_payload(deed))) {
        uint32_t number = 0;
        if (payload.size >= sizeof number)
            memcpy(&number, payload.data, sizeof number);
        tp_violate(stage, "P3 answer", "deed %u gets the answer of deed %u", deed->number, number);
    }
    if (!deed->ended_ok)
        tp_violate(stage, "P3 answer", "deed %u is answered before it ended well", deed->number);
}

static bool is_cancelled(const tp_deed *deed, const troupe_turn *turn)
{
    return deed->fired_at != 0 || (turn != NULL && troupe_turn_is_cancelled(turn));
}

static void check_timeout(tp_stage *stage, const tp_deed *deed)
{
    uint64_t now = tp_world_now(stage->world);
    if (now < deed->deadline_least)
        tp_violate(stage, "P3 deadline", "deed %u times out %.3f ms before its deadline",
            deed->number, (double)(deed->deadline_least - now) / 1e6);
    if (deed->kind != TP_DEED_CALL && deed->deadline_most != TROUPE_NEVER &&
        now > deed->deadline_most + STAGE_SOON)
        tp_violate(stage, "P3 deadline", "deed %u times out long after its deadline", deed->number);
    if (deed->retries == 0 && deed->ended_ok && deed->ended_at + STAGE_SOON < deed->deadline_least)
        tp_violate(stage, "P3 answer", "deed %u ended well in time, but its caller gets TIMEOUT",
            deed->number);
}

static void check_status(
    tp_stage *stage, tp_deed *deed, troupe_status status, const troupe_turn *turn)
{
    const tp_stage_type *type = &tp_stage_types[stage->players[deed->target].type];
    bool ok = true;
    switch (status) {
    case TROUPE_TIMEOUT:
        check_timeout(stage, deed);
        break;
    case TROUPE_WITHDRAWN:
    case TROUPE_CANCELLED:
        ok = is_cancelled(deed, turn) || stage->closing;
        break;
    case TROUPE_UNAVAILABLE:
        ok = type->stops || stage->closing;
        break;
    case TROUPE_PANIC:
        ok = deed->panics != 0;
        break;
    case TROUPE_POISONED:
        ok = type->fragile && deed->panics != 0;
        break;
    case TROUPE_DEADLOCK:
        tp_cycles_victim(stage, deed);
        break;
    case TROUPE_CORRUPT:
        ok = deed->errored;
        break;
    default:
        if (status == TROUPE_APPLICATION + 9)
            ok = type->hooks;
        else if (status >= TROUPE_APPLICATION)
            ok = deed->failed;
        else
            check_refusal(stage, deed, status);
        break;
    }
    if (!ok)
        tp_violate(stage, "P3 answer", "deed %u at %s ends with %s for no reason", deed->number,
            type->name, troupe_status_name(status));
}

static bool never_starts(troupe_status status)
{
    switch (status) {
    case TROUPE_BUSY:
    case TROUPE_EXPIRED:
    case TROUPE_WITHDRAWN:
    case TROUPE_UNAVAILABLE:
    case TROUPE_DEADLOCK:
    case TROUPE_NO_METHOD:
    case TROUPE_NO_MEMORY:
    case TROUPE_CLOSED:
        return true;
    default:
        return false;
    }
}

void tp_deed_answered(
    tp_stage *stage, tp_deed *deed, const troupe_answer *answer, troupe_turn *turn)
{
    if (++deed->answers > 1)
        tp_violate(stage, "P3 once", "deed %u is answered twice", deed->number);
    tp_deed_drop_cancel(stage, deed);
    uint64_t now = tp_world_now(stage->world);
    deed->answered_at = now;
    if (deed->retries != 0 && deed->kind == TP_DEED_ASK) {
        stage->retrying--;
        stage->retried_at = now;
    }
    deed->finished_call = true;
    deed->status = answer->status;
    deed->outcome = answer->outcome;
    bool waits = deed->kind == TP_DEED_ASK; /* a callback is a turn, which waits for other turns */
    if (waits && deed->fired_at != 0 && now > deed->fired_at + STAGE_SOON && !stage->memory_fails &&
        deed->retries == 0)
        tp_violate(stage, "P3 cancel", "deed %u ends with %s long after it was cancelled",
            deed->number, troupe_status_name(answer->status));
    if (answer->status == TROUPE_OK) {
        if (answer->outcome != TROUPE_DONE)
            tp_violate(stage, "P3 answer", "OK, but not DONE");
        check_reply(stage, deed, answer->payload);
        return;
    }
    check_status(stage, deed, answer->status, turn);
    if (answer->outcome != TROUPE_NOT_DONE)
        return;
    deed->promised_not_done = true;
    if (deed->effects != 0)
        tp_violate(stage, "P3 NOT_DONE",
            "deed %u at %s took effect, and its caller is told %s, NOT_DONE", deed->number,
            tp_stage_types[stage->players[deed->target].type].name,
            troupe_status_name(answer->status));
    if (never_starts(answer->status))
        refused(stage, deed);
}

/* ---- activations ----------------------------------------------------------------------------- */

static tp_player *player_of(tp_stage *stage, troupe_id id)
{
    for (uint32_t i = 0; i < stage->player_count; i++) {
        tp_player *player = &stage->players[i];
        if (troupe_slice_equal(id.key, troupe_str(player->key)) &&
            troupe_slice_equal(id.type, troupe_str(tp_stage_types[player->type].name)))
            return player;
    }
    tp_violate(stage, "P2 lifecycle", "an actor that nobody called");
}

void tp_stage_lifecycle(void *user, const troupe_lifecycle *event)
{
    tp_stage *stage = user;
    tp_player *player = player_of(stage, event->id);
    const tp_stage_type *type = &tp_stage_types[player->type];
    if (event->kind == TROUPE_LIFECYCLE_ACTIVATED) {
        if (player->live && player->resets == 0)
            tp_violate(stage, "P2 owner", "%s/%s is activated twice", type->name, player->key);
        player->live = true;
        player->resets = 0;
        if (!type->hooks) { /* those with hooks have looked themselves */
            memcpy(player->last, tp_player_fresh(stage, player), type->state_size);
            player->epoch++;
        }
    } else if (event->kind == TROUPE_LIFECYCLE_DEACTIVATED) {
        if (!player->live)
            tp_violate(stage, "P2 owner", "%s/%s is deactivated twice", type->name, player->key);
        if (player->open != NULL)
            tp_violate(
                stage, "P2 owner", "%s/%s is deactivated during a turn", type->name, player->key);
        player->live = false;
        if (type->persistent)
            memcpy(player->stored, player->last, type->state_size);
        /* What is saved knows nothing of the memory that the state owned. */
        if (type->hooks)
            ((tp_stage_state *)(void *)player->stored)->owned = NULL;
    } else if (event->kind == TROUPE_LIFECYCLE_FAILED) {
        player->resets++;
    }
}

/* ---- timers ---------------------------------------------------------------------------------- */

void tp_timer_ticked(tp_stage *stage, tp_stage_turn *view, troupe_slice payload)
{
    uint32_t index;
    if (payload.size != sizeof index)
        tp_violate(stage, "P4 payload", "a tick brings %zu bytes", payload.size);
    memcpy(&index, payload.data, sizeof index);
    tp_stage_timer *timer = &stage->timers[index];
    if (timer->actor != view->actor || timer->epoch != stage->players[view->actor].epoch)
        tp_violate(stage, "P1 timers", "a tick of an earlier activation, or of another actor");
    if (timer->stopped)
        tp_violate(stage, "P1 timers", "a timer ticks after its stop");
    uint64_t due = timer->started + timer->first + timer->ticks * timer->period;
    if (tp_world_now(stage->world) < due)
        tp_violate(stage, "P1 timers", "a timer ticks early");
    timer->ticks++;
    if (timer->period == 0 && timer->ticks > 1)
        tp_violate(stage, "P1 timers", "a timer without period ticks twice");
    if (timer->period != 0 && timer->ticks >= timer->most) {
        timer->stopped = true;
        if (!troupe_timer_stop(view->turn, timer->timer) && !stage->memory_fails)
            tp_violate(stage, "P1 timers", "a periodic timer is gone while it ticks");
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulated world: its schedule, its clock, and the functions of env.h over them. See world.h.
 * Memory is in world_memory.c.
 *
 * Whatever is due is in one list of candidates (runners, jobs, events), of which chance takes one.
 * If nothing is due the clock jumps to the next moment at which something is.
 */
#include "testkit/world_inside.h"

#include "base/alloc.h"
#include "base/list.h"

#include <stdlib.h>

#define PULSE TROUPE_MILLISECONDS(10)

/* ---- clock ----------------------------------------------------------------------------------- */

static void clock_set(tp_world *world, uint64_t now)
{
    if (now <= world->now)
        return;
    world->now = now;
    atomic_store_explicit(&world->pulse, (uint32_t)(now / PULSE), memory_order_relaxed);
}

/* What a process' clock shows at a moment of the world's. */
static uint64_t local_of(const world_env *env, uint64_t moment)
{
    if (moment < env->began)
        return moment + env->skew;
    uint64_t past = moment - env->began;
    return env->began + env->skew + past + (uint64_t)((__int128)past * env->rate / 1000000000);
}

/* When a process' clock shows it: never earlier. */
static uint64_t moment_of(const world_env *env, uint64_t local)
{
    if (local >= TP_STEP_DONE)
        return local;
    uint64_t zero = env->began + env->skew;
    if (env->rate == 0 || local <= zero)
        return local <= env->skew ? 0 : local - env->skew;
    uint64_t past = (uint64_t)((__int128)(local - zero) * 1000000000 / (1000000000 + env->rate));
    uint64_t moment = env->began + past;
    while (local_of(env, moment) < local)
        moment++;
    return moment;
}

/* The time between two steps: mostly next to nothing, now and then much. */
static void clock_drift(tp_world *world)
{
    tp_prng *prng = &world->prng;
    if (tp_prng_chance(prng, world->options.hurry, 1024))
        return;
    uint64_t kind = tp_prng_below(prng, 1000), most = TROUPE_MICROSECONDS(2);
    if (kind >= 700)
        most = TROUPE_MICROSECONDS(60);
    if (kind >= 960)
        most = TROUPE_MICROSECONDS(800);
    if (kind >= 997)
        most = TROUPE_MILLISECONDS(12);
    clock_set(world, world->now + tp_prng_below(prng, most));
}

uint64_t tp_world_now(const tp_world *world)
{
    return world->now;
}

uint64_t tp_world_step_began(const tp_world *world)
{
    return world->running != NULL ? world->step_began : world->now;
}

uint64_t tp_draw_between(tp_prng *prng, uint64_t least, uint64_t most)
{
    uint64_t scale = least;
    while (scale < most && tp_prng_chance(prng, 2, 3))
        scale *= 2;
    uint64_t drawn = scale + tp_prng_below(prng, scale);
    return drawn < most ? drawn : most;
}

static uint64_t read_clock(void *context)
{
    return tp_world_now(context);
}

static void no_log(void *context, int level, const char *event, const char *text)
{
    (void)context;
    (void)level;
    (void)event;
    (void)text;
}

troupe_store_host tp_world_store_host(tp_world *world)
{
    return (troupe_store_host){.size = sizeof(troupe_store_host),
        .allocator = tp_allocator_system(),
        .context = world,
        .now = read_clock,
        .wall = read_clock,
        .log = no_log};
}

void tp_world_advance(tp_world *world, uint64_t duration)
{
    clock_set(world, world->now + duration);
}

uint64_t tp_world_draw_duration(tp_prng *prng, uint64_t most)
{
    uint32_t bits = 0;
    while (bits < 63 && (UINT64_C(1) << bits) < most)
        bits++;
    uint64_t scale = UINT64_C(1) << tp_prng_between(prng, bits > 14 ? bits - 14 : 0, bits);
    uint64_t drawn = tp_prng_below(prng, scale) + 1;
    return drawn < most ? drawn : most;
}

/* ---- trace ----------------------------------------------------------------------------------- */

static void fold(uint64_t *hash, uint64_t value)
{
    *hash = (*hash ^ value) * UINT64_C(0x9FB21C651E98DF25);
    *hash ^= *hash >> 29;
}

static void record(tp_world *world, const tp_world_effect *effect)
{
    tp_world_record *to = world->options.record;
    size_t at = (size_t)world->effects - 1;
    if (to->compares) {
        if (to->differs_at != SIZE_MAX)
            return;
        const tp_world_effect *was = at < to->count ? &to->effects[at] : NULL;
        if (was != NULL && was->detail == effect->detail && was->now == effect->now &&
            was->what == effect->what && was->runner == effect->runner)
            return;
        to->differs_at = at;
        to->other = *effect;
        return;
    }
    if (to->count == to->capacity) {
        size_t capacity = to->capacity != 0 ? to->capacity * 2 : 4096;
        tp_world_effect *grown = realloc(to->effects, capacity * sizeof *grown);
        if (grown == NULL)
            world->options.stuck(world->options.user, "no memory for the record");
        to->effects = grown;
        to->capacity = capacity;
    }
    to->effects[to->count++] = *effect;
}

void tp_world_record_deinit(tp_world_record *record)
{
    free(record->effects);
    *record = (tp_world_record){.differs_at = SIZE_MAX};
}

void tp_world_trace(tp_world *world, uint32_t what, uint64_t detail)
{
    tp_world_effect effect = {detail, world->now, what,
        world->running != NULL ? world->running->runner->number : UINT32_MAX};
    world->effects++;
    fold(&world->hash, ((uint64_t)effect.runner << 32) | what);
    fold(&world->hash, detail);
    fold(&world->hash, effect.now);
    if (world->options.record != NULL)
        record(world, &effect);
}

uint64_t tp_world_hash(const tp_world *world)
{
    return world->hash;
}
uint64_t tp_world_effects(const tp_world *world)
{
    return world->effects;
}
uint64_t tp_world_steps(const tp_world *world)
{
    return world->steps;
}
tp_prng *tp_world_prng(tp_world *world)
{
    return &world->prng;
}

void tp_world_mark(tp_world *world, const char *situation)
{
    for (uint32_t i = 0; i < world->mark_count; i++)
        if (world->marks[i] == situation || strcmp(world->marks[i], situation) == 0)
            return;
    if (world->mark_count < TP_WORLD_MARKS)
        world->marks[world->mark_count++] = situation;
}

uint32_t tp_world_mark_count(const tp_world *world)
{
    return world->mark_count;
}

const char *tp_world_mark_name(const tp_world *world, uint32_t index)
{
    return world->marks[index];
}

/* ---- the schedule ---------------------------------------------------------------------------- */

static uint64_t seat_due(const world_seat *seat)
{
    if (seat->done)
        return TP_NEVER;
    uint64_t due = seat->woken ? 0 : seat->due < seat->net_due ? seat->due : seat->net_due;
    if (due < seat->paused_until)
        due = seat->paused_until;
    return due > seat->env->paused_until ? due : seat->env->paused_until;
}

/* Counts what is due now; returns the earliest moment of the rest. */
static uint64_t look(tp_world *world, uint32_t *ret_count)
{
    uint64_t next = TP_NEVER;
    uint32_t count = 0;
    for (uint32_t i = 0; i < world->seat_count; i++) {
        uint64_t due = seat_due(world->seats[i]);
        if (due <= world->now)
            count++;
        else if (due < next)
            next = due;
    }
    for (world_job *job = world->jobs; job != NULL; job = job->next) {
        if (job->due <= world->now)
            count++;
        else if (job->due < next)
            next = job->due;
    }
    for (tp_world_event *event = world->events; event != NULL; event = event->next) {
        if (event->due <= world->now)
            count++;
        else if (event->due < next)
            next = event->due;
    }
    *ret_count = count;
    return next;
}

static void run_seat(tp_world *world, world_seat *seat)
{
    tp_runner *runner = seat->runner;
    seat->woken = false;
    atomic_store_explicit(&runner->sleeping, 0, memory_order_relaxed);
    world->running = seat;
    world->step_began = world->now;
    if (seat->net_due <= world->now)
        tp_world_net_deliver(world, seat);
    uint64_t due = runner->step(runner);
    world->running = NULL;
    if (due == TP_STEP_DONE) {
        seat->done = true;
        return;
    }
    seat->due = due == 0 ? 0 : moment_of(seat->env, due);
    if (due == 0 || runner->has_arrivals(runner))
        seat->woken = true;
    else
        atomic_store_explicit(&runner->sleeping, 1, memory_order_relaxed);
    if (world->options.pause_max == 0)
        return;
    if (tp_prng_chance(&world->prng, world->options.pause_chance, 1024))
        seat->paused_until =
            world->now + tp_world_draw_duration(&world->prng, world->options.pause_max);
}

static void run_job(tp_world *world, world_job *job)
{
    world_job **at = &world->jobs;
    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
    world->job_count--;
    tp_job *real = job->job;
    free(job);
    real->run(real);
    real->done(real);
}

static void run_event(tp_world *world, tp_world_event *event)
{
    tp_world_cancel(world, event);
    event->happen(event);
}

static void run_chosen(tp_world *world, uint32_t chosen)
{
    for (uint32_t i = 0; i < world->seat_count; i++) {
        if (seat_due(world->seats[i]) > world->now || chosen-- != 0)
            continue;
        run_seat(world, world->seats[i]);
        return;
    }
    for (world_job *job = world->jobs; job != NULL; job = job->next) {
        if (job->due > world->now || chosen-- != 0)
            continue;
        run_job(world, job);
        return;
    }
    for (tp_world_event *event = world->events; event != NULL; event = event->next) {
        if (event->due > world->now || chosen-- != 0)
            continue;
        run_event(world, event);
        return;
    }
}

/* All that is due, in its order. Any of it may open and close nodes, and so come here again. */
static void run_due(tp_world *world)
{
    uint64_t now = world->now;
    for (uint32_t i = 0; i < world->seat_count; i++)
        if (seat_due(world->seats[i]) <= now)
            run_seat(world, world->seats[i]);
    for (world_job *job = world->jobs, *next; job != NULL; job = next) {
        next = job->next;
        if (job->due <= now) {
            run_job(world, job);
            next = world->jobs;
        }
    }
    for (tp_world_event *event = world->events; event != NULL;) {
        bool is_due = event->due <= now;
        tp_world_event *next = event->next;
        if (is_due)
            run_event(world, event);
        event = is_due ? world->events : next;
    }
}

static bool tick_until(tp_world *world, uint64_t until)
{
    uint32_t count;
    uint64_t next = look(world, &count), soon = world->now + world->options.tick;
    if (count == 0 && next > until) {
        if (until != TP_NEVER)
            clock_set(world, until);
        return false;
    }
    if (count == 0)
        clock_set(world, next > soon ? next : soon);
    world->steps++;
    run_due(world);
    clock_set(world, soon);
    return true;
}

bool tp_world_step_until(tp_world *world, uint64_t until)
{
    TP_ASSERT(world->running == NULL);
    uint32_t count;
    if (world->options.tick != 0)
        return tick_until(world, until);
    uint64_t next = look(world, &count);
    if (count == 0) {
        if (next > until || next == TP_NEVER) {
            if (until != TP_NEVER)
                clock_set(world, until);
            return false;
        }
        clock_set(world, next);
        (void)look(world, &count);
    }
    if (++world->steps > world->options.step_limit)
        world->options.stuck(world->options.user, "it does not come to rest: too many steps");
    run_chosen(world, (uint32_t)tp_prng_below(&world->prng, count));
    clock_drift(world);
    return true;
}

bool tp_world_step(tp_world *world)
{
    return tp_world_step_until(world, TP_NEVER);
}

void tp_world_at(tp_world *world, tp_world_event *event, uint64_t due)
{
    TP_ASSERT(!event->is_set);
    event->due = due;
    event->is_set = true;
    event->next = world->events;
    world->events = event;
}

void tp_world_cancel(tp_world *world, tp_world_event *event)
{
    if (!event->is_set)
        return;
    tp_world_event **at = &world->events;
    while (*at != event)
        at = &(*at)->next;
    *at = event->next;
    event->is_set = false;
}

void tp_world_step_runner(tp_world *world, uint32_t number)
{
    TP_ASSERT(world->running == NULL);
    for (uint32_t i = 0; i < world->seat_count; i++)
        if (world->seats[i]->runner->number == number && !world->seats[i]->done) {
            run_seat(world, world->seats[i]);
            return;
        }
}

static void drop_jobs(tp_world *world)
{
    while (world->jobs != NULL) {
        world_job *job = world->jobs;
        world->jobs = job->next;
        free(job);
    }
    world->job_count = 0;
}

void tp_world_crash(tp_world *world)
{
    TP_ASSERT(world->running == NULL);
    for (world_env *env = world->envs; env != NULL; env = env->next)
        tp_world_net_kill(world, env);
    for (uint32_t i = 0; i < world->seat_count; i++)
        free(world->seats[i]);
    world->seat_count = 0;
    drop_jobs(world);
    tp_world_memory_drop(&world->memory);
}

static void drop_jobs_of(tp_world *world, const world_env *env)
{
    for (world_job **at = &world->jobs; *at != NULL;) {
        world_job *job = *at;
        if (job->env != env) {
            at = &job->next;
            continue;
        }
        *at = job->next;
        free(job);
        world->job_count--;
    }
}

void tp_world_kill(tp_world *world, tp_env *base)
{
    TP_ASSERT(world->running == NULL);
    world_env *env = TP_CONTAINER(base, world_env, env);
    TP_ASSERT(env->memory != NULL);
    tp_world_net_kill(world, env);
    uint32_t left = 0;
    for (uint32_t i = 0; i < world->seat_count; i++) {
        if (world->seats[i]->env == env)
            free(world->seats[i]);
        else
            world->seats[left++] = world->seats[i];
    }
    world->seat_count = left;
    drop_jobs_of(world, env);
    tp_world_memory_drop(env->memory);
    env->is_gone = true;
}

void tp_world_pause(tp_world *world, tp_env *env, uint64_t duration)
{
    TP_CONTAINER(env, world_env, env)->paused_until = world->now + duration;
}

void tp_world_cut(tp_world *world, tp_env *from, tp_env *to, bool is_cut)
{
    world_env *source = TP_CONTAINER(from, world_env, env);
    world_env *target = TP_CONTAINER(to, world_env, env);
    if (world->cuts == NULL)
        world->cuts = calloc(world->env_count, world->env_count);
    if (world->cuts == NULL)
        world->options.stuck(world->options.user, "no memory for a cut");
    uint8_t *cut = &world->cuts[source->number * world->env_count + target->number];
    if (*cut == (uint8_t)is_cut)
        return;
    *cut = (uint8_t)is_cut;
    if (!is_cut)
        tp_world_net_healed(world, source, target);
}

void tp_world_set_clock(tp_env *env, uint64_t skew, int64_t rate)
{
    world_env *self = TP_CONTAINER(env, world_env, env);
    self->began = self->world->now;
    self->skew = skew;
    self->rate = rate;
}

/* ---- env.h ----------------------------------------------------------------------------------- */

static tp_world *world_of(tp_env *env)
{
    return TP_CONTAINER(env, world_env, env)->world;
}

static uint64_t env_now(tp_env *env)
{
    return local_of(TP_CONTAINER(env, world_env, env), world_of(env)->now);
}
static void env_usage(tp_env *env, tp_usage *ret_usage)
{
    (void)env;
    *ret_usage = (tp_usage){0};
}

static uint64_t env_wall(tp_env *env)
{
    uint64_t skew = TP_CONTAINER(env, world_env, env)->skew;
    return env_now(env) - skew + skew % TROUPE_SECONDS(1) + UINT64_C(1700000000000000000);
}

static void env_entropy(tp_env *env, void *out, size_t size)
{
    tp_prng *prng = &world_of(env)->entropy;
    for (char *at = out; size != 0;) {
        uint64_t drawn = tp_prng_next(prng);
        size_t part = size < sizeof drawn ? size : sizeof drawn;
        memcpy(at, &drawn, part);
        at += part;
        size -= part;
    }
}

static troupe_status env_runner_start(tp_env *env, tp_runner *runner)
{
    tp_world *world = world_of(env);
    if (world->seat_count == world->seat_capacity) {
        uint32_t capacity = world->seat_capacity != 0 ? world->seat_capacity * 2 : 16;
        world_seat **grown = realloc(world->seats, capacity * sizeof(world_seat *));
        if (grown == NULL)
            return TROUPE_NO_MEMORY;
        world->seats = grown;
        world->seat_capacity = capacity;
    }
    world_seat *seat = calloc(1, sizeof *seat);
    if (seat == NULL)
        return TROUPE_NO_MEMORY;
    seat->env = TP_CONTAINER(env, world_env, env);
    seat->net_due = TP_NEVER;
    tp_list_init(&seat->streams);
    seat->runner = runner;
    runner->seat = seat;
    world->seats[world->seat_count++] = seat;
    return TROUPE_OK;
}

static void env_runner_join(tp_env *env, tp_runner *runner)
{
    tp_world *world = world_of(env);
    world_seat *seat = runner->seat;
    while (!seat->done)
        if (!tp_world_step(world))
            world->options.stuck(world->options.user, "a runner that is joined does not end");
    for (uint32_t i = 0; i < world->seat_count; i++) {
        if (world->seats[i] != seat)
            continue;
        memmove(&world->seats[i], &world->seats[i + 1],
            (world->seat_count - i - 1) * sizeof *world->seats);
        world->seat_count--;
        break;
    }
    runner->seat = NULL;
    tp_world_net_leave(seat);
    free(seat);
}

static void env_runner_wake(tp_env *env, tp_runner *runner)
{
    (void)env;
    world_seat *seat = runner->seat;
    if (seat != NULL)
        seat->woken = true;
}

static troupe_status env_job_start(tp_env *env, tp_job *job)
{
    tp_world *world = world_of(env);
    if (world->job_count >= world->options.job_limit)
        return TROUPE_BUSY;
    world_job *entry = calloc(1, sizeof *entry);
    if (entry == NULL)
        return TROUPE_NO_MEMORY;
    entry->job = job;
    entry->env = TP_CONTAINER(env, world_env, env);
    entry->due = world->now;
    if (!world->options.calm)
        entry->due += tp_world_draw_duration(&world->prng, TROUPE_MILLISECONDS(20));
    entry->next = world->jobs;
    world->jobs = entry;
    world->job_count++;
    return TROUPE_OK;
}

static troupe_status env_wait_begin(tp_env *env, tp_waiter *waiter)
{
    (void)env;
    atomic_store_explicit(&waiter->done, 0, memory_order_relaxed);
    waiter->seat = NULL;
    return TROUPE_OK;
}

static bool env_wait(tp_env *env, tp_waiter *waiter, uint64_t deadline)
{
    tp_world *world = world_of(env);
    deadline = moment_of(TP_CONTAINER(env, world_env, env), deadline);
    while (atomic_load_explicit(&waiter->done, memory_order_acquire) == 0) {
        if (world->now >= deadline)
            return false;
        if (!tp_world_step_until(world, deadline) && deadline == TP_NEVER)
            world->options.stuck(
                world->options.user, "a thread waits, and nothing is left that could happen");
    }
    return true;
}

static void env_wait_end(tp_env *env, tp_waiter *waiter)
{
    (void)env;
    (void)waiter;
}

static void env_signal(tp_env *env, tp_waiter *waiter)
{
    (void)env;
    atomic_store_explicit(&waiter->done, 1, memory_order_release);
}

static bool env_is_runner(tp_env *env)
{
    return world_of(env)->running != NULL;
}

static void env_write_log(tp_env *env, const char *text, size_t size)
{
    tp_world *world = world_of(env);
    if (world->panic[0] == 0 && memmem(text, size, "turn_panicked", 13) != NULL)
        memcpy(world->panic, text, size < WORLD_PANIC ? size : WORLD_PANIC - 1);
    size = size < WORLD_LOG / 2 ? size : WORLD_LOG / 2;
    if (world->log_size + size >= WORLD_LOG) { /* the older half goes */
        size_t cut = world->log_size / 2;
        memmove(world->log, world->log + cut, world->log_size - cut);
        world->log_size -= cut;
    }
    memcpy(world->log + world->log_size, text, size);
    world->log_size += size;
    world->log[world->log_size] = 0;
}

const char *tp_world_log(tp_world *world)
{
    return world->log;
}

const char *tp_world_panic(tp_world *world)
{
    return world->panic[0] != 0 ? world->panic : "its words were not logged";
}

static void env_destroy(tp_env *env)
{
    (void)env; /* the world's */
}

static uint32_t env_choose(tp_env *env, uint32_t alternatives)
{
    tp_world *world = world_of(env);
    if (world->options.calm)
        return alternatives - 1;
    return (uint32_t)tp_prng_below(&world->prng, alternatives);
}

static void env_mark(tp_env *env, const char *situation)
{
    tp_world_mark(world_of(env), situation);
}

static void env_trace(tp_env *env, uint32_t what, uint64_t detail)
{
    tp_world_trace(world_of(env), what, detail);
}

tp_env *tp_world_env(tp_world *world)
{
    world_env *self = calloc(1, sizeof *self);
    if (self == NULL)
        return NULL;
    TP_ASSERT(world->cuts == NULL); /* who may be cut off is there before the first cut */
    self->world = world;
    self->number = world->env_count++;
    self->next = world->envs;
    world->envs = self;
    self->env = (tp_env){.now = env_now,
        .boot = env_now,
        .wall = env_wall,
        .entropy = env_entropy,
        .pulse = &world->pulse,
        .cores = 2,
        .memory = UINT64_C(1) << 32,
        .usage = env_usage,
        .runner_start = env_runner_start,
        .runner_join = env_runner_join,
        .runner_wake = env_runner_wake,
        .job_start = env_job_start,
        .wait_begin = env_wait_begin,
        .wait = env_wait,
        .wait_end = env_wait_end,
        .signal = env_signal,
        .is_runner = env_is_runner,
        .net = tp_world_net,
        .write_log = env_write_log,
        .destroy = env_destroy,
        .choose = env_choose,
        .mark = env_mark,
        .trace = env_trace,
        .mutants = world->options.mutants};
    return &self->env;
}

tp_env *tp_world_process(tp_world *world, const char *host)
{
    tp_env *env = tp_world_env(world);
    if (env == NULL)
        return NULL;
    world_env *self = TP_CONTAINER(env, world_env, env);
    self->name = strdup(host);
    self->memory = calloc(1, sizeof *self->memory);
    if (self->name == NULL || self->memory == NULL)
        return NULL; /* the world frees what there is */
    tp_world_memory_init(self->memory, tp_prng_next(&world->entropy));
    self->memory->is_plain = world->options.calm;
    return env;
}

const troupe_allocator *tp_world_memory_of(tp_env *env)
{
    world_env *self = TP_CONTAINER(env, world_env, env);
    return self->memory != NULL ? &self->memory->allocator : &self->world->memory.allocator;
}

uint64_t tp_world_blocks_of(tp_env *env)
{
    return TP_CONTAINER(env, world_env, env)->memory->blocks;
}

/* ---- its begin and end ----------------------------------------------------------------------- */

tp_world *tp_world_create(const tp_world_options *options)
{
    tp_world *world = calloc(1, sizeof *world);
    if (world == NULL)
        return NULL;
    world->options = *options;
    tp_list_init(&world->loose);
    world->options.step_limit = options->step_limit != 0 ? options->step_limit : 4000000;
    world->options.job_limit = options->job_limit != 0 ? options->job_limit : 16;
    uint64_t seed = options->seed;
    tp_prng_seed(&world->prng, tp_prng_split(&seed));
    tp_prng_seed(&world->entropy, tp_prng_split(&seed));
    tp_world_memory_init(&world->memory, tp_prng_split(&seed));
    world->hash = UINT64_C(0xCBF29CE484222325);
    clock_set(world, TROUPE_SECONDS(1) + tp_prng_below(&world->prng, TROUPE_HOURS(1000)));
    return world;
}

void tp_world_destroy(tp_world *world)
{
    if (world == NULL)
        return;
    tp_world_net_deinit(world);
    for (uint32_t i = 0; i < world->seat_count; i++)
        free(world->seats[i]);
    free(world->seats);
    drop_jobs(world);
    while (world->envs != NULL) {
        world_env *env = world->envs;
        world->envs = env->next;
        if (env->memory != NULL)
            tp_world_memory_deinit(env->memory);
        free(env->memory);
        free(env->name);
        free(env);
    }
    free(world->cuts);
    tp_world_memory_deinit(&world->memory);
    free(world);
}

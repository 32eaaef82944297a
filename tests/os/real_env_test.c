/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the real env promises: a wake is never lost, sleepers cost nothing, timers are not early,
 * jobs are bounded and end once. Driven mode is in driven_env_test.c. Run it under
 * ThreadSanitizer, too.
 *
 * Invariants: tests wait for events; where a duration is the promise itself, only the bound that
 * no scheduler can break is checked (not early), or a count that is far from its limit.
 * Threads: the env's, and those that a test starts.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/wait.h"
#include "tests/os/env_counter.h"

/* ---- wakes ----------------------------------------------------------------------------------- */

/* Two runners pass `balls` to and fro until the first has taken `rounds`. With no spin, each of
 * them is on its way to sleep at almost every arrival. */
static void pass_balls(uint64_t spin, uint64_t rounds, unsigned balls)
{
    tp_env *env = open_env(false);
    counter left;
    counter right;
    tp_waiter waiter;
    counter_init(&left, env, spin);
    counter_init(&right, env, spin);
    left.peer = &right;
    right.peer = &left;
    left.target = rounds;
    left.waiter = &waiter;
    assert_int_equal(env->wait_begin(env, &waiter), TROUPE_OK);
    assert_int_equal(env->runner_start(env, &left.runner), TROUPE_OK);
    assert_int_equal(env->runner_start(env, &right.runner), TROUPE_OK);
    for (unsigned i = 0; i < balls; i++) {
        counter_send(&left);
    }
    assert_true(env->wait(env, &waiter, env->now(env) + 120 * SECOND));
    env->wait_end(env, &waiter);
    /* Neither passes a ball on once it is to stop. */
    atomic_store(&left.stop, true);
    atomic_store(&right.stop, true);
    env->runner_wake(env, &left.runner);
    env->runner_wake(env, &right.runner);
    env->runner_join(env, &left.runner);
    env->runner_join(env, &right.runner);
    env->destroy(env);
}

static void no_wake_is_lost_when_runners_sleep_at_once(void **state)
{
    (void)state;
    pass_balls(0, 60000, 1);
}

static void no_wake_is_lost_when_runners_spin_a_little(void **state)
{
    (void)state;
    pass_balls(3000, 60000, 1);
    pass_balls(3000, 60000, 3);
}

typedef struct sender {
    counter *to;
    uint64_t count;
} sender;

static void *send_all(void *argument)
{
    sender *self = argument;
    for (uint64_t i = 0; i < self->count; i++) {
        counter_send(self->to);
        if (i % 16 == 0) {
            await_sleep(self->to); /* so that wakes race with falling asleep */
        }
    }
    return NULL;
}

static void no_wake_of_two_outside_threads_is_lost(void **state)
{
    (void)state;
    tp_env *env = open_env(false);
    counter self;
    tp_waiter waiter;
    pthread_t threads[2];
    sender work = {&self, 100000};
    counter_init(&self, env, 1000);
    self.target = 2 * work.count;
    self.waiter = &waiter;
    assert_int_equal(env->wait_begin(env, &waiter), TROUPE_OK);
    assert_int_equal(env->runner_start(env, &self.runner), TROUPE_OK);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, send_all, &work), 0);
    }
    assert_true(env->wait(env, &waiter, env->now(env) + 120 * SECOND));
    env->wait_end(env, &waiter);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    counter_end(&self);
    assert_int_equal(self.taken, self.target);
    env->destroy(env);
}

/* Publishes the next arrival right behind its n-th look that finds nothing, as if another thread
 * did just then: one of the n falls between the last look of the spinning and the sleep. */
typedef struct late {
    counter base;
    uint64_t n;
    uint64_t looks;
} late;

static bool late_has_arrivals(tp_runner *runner)
{
    late *self = (late *)(void *)runner;
    bool has = counter_has_arrivals(runner);
    if (!has && self->base.taken > 0 && ++self->looks == self->n) {
        counter_send(&self->base);
    }
    return has;
}

static void arrival_behind_the_last_look_before_sleep_is_seen(void **state)
{
    (void)state;
    for (uint64_t n = 1; n <= 40; n++) {
        tp_env *env = open_env(false);
        late self = {.n = n};
        tp_waiter waiter;
        counter_init(&self.base, env, 0);
        self.base.runner.has_arrivals = late_has_arrivals;
        self.base.target = 2; /* the first from here, the second from the look */
        self.base.waiter = &waiter;
        assert_int_equal(env->wait_begin(env, &waiter), TROUPE_OK);
        assert_int_equal(env->runner_start(env, &self.base.runner), TROUPE_OK);
        counter_send(&self.base);
        bool came = env->wait(env, &waiter, env->now(env) + SECOND / 2);
        /* It slept before the n-th look: then the arrival comes from here, for all n that large. */
        if (!came) {
            assert_true(atomic_load(&self.base.arrived) == 1 && n > 16);
            counter_send(&self.base);
            assert_true(env->wait(env, &waiter, env->now(env) + 60 * SECOND));
        }
        env->wait_end(env, &waiter);
        counter_end(&self.base);
        env->destroy(env);
        if (!came) {
            return; /* more looks than there are before a sleep */
        }
    }
}

/* ---- sleeping -------------------------------------------------------------------------------- */

/* How often the env's threads went to sleep by themselves: a sanitizer has threads of its own. */
static uint64_t switches(void)
{
    uint64_t sum = 0;
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (struct dirent *entry = readdir(tasks); entry != NULL; entry = readdir(tasks)) {
        char path[300];
        char line[256];
        bool is_ours = false;
        (void)snprintf(path, sizeof(path), "/proc/self/task/%s/status", entry->d_name);
        FILE *status = fopen(path, "r");
        while (status != NULL && fgets(line, sizeof(line), status) != NULL) {
            is_ours = is_ours || strncmp(line, "Name:\ttest-shard", 16) == 0 ||
                      strncmp(line, "Name:\ttroupe-pulse", 18) == 0;
            if (is_ours && strncmp(line, "voluntary_ctxt_switches:", 24) == 0) {
                sum += strtoull(line + 24, NULL, 10);
            }
        }
        if (status != NULL) {
            (void)fclose(status);
        }
    }
    (void)closedir(tasks);
    return sum;
}

static uint64_t processor_time(void)
{
    struct rusage use;
    assert_int_equal(getrusage(RUSAGE_SELF, &use), 0);
    return (uint64_t)use.ru_utime.tv_sec * SECOND + (uint64_t)use.ru_utime.tv_usec * 1000 +
           (uint64_t)use.ru_stime.tv_sec * SECOND + (uint64_t)use.ru_stime.tv_usec * 1000;
}

/* Blocks this thread for a while: the measured thing is what the others do meanwhile. */
static void let_pass(tp_env *env, uint64_t duration)
{
    tp_waiter waiter;
    assert_int_equal(env->wait_begin(env, &waiter), TROUPE_OK);
    assert_false(env->wait(env, &waiter, env->now(env) + duration));
    env->wait_end(env, &waiter);
}

static void node_with_nothing_to_do_wakes_nobody(void **state)
{
    (void)state;
    tp_env *env = open_env(false);
    counter runners[2];
    for (size_t i = 0; i < 2; i++) {
        counter_init(&runners[i], env, 20000);
        assert_int_equal(env->runner_start(env, &runners[i].runner), TROUPE_OK);
    }
    await_sleep(&runners[0]);
    await_sleep(&runners[1]);
    let_pass(env, 100 * MILLISECOND); /* the pulse goes to rest two ticks later */
    uint64_t steps = atomic_load(&runners[0].steps) + atomic_load(&runners[1].steps);
    uint32_t pulse = atomic_load(env->pulse);
    uint64_t before = switches();
    uint64_t used = processor_time();
    let_pass(env, SECOND);
    assert_true(before > 0);
    assert_int_equal(switches() - before, 0);
    assert_true(processor_time() - used < 50 * MILLISECOND);
    assert_int_equal(atomic_load(&runners[0].steps) + atomic_load(&runners[1].steps), steps);
    assert_int_equal(atomic_load(env->pulse), pulse);
    counter_end(&runners[0]);
    counter_end(&runners[1]);
    env->destroy(env);
}

/* Works at moments of its own alone, so that nothing but their coming may end a wait for one. */
typedef struct punctual {
    tp_runner runner;
    tp_env *env;
    const uint64_t *after; /* the waits */
    size_t count;
    size_t next;
    uint64_t due;
    uint32_t early;
    _Atomic bool lies; /* its next look says that something came, and wakes it by itself */
} punctual;

static bool punctual_has_arrivals(tp_runner *runner)
{
    punctual *self = (punctual *)(void *)runner;
    /* As if another thread had published, taken `sleeping`, and had yet to ring its bell. */
    if (atomic_load(&runner->sleeping) != 0 && atomic_exchange(&self->lies, false)) {
        self->due = 0;
        self->env->runner_wake(self->env, runner);
        return true;
    }
    return false;
}

static uint64_t punctual_step(tp_runner *runner)
{
    punctual *self = (punctual *)(void *)runner;
    uint64_t now = self->env->now(self->env);
    self->early += now < self->due;
    if (self->next == self->count) {
        return TP_STEP_DONE;
    }
    self->due = now + self->after[self->next++];
    return self->due;
}

static void run_punctual(punctual *self)
{
    self->runner.step = punctual_step;
    self->runner.has_arrivals = punctual_has_arrivals;
    self->env = open_env(false);
    assert_int_equal(self->env->runner_start(self->env, &self->runner), TROUPE_OK);
    self->env->runner_join(self->env, &self->runner);
    assert_int_equal(self->early, 0);
    assert_int_equal(self->next, self->count);
    self->env->destroy(self->env);
}

static void step_is_not_called_before_it_is_due(void **state)
{
    (void)state;
    const uint64_t after[] = {100, 70000, MILLISECOND, 3 * MILLISECOND + 1, 25 * MILLISECOND};
    punctual self = {.runner = {.spin = 50000}, .after = after, .count = 5};
    run_punctual(&self);
}

/* Each wait is a little longer than the polling, so that all of it is in vain. */
static void who_polls_in_vain_again_and_again_polls_less(void **state)
{
    (void)state;
    enum { WAITS = 12 };
    uint64_t after[WAITS];
    for (size_t i = 0; i < WAITS; i++)
        after[i] = 24 * MILLISECOND;
    punctual self = {.runner = {.spin = 20 * MILLISECOND}, .after = after, .count = WAITS};
    uint64_t used = processor_time();
    run_punctual(&self);
    assert_true(processor_time() - used < 3 * self.runner.spin);
}

static void wake_that_comes_while_it_falls_asleep_ends_no_later_sleep(void **state)
{
    (void)state;
    const uint64_t after[] = {60 * SECOND, 25 * MILLISECOND, 25 * MILLISECOND};
    punctual self = {.after = after, .count = 3, .lies = true};
    run_punctual(&self);
}

/* ---- pulse and watchdog ---------------------------------------------------------------------- */

typedef struct stuck {
    tp_runner runner;
    tp_env *env;
    _Atomic bool release;
    _Atomic uint32_t reports;
    _Atomic uint64_t age;
    uint32_t pulse_before;
    uint32_t pulse_after;
} stuck;

static bool stuck_has_arrivals(tp_runner *runner)
{
    (void)runner;
    return false;
}

static uint64_t stuck_step(tp_runner *runner)
{
    stuck *self = (stuck *)(void *)runner;
    atomic_fetch_add(&runner->turns_begun, 1);
    self->pulse_before = atomic_load(self->env->pulse);
    uint64_t begin = self->env->now(self->env);
    while (!atomic_load(&self->release) || self->env->now(self->env) - begin < 60 * MILLISECOND) {
        (void)sched_yield();
    }
    self->pulse_after = atomic_load(self->env->pulse);
    atomic_fetch_add(&runner->turns_begun, 1);
    return TP_STEP_DONE;
}

static void stuck_report(tp_runner *runner, uint64_t age)
{
    stuck *self = (stuck *)(void *)runner;
    atomic_store(&self->age, age);
    atomic_fetch_add(&self->reports, 1);
    atomic_store(&self->release, true);
}

static void turn_that_does_not_end_is_reported_once(void **state)
{
    (void)state;
    tp_env *env = open_env(false);
    stuck self;
    memset(&self, 0, sizeof(self));
    self.runner.step = stuck_step;
    self.runner.has_arrivals = stuck_has_arrivals;
    self.runner.on_stuck = stuck_report;
    self.runner.stuck = 20 * MILLISECOND;
    self.env = env;
    assert_int_equal(env->runner_start(env, &self.runner), TROUPE_OK);
    env->runner_join(env, &self.runner); /* the report releases the turn */
    assert_int_equal(atomic_load(&self.reports), 1);
    assert_true(atomic_load(&self.age) >= 20 * MILLISECOND);
    /* 60 ms at least went by in the turn, and the pulse caught up with them. */
    assert_true(self.pulse_after - self.pulse_before >= 3);
    env->destroy(env);
}

static void pulse_beats_again_after_a_rest(void **state)
{
    (void)state;
    tp_env *env = open_env(false);
    counter self;
    counter_init(&self, env, 0);
    assert_int_equal(env->runner_start(env, &self.runner), TROUPE_OK);
    for (unsigned i = 0; i < 3; i++) {
        await_sleep(&self);
        let_pass(env, 50 * MILLISECOND);
        uint32_t pulse = atomic_load(env->pulse);
        atomic_store(&self.due, 0); /* busy from the next wake on */
        counter_send(&self);
        while (atomic_load(env->pulse) == pulse) {
            (void)sched_yield();
        }
        atomic_store(&self.due, TP_NEVER);
    }
    counter_end(&self);
    env->destroy(env);
}

/* ---- jobs ------------------------------------------------------------------------------------ */

typedef struct gate_job {
    tp_job job;
    tp_event *gate;
    _Atomic uint32_t *running;
    _Atomic uint32_t *ended;
    _Atomic uint32_t runs;
    _Atomic uint32_t dones;
} gate_job;

static void gate_run(tp_job *job)
{
    gate_job *self = (gate_job *)(void *)job;
    atomic_fetch_add(&self->runs, 1);
    atomic_fetch_add(self->running, 1);
    (void)tp_event_wait(self->gate, TP_EVENT_FOREVER, 0);
    tp_event_signal(self->gate); /* and the next */
}

static void gate_done(tp_job *job)
{
    gate_job *self = (gate_job *)(void *)job;
    atomic_fetch_add(&self->dones, 1);
    atomic_fetch_add(self->ended, 1);
}

static void jobs_are_bounded_and_each_ends_once(void **state)
{
    (void)state;
    tp_env *env = open_env(false);
    tp_event gates[8];
    gate_job jobs[8];
    _Atomic uint32_t running = 0;
    _Atomic uint32_t ended = 0;
    memset(jobs, 0, sizeof(jobs));
    for (size_t i = 0; i < 8; i++) {
        assert_true(tp_event_init(&gates[i]));
        jobs[i].job.run = gate_run;
        jobs[i].job.done = gate_done;
        jobs[i].gate = &gates[i];
        jobs[i].running = &running;
        jobs[i].ended = &ended;
    }
    for (unsigned round = 0; round < 50; round++) {
        atomic_store(&running, 0);
        atomic_store(&ended, 0);
        /* 2 threads and 3 places */
        for (size_t i = 0; i < 5; i++) {
            assert_int_equal(env->job_start(env, &jobs[i].job), TROUPE_OK);
        }
        assert_int_equal(env->job_start(env, &jobs[5].job), TROUPE_BUSY);
        while (atomic_load(&running) < 2) {
            (void)sched_yield();
        }
        assert_int_equal(atomic_load(&running), 2);
        for (size_t i = 0; i < 5; i++) {
            tp_event_signal(&gates[i]);
        }
        while (atomic_load(&ended) < 5) {
            (void)sched_yield();
        }
        for (size_t i = 0; i < 5; i++) {
            assert_int_equal(atomic_load(&jobs[i].runs), round + 1);
            assert_int_equal(atomic_load(&jobs[i].dones), round + 1);
            (void)tp_event_wait(&gates[i], 0, 0);
        }
        /* `done` comes before the place is free again: a new job may have to ask twice. */
        troupe_status status;
        do {
            status = env->job_start(env, &jobs[6].job);
        } while (status == TROUPE_BUSY);
        assert_int_equal(status, TROUPE_OK);
        tp_event_signal(&gates[6]);
        while (atomic_load(&ended) < 6) {
            (void)sched_yield();
        }
        (void)tp_event_wait(&gates[6], 0, 0);
        /* All places free: five fit again in the next round. */
        counter idle;
        counter_init(&idle, env, 0);
        atomic_store(&idle.stop, true);
        assert_int_equal(env->runner_start(env, &idle.runner), TROUPE_OK);
        env->runner_join(env, &idle.runner);
    }
    assert_int_equal(atomic_load(&jobs[5].runs), 0);
    env->destroy(env);
}

static void threads_of_the_env_are_deaf_to_signals(void **state)
{
    (void)state;
    tp_env *env = open_env(false);
    counter self;
    tp_waiter waiter;
    post_job post = {.job = {.run = post_run, .done = post_done}, .to = &self};
    counter_init(&self, env, 0);
    self.target = 1;
    self.waiter = &waiter;
    assert_int_equal(env->wait_begin(env, &waiter), TROUPE_OK);
    assert_int_equal(env->runner_start(env, &self.runner), TROUPE_OK);
    assert_int_equal(env->job_start(env, &post.job), TROUPE_OK);
    assert_true(env->wait(env, &waiter, TP_NEVER));
    env->wait_end(env, &waiter);
    assert_int_equal(sigismember(&post.mask, SIGPIPE), 1);
    assert_int_equal(sigismember(&post.mask, SIGTERM), 1);
    sigset_t mine;
    (void)pthread_sigmask(SIG_BLOCK, NULL, &mine);
    assert_int_equal(sigismember(&mine, SIGTERM), 0);
    counter_end(&self);
    env->destroy(env);
}

/* ---- waiting --------------------------------------------------------------------------------- */

static void waiter_gives_up_at_its_deadline_and_not_before(void **state)
{
    (void)state;
    for (unsigned driven = 0; driven < 2; driven++) {
        tp_env *env = open_env(driven != 0);
        tp_waiter waiter;
        for (uint64_t wait = 1000; wait < 30 * MILLISECOND; wait *= 3) {
            uint64_t deadline = env->now(env) + wait;
            assert_int_equal(env->wait_begin(env, &waiter), TROUPE_OK);
            assert_false(env->wait(env, &waiter, deadline));
            assert_true(env->now(env) >= deadline);
            env->wait_end(env, &waiter);
        }
        assert_int_equal(env->wait_begin(env, &waiter), TROUPE_OK);
        env->signal(env, &waiter);
        assert_true(env->wait(env, &waiter, 0)); /* done counts more than a deadline that passed */
        env->wait_end(env, &waiter);
        env->destroy(env);
    }
}

static void only_steps_are_inside_the_runner(void **state)
{
    (void)state;
    for (unsigned driven = 0; driven < 2; driven++) {
        tp_env *env = open_env(driven != 0);
        counter self;
        tp_waiter waiter;
        counter_init(&self, env, 0);
        self.target = 1;
        self.waiter = &waiter;
        assert_int_equal(env->wait_begin(env, &waiter), TROUPE_OK);
        assert_int_equal(env->runner_start(env, &self.runner), TROUPE_OK);
        counter_send(&self);
        assert_true(env->wait(env, &waiter, TP_NEVER));
        env->wait_end(env, &waiter);
        assert_true(atomic_load(&self.was_inside));
        assert_false(env->is_runner(env));
        counter_end(&self);
        env->destroy(env);
    }
}

/* ---- the rest -------------------------------------------------------------------------------- */

typedef struct failing {
    unsigned left;
    long blocks;
} failing;

static void *failing_allocate(void *context, size_t size)
{
    failing *self = context;
    if (self->left == 0) {
        return NULL;
    }
    self->left--;
    self->blocks++;
    return tp_allocate(tp_allocator_system(), size);
}

static void *failing_reallocate(void *context, void *block, size_t old_size, size_t new_size)
{
    failing *self = context;
    if (self->left == 0) {
        return NULL;
    }
    self->left--;
    return tp_reallocate(tp_allocator_system(), block, old_size, new_size);
}

static void failing_release(void *context, void *block, size_t size)
{
    ((failing *)context)->blocks--;
    tp_release(tp_allocator_system(), block, size);
}

static void every_failed_allocation_is_answered_and_leaks_nothing(void **state)
{
    (void)state;
    for (unsigned driven = 0; driven < 2; driven++) {
        troupe_status status = TROUPE_NO_MEMORY;
        for (unsigned i = 0; status != TROUPE_OK; i++) {
            assert_true(i < 20);
            failing memory = {.left = i};
            troupe_allocator allocator = {
                &memory, failing_allocate, failing_reallocate, failing_release};
            tp_real_options options = {
                .allocator = &allocator, .driven = driven != 0, .blocking_threads = 1};
            tp_env *env = NULL;
            counter self;
            tp_waiter waiter;
            status = tp_real_env_create(&options, &env);
            if (status == TROUPE_OK) {
                status = env->wait_begin(env, &waiter);
                if (status == TROUPE_OK) {
                    env->wait_end(env, &waiter);
                    counter_init(&self, env, 0);
                    status = env->runner_start(env, &self.runner);
                }
                if (status == TROUPE_OK) {
                    counter_end(&self);
                }
                env->destroy(env);
            }
            assert_true(status == TROUPE_OK || status == TROUPE_NO_MEMORY);
            assert_int_equal(memory.blocks, 0);
        }
    }
}

static void log_into_a_closed_pipe_does_not_kill_the_process(void **state)
{
    (void)state;
    tp_env *env = open_env(false);
    int ends[2];
    char line[16] = {0};
    int saved = dup(STDERR_FILENO);
    assert_true(saved >= 0);
    assert_int_equal(pipe(ends), 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    env->write_log(env, "one\n", 4);
    ssize_t size = read(ends[0], line, sizeof(line));
    close(ends[0]);
    env->write_log(env, "two\n", 4);
    sigset_t pending;
    (void)sigpending(&pending);
    (void)dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[1]);
    assert_int_equal(size, 4);
    assert_string_equal(line, "one\n");
    assert_int_equal(sigismember(&pending, SIGPIPE), 0);
    env->destroy(env);
}

static void clock_and_entropy_are_alive(void **state)
{
    (void)state;
    tp_env *env = open_env(true);
    uint64_t first[4] = {0};
    uint64_t second[4] = {0};
    uint64_t before = env->now(env);
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t now = env->now(env);
        assert_true(now >= before);
        before = now;
    }
    assert_true(env->wall(env) > UINT64_C(1700000000) * SECOND);
    env->entropy(env, first, sizeof(first));
    env->entropy(env, second, sizeof(second));
    assert_memory_not_equal(first, second, sizeof(first));
    assert_true(env->cores >= 1);
    assert_true(env->choose == NULL && env->mark == NULL && env->trace == NULL);
    env->destroy(env);
}

/* As if its thread did not run for a while, between a step and the sleep after it. */
static bool has_arrivals_late(tp_runner *runner)
{
    counter *self = counter_of(runner);
    uint64_t due = atomic_load(&self->due);
    while (atomic_load(&runner->sleeping) == 1 && due != TP_NEVER &&
           self->env->now(self->env) < due + 2 * MILLISECOND) {
    }
    return counter_has_arrivals(runner);
}

static void what_became_due_before_the_sleep_began_is_not_slept_over(void **state)
{
    (void)state;
    tp_env *env = open_env(false);
    counter self;
    counter_init(&self, env, 0);
    self.runner.has_arrivals = has_arrivals_late;
    atomic_store(&self.due, env->now(env) + 50 * MILLISECOND);
    assert_int_equal(env->runner_start(env, &self.runner), TROUPE_OK);
    uint64_t end = env->now(env) + 20 * SECOND;
    while (atomic_load(&self.steps) < 3 && env->now(env) < end) {
        (void)sched_yield();
    }
    uint64_t steps = atomic_load(&self.steps);
    counter_end(&self);
    env->destroy(env);
    assert_true(steps >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_wake_is_lost_when_runners_sleep_at_once),
        cmocka_unit_test(no_wake_is_lost_when_runners_spin_a_little),
        cmocka_unit_test(no_wake_of_two_outside_threads_is_lost),
        cmocka_unit_test(arrival_behind_the_last_look_before_sleep_is_seen),
        cmocka_unit_test(node_with_nothing_to_do_wakes_nobody),
        cmocka_unit_test(step_is_not_called_before_it_is_due),
        cmocka_unit_test(who_polls_in_vain_again_and_again_polls_less),
        cmocka_unit_test(wake_that_comes_while_it_falls_asleep_ends_no_later_sleep),
        cmocka_unit_test(turn_that_does_not_end_is_reported_once),
        cmocka_unit_test(pulse_beats_again_after_a_rest),
        cmocka_unit_test(jobs_are_bounded_and_each_ends_once),
        cmocka_unit_test(threads_of_the_env_are_deaf_to_signals),
        cmocka_unit_test(waiter_gives_up_at_its_deadline_and_not_before),
        cmocka_unit_test(only_steps_are_inside_the_runner),
        cmocka_unit_test(what_became_due_before_the_sleep_began_is_not_slept_over),
        cmocka_unit_test(every_failed_allocation_is_answered_and_leaks_nothing),
        cmocka_unit_test(log_into_a_closed_pipe_does_not_kill_the_process),
        cmocka_unit_test(clock_and_entropy_are_alive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

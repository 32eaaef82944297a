/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two thread pools that meet in actors. A pool of the program's own asks in from outside, one
 * client for each thread; and a turn that must block hands its blocking work to the node's pool by
 * troupe_blocking, so that its shard goes on with other actors. The program checks every result,
 * and that blocking jobs ran at the same time.
 *
 * Invariants: 1. A job touches neither the turn nor the state, only its own struct, which lives on
 * the parked stack.
 * Threads: main, WORKERS threads that ask, the node's shards, and BLOCKING
 * threads that run jobs.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <troupe.h>

enum { WORKERS = 8, BLOCKING = 4, ASKS = 25, JOB_MILLISECONDS = 2 };

/* Shared by the jobs: how many run now, and the most that ever did. */
struct gauge {
    atomic_int running;
    atomic_int most;
};

struct job {
    struct gauge *gauge;
    uint64_t input;
    uint64_t result;
};

static uint64_t checksum(uint64_t input)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (int i = 0; i < 8; i++)
        hash = (hash ^ (input >> (8 * i) & 255)) * UINT64_C(1099511628211);
    return hash;
}

/* Stands for a slow disk, an old library, a query: it waits, and only then knows. */
static void run_job(void *argument)
{
    struct job *job = argument;
    int running = atomic_fetch_add(&job->gauge->running, 1) + 1;
    int most = atomic_load(&job->gauge->most);
    while (running > most && !atomic_compare_exchange_weak(&job->gauge->most, &most, running))
        continue;
    nanosleep(&(struct timespec){.tv_nsec = JOB_MILLISECONDS * 1000000L}, NULL);
    job->result = checksum(job->input);
    atomic_fetch_sub(&job->gauge->running, 1);
}

struct desk {
    uint64_t served;
};

static troupe_status look_up(troupe_turn *turn, void *state, troupe_slice payload)
{
    struct desk *desk = state;
    struct job job = {.gauge = troupe_turn_user(turn)};
    if (payload.size != sizeof(job.input))
        return troupe_fail(turn, TROUPE_USAGE, "look_up takes 8 bytes");
    memcpy(&job.input, payload.data, sizeof(job.input));
    TROUPE_TRY(troupe_blocking(turn, run_job, &job));
    desk->served++;
    return troupe_reply_bytes(turn, troupe_slice_of(&job.result, sizeof(job.result)));
}

static troupe_status served(troupe_turn *turn, const void *state, troupe_slice payload)
{
    const struct desk *desk = state;
    (void)payload;
    return troupe_reply_bytes(turn, troupe_slice_of(&desk->served, sizeof(desk->served)));
}

static const troupe_method desk_methods[] = {TROUPE_METHOD(look_up), TROUPE_READ_METHOD(served)};

/* ---- outside --------------------------------------------------------------------------------- */

struct worker {
    pthread_t thread;
    troupe_node *node;
    unsigned number;
    unsigned right;
};

static void *ask_around(void *argument)
{
    struct worker *worker = argument;
    troupe_client *client = NULL;
    /* BUSY is an answer like another: wait and ask again, at most so often. */
    troupe_call_options options = {TROUPE_CALL_OPTIONS, .retry = {.attempts = 50}};
    if (troupe_client_open(worker->node, &client) != TROUPE_OK)
        return NULL;
    for (unsigned i = 0; i < ASKS; i++) {
        char name[16];
        uint64_t input = (uint64_t)worker->number * 1000 + i, result = 0;
        troupe_answer answer = TROUPE_ANSWER_INIT;
        snprintf(name, sizeof(name), "%u", (worker->number + i) % WORKERS);
        troupe_status status = troupe_client_ask(client, troupe_id_of("desk", name), "look_up",
            troupe_slice_of(&input, sizeof(input)), &options, &answer);
        if (status == TROUPE_OK && answer.payload.size == sizeof(result)) {
            memcpy(&result, answer.payload.data, sizeof(result));
            worker->right += result == checksum(input);
        } else {
            fprintf(stderr, "desk/%s: %.*s\n", name, TROUPE_ARG(answer.message));
        }
        troupe_answer_release(&answer);
    }
    troupe_client_close(client);
    return NULL;
}

static unsigned run_workers(troupe_node *node)
{
    struct worker workers[WORKERS];
    unsigned started = 0, right = 0;
    for (; started < WORKERS; started++) {
        workers[started] = (struct worker){.node = node, .number = started};
        if (pthread_create(&workers[started].thread, NULL, ask_around, &workers[started]) != 0)
            break;
    }
    for (unsigned i = 0; i < started; i++) {
        pthread_join(workers[i].thread, NULL);
        right += workers[i].right;
    }
    return right;
}

static uint64_t count_served(troupe_node *node)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < WORKERS; i++) {
        char name[16];
        uint64_t one = 0;
        troupe_answer answer = TROUPE_ANSWER_INIT;
        snprintf(name, sizeof(name), "%u", i);
        if (troupe_node_ask(node, troupe_id_of("desk", name), "served", troupe_str(NULL), NULL,
                &answer) == TROUPE_OK &&
            answer.payload.size == sizeof(one))
            memcpy(&one, answer.payload.data, sizeof(one));
        troupe_answer_release(&answer);
        sum += one;
    }
    return sum;
}

int main(void)
{
    struct gauge gauge = {0};
    const troupe_type desk_type = {TROUPE_TYPE("desk"), .state_size = sizeof(struct desk),
        TROUPE_METHODS(desk_methods), .user = &gauge};
    const troupe_node_options options = {TROUPE_NODE_OPTIONS, .blocking_threads = BLOCKING};
    troupe_node *node = NULL;
    if (troupe_node_open(&options, TROUPE_TYPES(&desk_type), &node) != TROUPE_OK)
        return 1;
    unsigned right = run_workers(node);
    uint64_t served_sum = count_served(node);
    troupe_node_close(node);

    int most = atomic_load(&gauge.most);
    printf("%u of %d results are right, %" PRIu64
           " turns served them, at most %d jobs ran at once (pool of %d)\n",
        right, WORKERS * ASKS, served_sum, most, BLOCKING);
    return right == WORKERS * ASKS && served_sum == right && most > 1 && most <= BLOCKING ? 0 : 1;
}

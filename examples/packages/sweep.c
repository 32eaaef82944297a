/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A window of asks over all packages. The thread of main sends; callbacks count what has come back.
 *
 * Invariants: 1. Every package is asked until it answers otherwise than BUSY. 2. `again` holds at
 * most one entry for each package, so it never overflows. 3. Nothing is under way at the end.
 * Threads: the fields of struct sweep are under its lock, but for the options, which are constant.
 */
#include "sweep.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct slot {
    struct sweep *sweep;
    uint32_t package;
};

struct sweep {
    const struct sweep_options *options;
    struct slot *slots;           /* [packages]: what the callbacks are given */
    struct load_message *message; /* room for the largest; main only */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t next;      /* package that was not asked yet */
    uint32_t under_way; /* asks */
    uint32_t *again;    /* [packages]: refused with BUSY */
    uint32_t again_count;
    troupe_status status; /* first failure */
    char words[256];
};

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* ---- answers -------------------------------------------------------------------------------- */

static troupe_status take_answer(struct sweep *sweep, uint32_t package, troupe_slice payload)
{
    struct figures *figures = sweep->options->figures;
    struct figures_message message;
    if (figures == NULL)
        return TROUPE_OK;
    if (payload.size != sizeof(message))
        return TROUPE_CORRUPT;
    memcpy(&message, payload.data, sizeof(message));
    figures->closures[package] = (uint32_t)message.closure;
    figures->ranks[package] = message.rank;
    return TROUPE_OK;
}

static void answered(void *user, const troupe_answer *answer)
{
    struct slot *slot = user;
    struct sweep *sweep = slot->sweep;
    troupe_status status = answer->status;
    pthread_mutex_lock(&sweep->lock);
    if (status == TROUPE_OK)
        status = take_answer(sweep, slot->package, answer->payload);
    if (troupe_status_kind(status) == TROUPE_KIND_BUSY) {
        sweep->again[sweep->again_count++] = slot->package;
    } else if (status != TROUPE_OK && sweep->status == TROUPE_OK) {
        sweep->status = status;
        snprintf(sweep->words, sizeof(sweep->words), "%.*s", TROUPE_ARG(answer->message));
    }
    sweep->under_way--;
    if (sweep->under_way == sweep->options->window / 2 || sweep->under_way == 0)
        pthread_cond_signal(&sweep->changed);
    pthread_mutex_unlock(&sweep->lock);
}

/* ---- asks ----------------------------------------------------------------------------------- */

static size_t fill_load(
    const struct package_index *index, uint32_t package, struct load_message *message)
{
    size_t bytes = index_degree(index, package) * sizeof(uint32_t);
    message->number = package;
    message->dependents = index->dependents[package];
    message->count = index_degree(index, package);
    if (bytes > 0)
        memcpy(message->targets, index->targets + index->begin[package], bytes);
    return sizeof(*message) + bytes;
}

static troupe_status ask(struct sweep *sweep, uint32_t package)
{
    const struct sweep_options *options = sweep->options;
    const troupe_call_options call = {TROUPE_CALL_OPTIONS, .timeout = TROUPE_MINUTES(10)};
    const char *method = options->figures == NULL ? "load" : "figures";
    troupe_id id = troupe_id_of("package", options->index->names[package]);
    troupe_slice payload = {NULL, 0};
    if (options->figures == NULL)
        payload =
            troupe_slice_of(sweep->message, fill_load(options->index, package, sweep->message));
    for (;;) {
        troupe_status status = troupe_client_ask_callback(
            options->client, id, method, payload, &call, answered, &sweep->slots[package]);
        if (troupe_status_kind(status) != TROUPE_KIND_BUSY)
            return status;
        atomic_fetch_add_explicit(&options->book->busy, 1, memory_order_relaxed);
        nap();
    }
}

/* Waits for room in the window and picks the next package to ask; false when all have answered, or
 * one has failed. `*ret_again`: it was refused before. */
static bool take_next(struct sweep *sweep, uint32_t *ret_package, bool *ret_again)
{
    uint32_t count = sweep->options->index->count;
    bool found = false;
    pthread_mutex_lock(&sweep->lock);
    while (sweep->status == TROUPE_OK && sweep->under_way > 0 &&
           (sweep->under_way >= sweep->options->window ||
               (sweep->next == count && sweep->again_count == 0)))
        pthread_cond_wait(&sweep->changed, &sweep->lock);
    if (sweep->status == TROUPE_OK && (sweep->next < count || sweep->again_count > 0)) {
        *ret_again = sweep->next == count;
        *ret_package = *ret_again ? sweep->again[--sweep->again_count] : sweep->next++;
        sweep->under_way++;
        found = true;
    }
    pthread_mutex_unlock(&sweep->lock);
    return found;
}

/* `unaccepted` asks were not accepted: no callback comes for them. */
static void note_failure(struct sweep *sweep, troupe_status status, uint32_t unaccepted)
{
    pthread_mutex_lock(&sweep->lock);
    sweep->under_way -= unaccepted;
    if (sweep->status == TROUPE_OK)
        sweep->status = status;
    pthread_mutex_unlock(&sweep->lock);
}

static void wait_for_all(struct sweep *sweep)
{
    pthread_mutex_lock(&sweep->lock);
    while (sweep->under_way > 0)
        pthread_cond_wait(&sweep->changed, &sweep->lock);
    pthread_mutex_unlock(&sweep->lock);
}

static void send_all(struct sweep *sweep)
{
    const struct sweep_options *options = sweep->options;
    uint32_t package;
    bool again;
    for (uint32_t asked = 0; take_next(sweep, &package, &again); asked++) {
        if (again) {
            atomic_fetch_add_explicit(&options->book->busy, 1, memory_order_relaxed);
            nap();
        }
        sweep->slots[package] = (struct slot){sweep, package};
        troupe_status status = ask(sweep, package);
        if (status != TROUPE_OK)
            note_failure(sweep, status, 1);
        if (asked % 4096 == 0 && !options->on_progress(options->user, asked))
            note_failure(sweep, TROUPE_CANCELLED, 0);
    }
    wait_for_all(sweep);
}

troupe_status sweep_packages(const struct sweep_options *options, char *words, size_t words_size)
{
    uint32_t count = options->index->count;
    struct sweep sweep = {
        .options = options,
        .slots = calloc(count, sizeof(*sweep.slots)),
        .message = malloc(sizeof(*sweep.message) + count * sizeof(uint32_t)),
        .again = calloc(count, sizeof(*sweep.again)),
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .changed = PTHREAD_COND_INITIALIZER,
    };
    if (sweep.slots == NULL || sweep.message == NULL || sweep.again == NULL)
        sweep.status = TROUPE_NO_MEMORY;
    else
        send_all(&sweep);
    snprintf(words, words_size, "%s", sweep.words);
    free(sweep.slots);
    free(sweep.message);
    free(sweep.again);
    return sweep.status;
}

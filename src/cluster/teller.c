/* SPDX-License-Identifier: Apache-2.0 */
/* Waits for the membership store. See teller.h. */
#include "cluster/teller.h"

#include "base/assert.h"

#include <troupe.h>

#define WATCH   TROUPE_SECONDS(1)
#define READING TROUPE_MILLISECONDS(1)
#define PAUSE   TROUPE_MILLISECONDS(100) /* of a watch on a store that cannot wait, or fails */

static bool has_arrivals(tp_runner *runner)
{
    tp_teller *self = TP_CONTAINER(runner, tp_teller, runner);
    return !tp_mpsc_is_empty(&self->calls) || atomic_load(&self->stops);
}

static uint64_t watch(tp_teller *self)
{
    uint64_t seen = atomic_load(&self->seen);
    troupe_status status = self->handle->watch(self->handle, WATCH, seen);
    if (status == TROUPE_OK)
        self->told(self->user, NULL);
    bool waits = !self->handle->immediate && (status == TROUPE_OK || status == TROUPE_TIMEOUT);
    if (!waits)
        return self->env->now(self->env) + PAUSE;
    /* Until the one that was told has read it, every watch would end at once. */
    return status == TROUPE_OK ? self->env->now(self->env) + READING : 0;
}

static uint64_t step(tp_runner *runner)
{
    tp_teller *self = TP_CONTAINER(runner, tp_teller, runner);
    for (tp_mpsc_node *node = tp_mpsc_drain(&self->calls); node != NULL;) {
        tp_teller_call *call = TP_CONTAINER(node, tp_teller_call, node);
        node = node->next;
        tp_member_perform(self->handle, &call->effect, self->allocator, &call->outcome);
        self->told(self->user, call);
    }
    if (atomic_load(&self->stops))
        return TP_STEP_DONE;
    return self->watches ? watch(self) : TP_NEVER;
}

troupe_status tp_teller_start(tp_teller *self)
{
    self->runner = (tp_runner){.step = step,
        .has_arrivals = has_arrivals,
        .name = self->watches ? "troupe-watch" : "troupe-teller",
        .own_thread = true};
    tp_mpsc_init(&self->calls);
    troupe_status status = self->env->runner_start(self->env, &self->runner);
    self->is_started = status == TROUPE_OK;
    return status;
}

void tp_teller_ask(tp_teller *self, tp_teller_call *call)
{
    tp_mpsc_push(&self->calls, &call->node);
    self->env->runner_wake(self->env, &self->runner);
}

void tp_teller_stop(tp_teller *self)
{
    if (self->handle == NULL)
        return;
    if (self->is_started) {
        atomic_store(&self->stops, true);
        if (self->handle->hurry != NULL)
            self->handle->hurry(self->handle);
        self->env->runner_wake(self->env, &self->runner);
        self->env->runner_join(self->env, &self->runner);
        self->is_started = false;
    }
    self->handle->close(self->handle);
    self->handle = NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks many actors and waits for all of them, or for so many good answers, in one park
 * (troupe_gather). Each ask has a slot of its own, as if asked alone: deadlines, cancellation and
 * refusals are theirs. What is still under way when enough is there is cancelled.
 *
 * Threads: the shard's own.
 */
#include "shard/gather.h"

#include "shard/calls.h"

#define NO_CALL ((tp_call){UINT32_MAX, 0})

static bool is_over(const tp_gather *self)
{
    return self->pending == 0 || (self->need < self->count && self->good >= self->need);
}

void tp_gather_ended(tp_gather_part *part)
{
    tp_gather *self = part->all;
    part->pending = false;
    part->call = NO_CALL;
    self->pending--;
    self->good += tp_gather_answer(part)->status == TROUPE_OK;
    if (is_over(self))
        tp_unpark(self->turn, TROUPE_OK);
}

static void begin(tp_gather *self, size_t i, const troupe_gather_options *options)
{
    tp_gather_part *part = &self->parts[i];
    const troupe_request *request = &self->requests[i];
    troupe_call_options own = {TROUPE_CALL_OPTIONS};
    if (request->options != NULL)
        own = *request->options;
    if (own.timeout == 0)
        own.timeout = self->turn->shard->ask_timeout;
    if (options != NULL && options->timeout != 0 && options->timeout < own.timeout)
        own.timeout = options->timeout;
    self->answers[i] = (troupe_answer)TROUPE_ANSWER_INIT;
    *part = (tp_gather_part){.all = self, .call = NO_CALL, .pending = true};
    self->pending++; /* before: what is refused on the way ends at once */
    tp_call call;
    troupe_status status = tp_call_begin(self->turn, request->id, request->method, request->payload,
        &own, TP_ASK_GATHER, part, &call);
    if (status == TROUPE_OK) {
        if (part->pending)
            part->call = call;
        return;
    }
    part->pending = false;
    self->pending--;
    tp_call_refuse(self->turn, request, status, &self->answers[i]);
}

/* Nobody wants the rest any more. */
static void end_rest(tp_gather *self)
{
    tp_shard *shard = self->turn->shard;
    for (size_t i = 0; i < self->count && self->pending != 0; i++)
        if (self->parts[i].pending)
            tp_ask_withdraw(shard, self->parts[i].call,
                "enough others had answered; it may have run, or may run yet");
}

static troupe_status result(const tp_gather *self)
{
    if (self->good >= self->need)
        return TROUPE_OK;
    for (size_t i = 0; i < self->count; i++)
        if (self->answers[i].status != TROUPE_OK)
            return self->answers[i].status;
    return TROUPE_OK;
}

static troupe_status refuse_all(troupe_turn *turn, const troupe_request *requests, size_t count,
    troupe_status status, troupe_answer *answers)
{
    for (size_t i = 0; i < count; i++)
        tp_call_refuse(turn, &requests[i], status, &answers[i]);
    return status;
}

static bool is_sound(
    const troupe_request *requests, size_t count, const troupe_gather_options *options)
{
    if (options != NULL && (options->size != sizeof *options || options->need > count))
        return false;
    for (size_t i = 0; i < count; i++)
        if (requests[i].options != NULL &&
            (requests[i].options->retry.attempts > 1 || requests[i].options->outbox))
            return false; /* a retry waits for itself */
    return true;
}

troupe_status troupe_gather(troupe_turn *turn, const troupe_request *requests, size_t count,
    const troupe_gather_options *options, troupe_answer *ret_answers)
{
    tp_shard *shard = turn->shard;
    if (!is_sound(requests, count, options))
        return refuse_all(turn, requests, count, TROUPE_USAGE, ret_answers);
    if (count == 0)
        return TROUPE_OK;
    troupe_status status = tp_ask_reserve(turn);
    if (status != TROUPE_OK)
        return refuse_all(turn, requests, count, status, ret_answers);
    tp_gather self = {.turn = turn, .requests = requests, .answers = ret_answers, .count = count};
    self.need = options != NULL && options->need != 0 ? options->need : count;
    self.parts = count < SIZE_MAX / sizeof *self.parts
                     ? tp_pool_take(&shard->pool, count * sizeof *self.parts)
                     : NULL;
    if (self.parts == NULL)
        return refuse_all(turn, requests, count, TROUPE_NO_MEMORY, ret_answers);
    for (size_t i = 0; i < count; i++)
        begin(&self, i, options);
    if (!is_over(&self)) {
        turn->gather = &self;
        status = tp_park(turn, TP_WAIT_GATHER);
    }
    end_rest(&self);
    tp_pool_give(&shard->pool, self.parts);
    return status == TROUPE_OK ? result(&self) : status;
}

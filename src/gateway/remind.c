/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reminders and timers of actors, set, shown and ended by the calls of the Dapr actors API. What a
 * body means is in alarm.h; the actor's own turn sets what comes of it. When one is due, the method
 * of its name runs with `data` as its payload (of a timer the one that `callback` names), or where
 * the type has none of that name, receiveReminder or receiveTimer.
 *
 * Threads: inside.h; what became of a turn is told by its shard's thread.
 */
#include "gateway/alarm.h"
#include "gateway/codes.h"
#include "gateway/inside.h"

#include <stdio.h>

/* What goes wrong, by what was asked for. */
static const char *error_of(const tp_request *request, troupe_status status)
{
    bool is_timer = request->route.kind == TP_ROUTE_TIMER;
    if (!is_timer && status == TROUPE_NO_TYPE)
        return "ERR_ACTOR_REMINDER_NON_HOSTED";
    if (!is_timer && status == TROUPE_CONFLICT)
        return "ERR_ACTOR_REMINDER_ALREADY_EXISTS";
    if (request->verb == TP_VERB_GET)
        return status == TROUPE_NOT_FOUND ? "ERR_ACTOR_REMINDER_NOT_FOUND"
                                          : "ERR_ACTOR_REMINDER_GET";
    if (request->verb == TP_VERB_DELETE)
        return is_timer ? "ERR_ACTOR_TIMER_DELETE" : "ERR_ACTOR_REMINDER_DELETE";
    return is_timer ? "ERR_ACTOR_TIMER_CREATE" : "ERR_ACTOR_REMINDER_CREATE";
}

static void refuse(
    tp_request *request, troupe_status status, troupe_outcome outcome, troupe_slice words)
{
    unsigned code = tp_http_code(status, outcome);
    if (request->route.kind == TP_ROUTE_REMINDER && status == TROUPE_NO_TYPE)
        code = 403; /* as the API has it */
    tp_request_fail(request, code, error_of(request, status), status, outcome, words);
}

void tp_remind_fail(tp_request *request, troupe_status status, const char *words)
{
    refuse(request, status, troupe_status_outcome(status), troupe_str(words));
}

static void succeed(tp_request *request, unsigned code)
{
    request->code = code;
    request->stage = TP_REQUEST_ANSWERED;
}

/* ---- a turn of the actor --------------------------------------------------------------------- */

/* [shard] */
static void over(void *user, const troupe_answer *answer)
{
    tp_request *request = user;
    troupe_slice words;
    troupe_status status = request->gateway->host.outcome(answer, &words);
    bool is_end = request->verb == TP_VERB_DELETE;
    if (status == TROUPE_OK || (is_end && status == TROUPE_NOT_FOUND))
        succeed(request, 204);
    else
        refuse(request, status,
            answer->status != TROUPE_OK ? answer->outcome : troupe_status_outcome(status), words);
    tp_request_hand_over(request);
}

/* Is it asked for? */
static bool judge_start(tp_request *request, troupe_status status, const char *words)
{
    if (status == TROUPE_OK)
        return true;
    tp_request_take_back(request);
    tp_remind_fail(request, status, words);
    return false;
}

/* ---- set ------------------------------------------------------------------------------------- */

static bool set(tp_request *request)
{
    const tp_gateway_host *host = &request->gateway->host;
    const char *reason = "";
    char words[TP_GATEWAY_WORDS] = "", schedule[TP_ALARM_SCHEDULE_MAX];
    tp_alarm_body body;
    tp_text text;
    uint64_t now = host->env->wall(host->env);
    troupe_status status =
        tp_alarm_read(troupe_slice_of(request->body.data, request->body.size), now, &body, &reason);
    if (status != TROUPE_OK) {
        tp_gateway_add(&request->gateway->refused);
        tp_request_fail(request, 400,
            status == TROUPE_USAGE ? "ERR_MALFORMED_REQUEST" : error_of(request, status),
            TROUPE_USAGE, TROUPE_NOT_DONE, troupe_str(reason));
        return false;
    }
    bool is_timer = request->route.kind == TP_ROUTE_TIMER;
    tp_text_init(&text, schedule, sizeof schedule);
    tp_alarm_schedule(&body, &text);
    uint64_t due = body.due > now ? body.due - now : 0;
    const tp_gateway_alarm alarm = {.is_timer = is_timer,
        .name = request->route.name,
        .method = is_timer && body.method[0] != 0 ? body.method : request->route.name,
        .other = !is_timer             ? "receiveReminder"
                 : body.method[0] == 0 ? "receiveTimer"
                                       : "",
        .schedule = tp_text_slice(&text),
        .payload = body.data,
        .keeps = body.keeps,
        .set = now - 1, /* so that one that is due now is due after it */
        .left = due,
        .period = body.period,
        .last = body.last != UINT64_MAX ? body.last - now : UINT64_MAX};
    tp_request_await(request);
    status = host->appoint(
        host->node, request->route.id, &alarm, request->timeout, over, request, words);
    return judge_start(request, status, words);
}

/* ---- show ------------------------------------------------------------------------------------ */

static void see(void *user, const troupe_reminder *reminder)
{
    tp_request *request = user;
    if (!troupe_slice_equal(reminder->name, troupe_str(request->route.name)))
        return;
    size_t room = 1024 + 6 * (request->route.id.key.size + reminder->schedule.size) +
                  6 * reminder->payload.size;
    char *at = tp_request_room(request, room);
    if (at == NULL) {
        tp_request_fail(request, 503, "ERR_ACTOR_REMINDER_GET", TROUPE_BUSY, TROUPE_NOT_DONE,
            troupe_str("no room for the answer: http_bytes, or memory"));
        return;
    }
    tp_text text;
    tp_text_init(&text, at, room);
    tp_alarm_print(request->route.id, reminder, &text);
    request->answer.size = text.size;
    request->answer_type = TROUPE_JSON;
    succeed(request, 200);
}

void tp_remind_show(tp_request *request)
{
    const tp_gateway_host *host = &request->gateway->host;
    char words[TP_GATEWAY_WORDS] = "";
    troupe_status status = host->show_reminders(&request->op, see, request, words, sizeof words);
    if (status == TROUPE_OK && request->stage == TP_REQUEST_ANSWERED)
        return;
    if (status == TROUPE_OK) {
        status = TROUPE_NOT_FOUND;
        (void)snprintf(words, sizeof words, "actor reminder not found: %s", request->route.name);
    }
    tp_remind_fail(request, status, words);
}

/* ---- end ------------------------------------------------------------------------------------- */

static bool end(tp_request *request)
{
    const tp_gateway_host *host = &request->gateway->host;
    char words[TP_GATEWAY_WORDS] = "";
    tp_request_await(request);
    troupe_status status =
        host->cancel(host->node, request->route.id, request->route.kind == TP_ROUTE_TIMER,
            request->route.name, request->timeout, over, request, words);
    return judge_start(request, status, words);
}

bool tp_remind_start(tp_request *request)
{
    if (request->verb == TP_VERB_GET)
        return tp_state_load(request);
    return request->verb == TP_VERB_DELETE ? end(request) : set(request);
}

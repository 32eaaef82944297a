/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Appointments: their bytes, and the turns that set reminders and timers from outside. See
 * appoint.h; errand.c calls it.
 *
 * Threads: the shard's own; the bytes: pure.
 */
#include "shard/appoint.h"

#include "shard/durable.h"
#include "shard/move.h"
#include "shard/words.h"
#include "store/number.h"

enum {
    NUMBERS = 5,
    TEXTS = 5, /* before the payload, which takes the rest */
    HEAD = 8 * NUMBERS + 4 * TEXTS,
};

/* ---- bytes ----------------------------------------------------------------------------------- */

static void list_texts(tp_appointment *self, troupe_slice *texts[TEXTS])
{
    texts[0] = &self->name;
    texts[1] = &self->method;
    texts[2] = &self->other;
    texts[3] = &self->schedule;
    texts[4] = &self->content_type;
}

size_t tp_appointment_size(const tp_appointment *appointment)
{
    return HEAD + appointment->name.size + appointment->method.size + appointment->other.size +
           appointment->schedule.size + appointment->content_type.size + appointment->payload.size;
}

static char *put_text(char *at, troupe_slice text)
{
    if (text.size != 0)
        memcpy(at, text.data, text.size);
    return at + text.size;
}

void tp_appointment_put(const tp_appointment *appointment, void *out)
{
    tp_appointment copy = *appointment;
    troupe_slice *texts[TEXTS];
    const uint64_t numbers[NUMBERS] = {copy.set, copy.left, copy.period, copy.last, copy.keeps};
    char *at = out;
    list_texts(&copy, texts);
    for (size_t i = 0; i < NUMBERS; i++, at += 8)
        tp_number_put(at, numbers[i], 8);
    for (size_t i = 0; i < TEXTS; i++, at += 4)
        tp_number_put(at, texts[i]->size, 4);
    for (size_t i = 0; i < TEXTS; i++)
        at = put_text(at, *texts[i]);
    put_text(at, copy.payload);
}

bool tp_appointment_get(troupe_slice bytes, tp_appointment *ret_appointment)
{
    tp_appointment got = {.keeps = false};
    troupe_slice *texts[TEXTS];
    uint64_t numbers[NUMBERS];
    if (bytes.size < HEAD)
        return false;
    const char *sizes = (const char *)bytes.data + 8 * NUMBERS, *at = sizes + 4 * TEXTS;
    size_t left = bytes.size - HEAD;
    list_texts(&got, texts);
    for (size_t i = 0; i < NUMBERS; i++)
        numbers[i] = tp_number_get((const char *)bytes.data + 8 * i, 8);
    for (size_t i = 0; i < TEXTS; i++) {
        size_t size = (size_t)tp_number_get(sizes + 4 * i, 4);
        if (size > left)
            return false;
        *texts[i] = troupe_slice_of(at, size);
        at += size;
        left -= size;
    }
    got.payload = troupe_slice_of(at, left);
    got.set = numbers[0];
    got.left = numbers[1];
    got.period = numbers[2];
    got.last = numbers[3];
    got.keeps = numbers[4] != 0;
    *ret_appointment = got;
    return true;
}

/* ---- turns ----------------------------------------------------------------------------------- */

static troupe_status tell(troupe_turn *turn, troupe_status status, const char *words)
{
    return troupe_reply_format(turn, "%d %s", (int)status, words);
}

/* The method that it is for; words if there is none. */
static int32_t method_of(
    const troupe_turn *turn, const tp_appointment *self, troupe_slice *ret_name, char *words)
{
    const tp_type *type = turn->actor->type;
    *ret_name = self->method;
    int32_t number = tp_type_method(type, self->method);
    if (number < 0 && self->other.size != 0) {
        *ret_name = self->other;
        number = tp_type_method(type, self->other);
    }
    if (number < 0)
        (void)tp_no_method_words(words, type, self->method);
    return number;
}

troupe_status tp_appoint_reminder(troupe_turn *turn, troupe_slice bytes)
{
    tp_appointment self;
    char words[TP_WORDS_MAX];
    tp_durable *durable = tp_durable_of(turn->actor);
    tp_row_reminder row = {.number = 1};
    if (!tp_appointment_get(bytes, &self))
        return tell(turn, TROUPE_CORRUPT, "it is no appointment");
    if (!turn->actor->type->commits || durable == NULL)
        return tell(turn, TROUPE_USAGE, TP_REMINDERS_NEED);
    if (method_of(turn, &self, &row.method, words) < 0)
        return tell(turn, TROUPE_NO_METHOD, words);
    const tp_entry *entry = tp_rows_find(durable, TROUPE_ROW_REMINDER, self.name);
    if (self.keeps && entry != NULL && !entry->retired)
        return tell(turn, TROUPE_CONFLICT, "it has a reminder of that name");
    row.set = self.set;
    row.schedule = self.schedule;
    row.content_type = self.content_type;
    row.payload = self.payload;
    words[0] = 0;
    troupe_status status = tp_reminder_set(turn, self.name, &row, words, sizeof words);
    if (status == TROUPE_USAGE || status == TROUPE_BUSY || status == TROUPE_TOO_LARGE)
        return tell(turn, status, words[0] != 0 ? words : troupe_status_text(status));
    TROUPE_TRY(status);
    return troupe_reply_format(
        turn, "%d %llu", (int)TROUPE_OK, (unsigned long long)tp_commit_next_version(durable));
}

troupe_status tp_appoint_timer(troupe_turn *turn, troupe_slice bytes)
{
    tp_appointment self;
    troupe_slice method;
    char words[TP_WORDS_MAX];
    if (!tp_appointment_get(bytes, &self))
        return tell(turn, TROUPE_CORRUPT, "it is no appointment");
    if (self.name.size == 0 || self.name.size > TP_NAME_MAX)
        return tell(turn, TROUPE_USAGE, "the name of a timer is 1 to 128 bytes");
    int32_t number = method_of(turn, &self, &method, words);
    if (number < 0)
        return tell(turn, TROUPE_NO_METHOD, words);
    const tp_timer_copy wanted = {.name = self.name,
        .period = self.period,
        .left = self.left,
        .last = self.last,
        .method = method,
        .payload = self.payload};
    troupe_status status = tp_timer_set(turn, (uint32_t)number, &wanted);
    if (status == TROUPE_BUSY)
        return tell(turn, status, "it has 64 timers: end one of them first");
    return tell(turn, status, status == TROUPE_OK ? "0" : troupe_status_text(status));
}

troupe_status tp_appoint_timer_end(troupe_turn *turn, troupe_slice name)
{
    bool is_there = tp_timer_end(turn, name);
    return tell(turn, is_there ? TROUPE_OK : TROUPE_NOT_FOUND,
        is_there ? "0" : "it has no timer of that name");
}

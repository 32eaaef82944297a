/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The outgoing half of a session: chunks of batches, what is kept and what is sent again.
 *
 * A chunk holds batches one behind the other, each with its header, whose `raw`, `count` and
 * `first` are written when it is closed and serve to walk the chunk; the rest of the header says
 * what is true when it is sent, and is written then. One write is all closed batches of one chunk.
 *
 *   oldest            sending                  newest
 *   [ b b b b ] -> [ b b | b b ] -> [ b b b open...     ]
 *     ^ oldest_at        ^ sending_at       ^ open_at  ^ at
 *
 * Invariants: oldest_at <= sending_at <= open_at, in the order of chunks. While something is being
 * written nothing is freed and no header is touched: an acknowledgement that comes meanwhile is
 * looked at in tp_session_written.
 */
#include "wire/session_inside.h"

#include "base/alloc.h"

#define NEVER UINT64_MAX

enum {
    RECEIPT_BYTES = 256 << 10, /* received since the last receipt: say so at once */
    /* Chunks that wait to be filled again: what is under way between receipts fits into them, so a
     * busy link allocates nothing. */
    SPARES = 4,
};

/* ---- putting -------------------------------------------------------------------------------- */

static char *chunk_begin(tp_session_chunk *chunk)
{
    return (char *)(chunk + 1);
}

static size_t chunk_left(const tp_session_chunk *chunk)
{
    return (size_t)((const char *)chunk + chunk->size - chunk->filled);
}

static void close_batch(tp_session *session)
{
    if (session->open_at == NULL)
        return;
    uint32_t raw = (uint32_t)(session->at - session->open_at - TP_BATCH_HEADER);
    tp_batch batch = {.size = raw,
        .raw = raw,
        .count = (uint16_t)session->open_count,
        .first = session->number - session->open_count + 1};
    tp_batch_put(session->open_at, &batch);
    session->newest->filled = session->at;
    session->open_at = session->at = session->full = NULL;
    session->open_count = 0;
    session->opened_at = 0;
}

static tp_session_chunk *take_chunk(tp_session *session, size_t batch)
{
    size_t size = sizeof(tp_session_chunk) + batch;
    tp_session_chunk *chunk = session->spare;
    if (chunk != NULL && size <= session->options.chunk_bytes) {
        session->spare = chunk->next;
        session->spares--;
    } else {
        if (size < session->options.chunk_bytes)
            size = session->options.chunk_bytes;
        chunk = tp_allocate(session->options.allocator, size);
        if (chunk == NULL)
            return NULL;
        chunk->size = size;
    }
    chunk->next = NULL;
    chunk->filled = chunk_begin(chunk);
    return chunk;
}

static void give_chunk(tp_session *session, tp_session_chunk *chunk)
{
    if (session->spares == SPARES || chunk->size != session->options.chunk_bytes) {
        tp_session_chunk_release(session, chunk);
        return;
    }
    chunk->next = session->spare;
    session->spare = chunk;
    session->spares++;
}

troupe_status tp_session_open_batch(tp_session *session, size_t size)
{
    if (size > session->max_send + (size_t)TP_FRAME_HEAD_LONG)
        return TROUPE_TOO_LARGE;
    close_batch(session);
    size_t batch = TP_BATCH_HEADER + size;
    if (session->newest == NULL || chunk_left(session->newest) < batch) {
        tp_session_chunk *chunk = take_chunk(session, batch);
        if (chunk == NULL)
            return TROUPE_NO_MEMORY;
        if (session->newest == NULL) {
            session->oldest = session->sending = chunk;
            session->oldest_at = session->sending_at = chunk->filled;
        } else {
            session->newest->next = chunk;
        }
        session->newest = chunk;
    }
    char *begin = session->newest->filled;
    size_t room = chunk_left(session->newest) - TP_BATCH_HEADER;
    size_t limit = session->batch_bytes > size ? session->batch_bytes : size;
    session->open_at = begin;
    session->at = begin + TP_BATCH_HEADER;
    session->full = session->at + (room < limit ? room : limit);
    return TROUPE_OK;
}

troupe_status tp_session_refuse(tp_session *session)
{
    session->counts.refused++;
    return TROUPE_BUSY;
}

troupe_status tp_session_put_reply(tp_session *session, const tp_wire_reply *reply)
{
    size_t size = tp_wire_reply_size(reply);
    char *at;
    troupe_status status = tp_session_reserve(session, size, &at);
    if (TP_LIKELY(status == TROUPE_OK))
        tp_wire_reply_put(tp_frame_put_head(at, TP_FRAME_REPLY, 0, size), reply);
    return status;
}

troupe_status tp_session_put(tp_session *session, tp_frame_kind kind, unsigned flags, size_t size,
    char **ret_body, uint64_t *ret_number)
{
    TP_DEBUG_ASSERT(!tp_frame_is_parcel(kind) && !tp_frame_is_loose(kind));
    char *at;
    troupe_status status = tp_session_reserve(session, size, &at);
    if (status != TROUPE_OK)
        return status;
    *ret_body = tp_frame_put_head(at, kind, flags, size);
    if (ret_number != NULL)
        *ret_number = session->number;
    return TROUPE_OK;
}

uint16_t tp_session_teach(
    tp_session *session, uint32_t local, troupe_slice type, troupe_slice method)
{
    tp_wire_name name = {(uint16_t)(session->taught.count + 1), type, method};
    char *body;
    if (!tp_taught_make_room(&session->taught) ||
        tp_session_put(session, TP_FRAME_NAME, 0, tp_wire_name_size(&name), &body, NULL) !=
            TROUPE_OK)
        return 0;
    tp_wire_name_put(body, &name);
    return tp_taught_add(&session->taught, local);
}

/* ---- loose frames --------------------------------------------------------------------------- */

/* Its batch: the header is written when it is taken; `count` lies in it until then. */
static bool open_loose(tp_session *session, size_t frame)
{
    tp_session_buffer *loose = &session->loose;
    size_t begin = loose->size != 0 ? loose->size : TP_BATCH_HEADER;
    if (!tp_session_buffer_reserve(session, loose, begin + frame))
        return false;
    if (loose->size == 0) {
        tp_batch_put(loose->bytes, &(tp_batch){0});
        loose->size = TP_BATCH_HEADER;
    }
    return true;
}

troupe_status tp_session_put_loose(
    tp_session *session, tp_frame_kind kind, unsigned flags, size_t size, char **ret_body)
{
    TP_DEBUG_ASSERT(tp_frame_is_loose(kind));
    size_t frame = tp_frame_size(size);
    tp_session_buffer *loose = &session->loose;
    if (!session->connected)
        return TROUPE_UNAVAILABLE;
    if (size > session->max_send)
        return TROUPE_TOO_LARGE;
    /* Several that are large would make a batch that the peer must refuse. */
    tp_batch batch = {0};
    if (loose->size != 0) {
        TP_ASSERT(tp_batch_get(loose->bytes, &batch));
        if (loose->size - TP_BATCH_HEADER + frame > TP_BATCH_RAW_MAX || batch.count == UINT16_MAX)
            return TROUPE_BUSY;
    }
    if (!open_loose(session, frame))
        return TROUPE_NO_MEMORY;
    batch.count++;
    tp_batch_put(loose->bytes, &batch);
    *ret_body = tp_frame_put_head(loose->bytes + loose->size, kind, flags, size);
    loose->size += frame;
    return TROUPE_OK;
}

/* ---- taking --------------------------------------------------------------------------------- */

/* A chunk that is passed is left, if there is a next one. */
static void step_on(tp_session *session, tp_session_chunk **chunk, char **at)
{
    while (*chunk != NULL && *at == (*chunk)->filled && *chunk != session->newest) {
        *chunk = (*chunk)->next;
        *at = chunk_begin(*chunk);
    }
}

static uint64_t parcels_to(const tp_session *session)
{
    /* Who takes our bytes slowly gets no more in. */
    if (session->kept > session->options.kept_limit)
        return session->granted;
    uint64_t to = session->parcels_settled + session->options.window;
    return to > session->granted ? to : session->granted;
}

/* What is true now, over what close_batch wrote. */
static void stamp(tp_session *session, char *header)
{
    session->told_received = session->received;
    session->told_parcels_to = session->granted = parcels_to(session);
    session->told_bytes = session->counts.bytes_in;
    char *at = tp_put_64(header + 24, session->received);
    at = tp_put_64(at, session->granted);
    at = tp_put_64(at, session->options.incarnation);
    tp_put_64(at, session->options.view);
}

static bool has_receipts(const tp_session *session)
{
    return session->settled_count != 0 || session->told_received != session->received ||
           session->told_parcels_to != parcels_to(session);
}

static bool receipts_are_due(const tp_session *session, uint64_t now)
{
    return now - session->receipts_since >= session->options.settle_delay ||
           session->settled_count >= TP_SESSION_RANGES / 2 ||
           session->counts.bytes_in - session->told_bytes >= RECEIPT_BYTES ||
           parcels_to(session) - session->told_parcels_to >= session->options.window / 4;
}

troupe_status tp_session_put_settled(tp_session *session)
{
    if (session->settled_count == 0)
        return TROUPE_OK;
    char *body;
    size_t size = (size_t)session->settled_count * TP_WIRE_RANGE_BYTES;
    troupe_status status = tp_session_put(session, TP_FRAME_SETTLED, 0, size, &body, NULL);
    if (status != TROUPE_OK)
        return status;
    for (uint32_t i = 0; i < session->settled_count; i++)
        tp_wire_range_put(body + i * TP_WIRE_RANGE_BYTES, session->settled[i]);
    session->settled_count = 0;
    return TROUPE_OK;
}

static void take_loose(tp_session *session, troupe_slice *ret_bytes)
{
    tp_session_buffer *loose = &session->loose;
    tp_batch batch;
    TP_ASSERT(tp_batch_get(loose->bytes, &batch));
    batch.size = batch.raw = (uint32_t)(loose->size - TP_BATCH_HEADER);
    tp_batch_put(loose->bytes, &batch);
    stamp(session, loose->bytes);
    *ret_bytes = troupe_slice_of(loose->bytes, loose->size);
    tp_session_buffer other = session->loose_written;
    other.size = 0;
    session->loose_written = *loose;
    session->loose = other;
    session->writing = TP_WRITING_LOOSE;
}

/* The batch at `header`, squeezed to elsewhere. False: it is to go as it is. */
static bool squeeze(tp_session *session, const char *header, troupe_slice *ret_bytes)
{
    tp_batch batch;
    TP_ASSERT(tp_batch_get(header, &batch));
    size_t room = batch.raw - batch.raw / 16;
    if (batch.raw < session->options.compress_above ||
        !tp_session_buffer_reserve(session, &session->squeezed, TP_BATCH_HEADER + room))
        return false;
    char *out = session->squeezed.bytes;
    troupe_slice raw = {header + TP_BATCH_HEADER, batch.raw};
    size_t size = tp_squeeze(&session->squeezer, session->codec, raw, out + TP_BATCH_HEADER, room);
    if (size == 0)
        return false;
    memcpy(out, header, TP_BATCH_HEADER);
    tp_put_number(out, size, 4);
    tp_put_8(out + 8, session->codec);
    *ret_bytes = troupe_slice_of(out, TP_BATCH_HEADER + size);
    return true;
}

static void take_frames(tp_session *session, troupe_slice *ret_bytes)
{
    tp_session_chunk *chunk = session->sending;
    if (chunk == session->newest)
        close_batch(session);
    char *begin = session->sending_at, *at = begin;
    bool squeezes = session->codec != TP_CODEC_NONE;
    do {
        tp_batch batch;
        TP_ASSERT(tp_batch_get(at, &batch));
        stamp(session, at);
        uint64_t last = batch.first + batch.count - 1;
        if (last <= session->sent_to)
            session->counts.resent += batch.count;
        else
            session->sent_to = last;
        session->counts.batches_out++;
        at += TP_BATCH_HEADER + batch.raw;
    } while (at < chunk->filled && !squeezes);
    session->sending_at = at;
    session->writing = TP_WRITING_FRAMES;
    session->counts.raw_out += (uint64_t)(at - begin);
    if (!squeezes || !squeeze(session, begin, ret_bytes))
        *ret_bytes = troupe_slice_of(begin, (size_t)(at - begin));
}

/* Only the open batch is there, and it may wait for company. */
static bool waits_for_company(tp_session *session, uint64_t now)
{
    if (session->options.batch_delay == 0 || session->open_at == NULL ||
        session->sending_at != session->newest->filled)
        return false;
    if (session->opened_at == 0)
        session->opened_at = now != 0 ? now : 1;
    session->due = session->opened_at + session->options.batch_delay;
    return now < session->due;
}

static bool has_frames(tp_session *session)
{
    step_on(session, &session->sending, &session->sending_at);
    return session->sending != NULL &&
           (session->sending_at != session->sending->filled || session->open_at != NULL);
}

bool tp_session_take(tp_session *session, uint64_t now, troupe_slice *ret_bytes)
{
    session->due = NEVER;
    if (!session->connected || session->writing != TP_WRITING_NOTHING || session->broken)
        return false;
    bool taken = false;
    if (session->loose.size != 0) {
        take_loose(session, ret_bytes);
        taken = true;
    } else if (has_frames(session) && !waits_for_company(session, now)) {
        (void)(tp_session_put_settled(session) == TROUPE_OK); /* else with the next one */
        take_frames(session, ret_bytes);
        taken = true;
    } else if (has_receipts(session)) {
        if (session->receipts_since == 0)
            session->receipts_since = now != 0 ? now : 1;
        uint64_t due = session->receipts_since + session->options.settle_delay;
        if (!receipts_are_due(session, now)) {
            session->due = session->due < due ? session->due : due;
        } else if (tp_session_put_settled(session) == TROUPE_OK && has_frames(session)) {
            take_frames(session, ret_bytes);
            taken = true;
        } else if (open_loose(session, 0)) {
            take_loose(session, ret_bytes);
            taken = true;
        }
    }
    if (taken) {
        session->receipts_since = 0;
        session->counts.bytes_out += ret_bytes->size;
    }
    return taken;
}

/* ---- what the peer has ---------------------------------------------------------------------- */

/* All is received: the chunk is used from its begin again, while it is in the cache. */
static void rewind_chunk(tp_session *session)
{
    tp_session_chunk *chunk = session->newest;
    if (chunk == NULL || session->oldest != chunk || session->open_at != NULL ||
        session->oldest_at != chunk->filled)
        return;
    if (chunk->size > session->options.chunk_bytes) {
        session->oldest = session->sending = session->newest = NULL;
        session->oldest_at = session->sending_at = NULL;
        tp_session_chunk_release(session, chunk);
        return;
    }
    chunk->filled = session->oldest_at = session->sending_at = chunk_begin(chunk);
}

static void free_received(tp_session *session)
{
    if (session->writing != TP_WRITING_NOTHING || session->oldest == NULL)
        return;
    for (;;) {
        if (session->oldest_at == session->oldest->filled) {
            tp_session_chunk *passed = session->oldest;
            if (passed == session->newest)
                break;
            step_on(session, &session->sending, &session->sending_at);
            session->oldest = passed->next;
            session->oldest_at = chunk_begin(session->oldest);
            give_chunk(session, passed);
            continue;
        }
        tp_batch batch;
        TP_ASSERT(tp_batch_get(session->oldest_at, &batch));
        uint64_t last = batch.first + batch.count - 1;
        if (last > session->received_to)
            break;
        /* After a reconnection the peer may have what is about to be sent again. */
        if (session->sending_at == session->oldest_at)
            session->sending_at += TP_BATCH_HEADER + batch.raw;
        session->oldest_at += TP_BATCH_HEADER + batch.raw;
        session->kept -= batch.raw;
        session->freed_to = last;
    }
    rewind_chunk(session);
}

void tp_session_written(tp_session *session)
{
    session->writing = TP_WRITING_NOTHING;
    free_received(session);
}

void tp_session_received(tp_session *session, uint64_t number)
{
    if (number > session->received_to) {
        session->received_to = number;
        free_received(session);
    }
}

void tp_session_send_again(tp_session *session)
{
    session->sending = session->oldest;
    session->sending_at = session->oldest_at;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The incoming half of a session: bytes to batches to frames.
 *
 * A batch is looked at when all of it is there. Its frames are then returned one by one, as slices
 * of the buffer of fed bytes, or of that of what was unsqueezed; the batch is passed with its last
 * frame.
 *
 * Invariants: 1. `in_begin` is where a batch begins, or would. 2. frame_at .. frame_end are the
 * frames of the batch at in_begin that are yet to be returned, while in_batch. 3. What a header
 * says counts once the batch is whole, before its first frame.
 */
#include "wire/session_inside.h"

#include "base/alloc.h"

enum {
    SPACE_FIRST = 32 << 10,
    SPACE_BUSY = 384 << 10,
    MOVES_LITTLE = 16 << 10,
    FED_AHEAD = 1 << 20, /* what may be fed beyond the largest batch before next is called */
};

static tp_session_event say_broken(tp_session *session)
{
    session->broken = true;
    return TP_SESSION_BROKEN;
}

/* ---- feeding -------------------------------------------------------------------------------- */

/* A batch, compressed or not, that the peer may send. */
static size_t batch_most(const tp_session *session)
{
    size_t frame = session->options.max_frame + (size_t)TP_FRAME_HEAD_LONG;
    return frame > TP_BATCH_RAW_MAX ? frame : TP_BATCH_RAW_MAX;
}

/* The frames not yet returned lie in the fed bytes, which are about to move. */
static void move_input(tp_session *session, const char *from, char *to)
{
    if (session->in_batch && !session->in_unsqueezed) {
        session->frame_at = to + (session->frame_at - from);
        session->frame_end = to + (session->frame_end - from);
    }
}

static void compact(tp_session *session)
{
    size_t begin = session->in_begin, waiting = tp_session_waiting(session);
    if (begin == 0)
        return;
    move_input(session, session->in.bytes + begin, session->in.bytes);
    memmove(session->in.bytes, session->in.bytes + begin, waiting);
    session->in_batch_end -= session->in_batch ? begin : 0;
    session->in.size = waiting;
    session->in_begin = 0;
}

static bool make_space(tp_session *session, size_t wanted)
{
    tp_session_buffer *in = &session->in;
    compact(session);
    size_t room = in->size + wanted;
    size_t most = batch_most(session) + TP_BATCH_HEADER + FED_AHEAD;
    if (room > most && in->size > 0) {
        tp_session_fault(session, "it was fed beyond %zu bytes that wait", most);
        return false;
    }
    if (in->size > MOVES_LITTLE && room < SPACE_BUSY)
        room = SPACE_BUSY; /* rather than to move large batches at every turn */
    if (room < SPACE_FIRST)
        room = SPACE_FIRST;
    const char *before = in->bytes;
    if (!tp_session_buffer_reserve(session, in, room)) {
        tp_session_fault(session, "no memory for %zu bytes that came", room);
        return false;
    }
    if (before != NULL)
        move_input(session, before, in->bytes);
    return true;
}

char *tp_session_space(tp_session *session, size_t wanted, size_t *ret_room)
{
    tp_session_buffer *in = &session->in;
    if (in->size + wanted > in->room && !make_space(session, wanted))
        return NULL;
    if (ret_room != NULL)
        *ret_room = in->room - in->size;
    return in->bytes + in->size;
}

void tp_session_fed(tp_session *session, size_t size)
{
    TP_ASSERT(size <= session->in.room - session->in.size);
    session->in.size += size;
    session->counts.bytes_in += size;
}

troupe_status tp_session_feed(tp_session *session, troupe_slice bytes)
{
    if (bytes.size == 0)
        return TROUPE_OK;
    char *at = tp_session_space(session, bytes.size, NULL);
    if (at == NULL)
        return session->in.size + bytes.size > FED_AHEAD ? TROUPE_BUSY : TROUPE_NO_MEMORY;
    memcpy(at, bytes.data, bytes.size);
    tp_session_fed(session, bytes.size);
    return TROUPE_OK;
}

bool tp_session_wants_more(const tp_session *session)
{
    size_t waiting = tp_session_waiting(session);
    tp_batch batch;
    if (session->in_batch)
        return false;
    return waiting < TP_BATCH_HEADER ||
           (tp_batch_get(session->in.bytes + session->in_begin, &batch) &&
               waiting - TP_BATCH_HEADER < batch.size);
}

void tp_session_drop_input(tp_session *session)
{
    session->in.size = session->in_begin = 0;
    session->in_batch = session->in_unsqueezed = false;
    session->frame_at = session->frame_end = NULL;
    session->frames_left = 0;
}

/* ---- batches -------------------------------------------------------------------------------- */

static bool check_sizes(tp_session *session, const tp_batch *batch)
{
    size_t most = batch_most(session);
    if (batch->size > most || batch->raw > most)
        tp_session_fault(session,
            "a batch of %u bytes (%u before compression), above the %zu that "
            "both sides have agreed on",
            batch->size, batch->raw, most);
    else if (batch->codec >= TP_CODECS)
        tp_session_fault(session, "a batch with codec %u, which nobody knows", batch->codec);
    else if (batch->codec == TP_CODEC_NONE ? batch->size != batch->raw : batch->size >= batch->raw)
        tp_session_fault(session, "a batch with codec %u says that its %u bytes were %u before",
            batch->codec, batch->size, batch->raw);
    else if ((uint64_t)batch->count * TP_FRAME_HEAD > batch->raw ||
             (batch->count == 0 && batch->raw != 0))
        tp_session_fault(
            session, "a batch of %u bytes says that it holds %u frames", batch->raw, batch->count);
    else
        return true;
    return false;
}

static bool check_header(tp_session *session, const tp_batch *batch)
{
    if (batch->incarnation != session->options.peer) {
        tp_session_fault(session, "it is from incarnation %llu, but the link is with %llu",
            (unsigned long long)batch->incarnation, (unsigned long long)session->options.peer);
        return false;
    }
    if (batch->received_to > session->sent_to) {
        tp_session_fault(session, "it acknowledges frame %llu, but only %llu were sent",
            (unsigned long long)batch->received_to, (unsigned long long)session->sent_to);
        return false;
    }
    if (batch->first > session->received + 1) {
        tp_session_fault(session, "it begins with frame %llu, but %llu was the last: frames lack",
            (unsigned long long)batch->first, (unsigned long long)session->received);
        return false;
    }
    if (batch->first > UINT64_MAX - batch->count || (batch->first != 0 && batch->count == 0)) {
        tp_session_fault(session, "it numbers frames that cannot be");
        return false;
    }
    return check_sizes(session, batch);
}

static bool unsqueeze(tp_session *session, const tp_batch *batch, const char *bytes)
{
    if (!tp_session_buffer_reserve(session, &session->unsqueezed, batch->raw)) {
        tp_session_fault(session, "no memory for a batch of %u bytes", batch->raw);
        return false;
    }
    troupe_status status = tp_unsqueeze(&session->squeezer, (tp_codec)batch->codec,
        troupe_slice_of(bytes, batch->size), session->unsqueezed.bytes, batch->raw);
    if (status != TROUPE_OK) {
        tp_session_fault(session, "a batch that cannot be decompressed: %s",
            status == TROUPE_CORRUPT ? "its bytes are not what its codec writes" : "no memory");
        return false;
    }
    session->frame_at = session->unsqueezed.bytes;
    session->frame_end = session->frame_at + batch->raw;
    return true;
}

/* TP_SESSION_FRAME: frames of it may be returned. */
static tp_session_event open_input(tp_session *session)
{
    size_t waiting = tp_session_waiting(session);
    if (waiting < TP_BATCH_HEADER)
        return TP_SESSION_MORE;
    const char *at = session->in.bytes + session->in_begin;
    tp_batch batch;
    if (!tp_batch_get(at, &batch)) {
        tp_session_fault(session, "bytes that are no header of a batch");
        return say_broken(session);
    }
    if (!check_header(session, &batch))
        return say_broken(session);
    if (waiting - TP_BATCH_HEADER < batch.size)
        return TP_SESSION_MORE;
    if (batch.view > session->peer_view)
        session->peer_view = batch.view;
    if (batch.first != 0 && batch.view > session->options.view)
        return TP_SESSION_VIEW;
    tp_session_received(session, batch.received_to);
    if (batch.parcels_to > session->parcels_to)
        session->parcels_to = batch.parcels_to;
    at += TP_BATCH_HEADER;
    session->in_unsqueezed = batch.codec != TP_CODEC_NONE;
    session->frame_at = at;
    session->frame_end = at + batch.size;
    if (session->in_unsqueezed && !unsqueeze(session, &batch, at))
        return say_broken(session);
    session->in_batch = true;
    session->in_loose = batch.first == 0;
    session->in_batch_end = session->in_begin + TP_BATCH_HEADER + batch.size;
    session->frame_number = batch.first;
    session->frames_left = batch.count;
    session->counts.batches_in++;
    return TP_SESSION_FRAME;
}

static bool close_input(tp_session *session)
{
    if (session->frames_left != 0) {
        tp_session_fault(session, "a batch that lacks %u of its frames", session->frames_left);
        return false;
    }
    session->in_batch = false;
    session->in_begin = session->in_batch_end;
    if (session->in_begin == session->in.size)
        session->in_begin = session->in.size = 0;
    return true;
}

/* ---- frames --------------------------------------------------------------------------------- */

typedef struct head {
    unsigned kind, flags;
    troupe_slice body;
} head;

/* Passes over a frame. */
static bool get_head(tp_session *session, head *ret_head)
{
    const char *at = session->frame_at;
    size_t left = (size_t)(session->frame_end - at), bytes = TP_FRAME_HEAD;
    if (TP_UNLIKELY(left < TP_FRAME_HEAD || session->frames_left == 0)) {
        tp_session_fault(session, "a batch with %zu bytes too many", left);
        return false;
    }
    uint32_t word = (uint32_t)tp_get_number(at, 4);
    size_t size = word >> 16;
    ret_head->kind = word & UINT8_MAX;
    ret_head->flags = word >> 8 & UINT8_MAX;
    if (TP_UNLIKELY(ret_head->flags & TP_FRAME_LONG)) {
        bytes = TP_FRAME_HEAD_LONG;
        if (left >= bytes && size == 0)
            size = (size_t)tp_get_number(at + 4, 4);
        else
            size = SIZE_MAX;
    }
    if (TP_UNLIKELY(left < bytes || size > left - bytes)) {
        tp_session_fault(
            session, "a frame of kind %u that is longer than its batch", ret_head->kind);
        return false;
    }
    if (TP_UNLIKELY(ret_head->flags & ~(unsigned)(TP_FRAME_SKIP | TP_FRAME_LONG))) {
        tp_session_fault(session, "a frame of kind %u with flags %#x, which nobody knows",
            ret_head->kind, ret_head->flags);
        return false;
    }
    if (TP_UNLIKELY(size > session->options.max_frame)) {
        tp_session_fault(session,
            "a frame of kind %u with %zu bytes, above the %u that both sides "
            "have agreed on",
            ret_head->kind, size, session->options.max_frame);
        return false;
    }
    ret_head->body = troupe_slice_of(at + bytes, size);
    session->frame_at = at + bytes + size;
    session->frames_left--;
    return true;
}

static bool learn(tp_session *session, troupe_slice body)
{
    tp_wire_name name;
    const char *fault = tp_wire_name_get(body, &name);
    if (fault == NULL) {
        switch (tp_learned_add(&session->learned, name.number, name.type, name.method)) {
        case TROUPE_OK:
            return true;
        case TROUPE_NO_MEMORY:
            fault = "no memory for it";
            break;
        case TROUPE_TOO_LARGE:
            fault = "more names than were agreed on";
            break;
        default:
            fault = "its number is not the next one";
            break;
        }
    }
    tp_session_fault(session, "a NAME frame: %s", fault);
    return false;
}

static bool check_settled(tp_session *session, troupe_slice body)
{
    tp_wire_settled settled;
    tp_wire_range range;
    const char *fault = tp_wire_settled_get(body, &settled);
    while (fault == NULL && tp_wire_settled_next(&settled, &range))
        if (range.first + (range.count - 1) > session->parcels)
            fault = "it settles parcels that were never sent";
        else if (range.count > session->parcels - session->parcels_done)
            fault = "it settles parcels more than once"; /* each takes time: a few bytes say many */
        else
            session->parcels_done += range.count;
    if (fault != NULL)
        tp_session_fault(session, "a SETTLED frame: %s", fault);
    return fault == NULL;
}

static bool answer_ping(tp_session *session, troupe_slice body)
{
    uint64_t stamp;
    const char *fault = tp_wire_stamp_get(body, &stamp);
    if (fault != NULL) {
        tp_session_fault(session, "a PING frame: %s", fault);
        return false;
    }
    char *at;
    if (tp_session_put_loose(session, TP_FRAME_PONG, TP_FRAME_SKIP, TP_WIRE_STAMP_BYTES, &at) ==
        TROUPE_OK)
        tp_wire_stamp_put(at, stamp); /* else who sent so many gets no answer to this one */
    return true;
}

/* What is not a parcel. `ret_shown`: the user is to see it. */
static bool check_frame(tp_session *session, const head *from, bool *ret_shown)
{
    *ret_shown = false;
    if (!tp_frame_is_known(from->kind)) {
        if (from->flags & TP_FRAME_SKIP)
            return true;
        tp_session_fault(
            session, "a frame of kind %u, which this version does not know", from->kind);
        return false;
    }
    if (tp_frame_is_loose(from->kind) != session->in_loose) {
        tp_session_fault(session, "a %s frame %s a number", tp_frame_name(from->kind),
            session->in_loose ? "without" : "with");
        return false;
    }
    switch (from->kind) {
    case TP_FRAME_NAME:
        return learn(session, from->body);
    case TP_FRAME_PING:
        return answer_ping(session, from->body);
    case TP_FRAME_SETTLED:
        *ret_shown = true;
        return check_settled(session, from->body);
    default:
        *ret_shown = true;
        return true;
    }
}

static bool check_parcel(tp_session *session, unsigned kind)
{
    if (TP_UNLIKELY(session->in_loose)) {
        tp_session_fault(session, "a %s frame without a number", tp_frame_name(kind));
        return false;
    }
    if (TP_UNLIKELY(kind == TP_FRAME_REQUEST && session->parcels_in >= session->granted)) {
        tp_session_fault(session, "a REQUEST beyond the %llu that it had credit for",
            (unsigned long long)session->granted);
        return false;
    }
    return true;
}

tp_session_event tp_session_next(tp_session *session, tp_session_frame *ret_frame)
{
    if (TP_UNLIKELY(session->broken))
        return TP_SESSION_BROKEN;
    for (;;) {
        if (TP_UNLIKELY(!session->in_batch)) {
            tp_session_event event = open_input(session);
            if (event != TP_SESSION_FRAME)
                return event;
        }
        if (TP_UNLIKELY(session->frame_at == session->frame_end)) {
            if (!close_input(session))
                return say_broken(session);
            continue;
        }
        head from;
        if (!get_head(session, &from))
            return say_broken(session);
        uint64_t number = session->in_loose ? 0 : session->frame_number++;
        bool is_old = number != 0 && number <= session->received;
        if (TP_UNLIKELY(is_old && !session->options.takes_again)) {
            session->counts.duplicates++;
            continue;
        }
        uint64_t parcel = 0;
        bool shown = true;
        if (TP_LIKELY(tp_frame_is_parcel(from.kind))) {
            if (!check_parcel(session, from.kind))
                return say_broken(session);
            parcel = ++session->parcels_in;
        } else if (!check_frame(session, &from, &shown)) {
            return say_broken(session);
        }
        if (number != 0)
            session->received = number;
        if (!shown)
            continue;
        ret_frame->kind = (uint8_t)from.kind;
        ret_frame->number = number;
        ret_frame->parcel = parcel;
        ret_frame->body = from.body;
        return TP_SESSION_FRAME;
    }
}

void tp_session_break(tp_session *session, const tp_session_frame *frame, const char *fault)
{
    TP_ASSERT(frame->number == 0 || frame->number == session->received);
    if (frame->number != 0)
        session->received--;
    if (frame->parcel != 0)
        session->parcels_in--;
    tp_session_fault(session, "a %s frame: %s", tp_frame_name(frame->kind), fault);
    say_broken(session);
}

/* ---- settling ------------------------------------------------------------------------------- */

static troupe_status add_range(tp_session *session, uint64_t parcel)
{
    if (session->settled_count == TP_SESSION_RANGES) {
        troupe_status status = tp_session_put_settled(session);
        if (status != TROUPE_OK)
            return status;
    }
    session->settled[session->settled_count++] = (tp_wire_range){parcel, 1};
    return TROUPE_OK;
}

troupe_status tp_session_settle(tp_session *session, uint64_t parcel)
{
    TP_DEBUG_ASSERT(parcel != 0 && parcel <= session->parcels_in);
    tp_wire_range *last =
        session->settled_count != 0 ? &session->settled[session->settled_count - 1] : NULL;
    if (TP_LIKELY(
            last != NULL && last->first + last->count == parcel && last->count != UINT32_MAX)) {
        last->count++;
    } else {
        troupe_status status = add_range(session, parcel);
        if (status != TROUPE_OK)
            return status;
    }
    session->parcels_settled++;
    return TROUPE_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a session: options, connections that come and go, and what it gives back.
 *
 * Threads: one owner.
 */
#include "wire/session_inside.h"

#include "base/alloc.h"
#include "base/text.h"

enum {
    WINDOW = 16384,
    BATCH_COUNT = 1024,
    BATCH_BYTES = 16 << 10,
    BATCH_BYTES_SQUEEZED = 64 << 10,
    BATCH_BYTES_LEAST = 1 << 10,
    CHUNK_BYTES = 132 << 10, /* two of 64 KiB, and their heads */
    KEPT_LIMIT = 16 << 20,
    MAX_FRAME_LEAST = 4096,
    MAX_FRAME_MOST = (1 << 30) + (4 << 20), /* the most of max_message, and its parts */
    NAMES = 16384,
    COMPRESS_ABOVE = 1024,
    SETTLE_DELAY = 1000000,
    HURRY_FRAMES = 32,
};

static uint32_t option(uint32_t given, uint32_t otherwise, uint32_t least, uint32_t most)
{
    uint32_t value = given != 0 ? given : otherwise;
    return value < least ? least : value > most ? most : value;
}

tp_session_options tp_session_settle_options(const tp_session_options *given)
{
    tp_session_options set = *given;
    uint32_t bytes = given->codec != TP_CODEC_NONE ? BATCH_BYTES_SQUEEZED : BATCH_BYTES;
    set.window = option(given->window, WINDOW, TP_SESSION_FIRST_WINDOW, UINT32_MAX / 2);
    set.batch_count = option(given->batch_count, BATCH_COUNT, 1, UINT16_MAX);
    set.max_frame =
        option(given->max_frame, TP_SESSION_SURE_FRAME, MAX_FRAME_LEAST, MAX_FRAME_MOST);
    set.batch_bytes = option(given->batch_bytes, bytes, BATCH_BYTES_LEAST,
        set.max_frame < TP_BATCH_RAW_MAX ? set.max_frame : TP_BATCH_RAW_MAX);
    set.chunk_bytes = option(given->chunk_bytes, CHUNK_BYTES, 2 * BATCH_BYTES_LEAST, 1 << 28);
    set.hurry_frames = option(given->hurry_frames, HURRY_FRAMES, 1, UINT16_MAX);
    set.settle_delay = given->settle_delay != 0 ? given->settle_delay : SETTLE_DELAY;
    set.kept_limit = given->kept_limit != 0 ? given->kept_limit : KEPT_LIMIT;
    set.names = option(given->names, NAMES, 1, UINT16_MAX);
    set.compress_above = option(given->compress_above, COMPRESS_ABOVE, 1, UINT32_MAX);
    return set;
}

void tp_session_init(tp_session *session, const tp_session_options *options)
{
    *session = (tp_session){.options = tp_session_settle_options(options),
        .due = UINT64_MAX,
        .parcels_to = TP_SESSION_FIRST_WINDOW,
        .granted = TP_SESSION_FIRST_WINDOW};
    session->batch_count = session->options.batch_count;
    session->batch_bytes = session->options.batch_bytes;
    session->max_send = session->options.max_frame < TP_SESSION_SURE_FRAME
                            ? session->options.max_frame
                            : TP_SESSION_SURE_FRAME;
    session->codec = session->options.codec;
    tp_taught_init(&session->taught, options->allocator, session->options.names);
    tp_learned_init(&session->learned, options->allocator, session->options.names);
    tp_squeezer_init(&session->squeezer, options->allocator, options->level);
}

void tp_session_buffer_release(const tp_session *session, tp_session_buffer *buffer)
{
    tp_release(session->options.allocator, buffer->bytes, buffer->room);
    *buffer = (tp_session_buffer){0};
}

void tp_session_chunk_release(const tp_session *session, tp_session_chunk *chunk)
{
    if (chunk != NULL)
        tp_release(session->options.allocator, chunk, chunk->size);
}

static void release_spares(tp_session *session)
{
    for (tp_session_chunk *chunk = session->spare, *next; chunk != NULL; chunk = next) {
        next = chunk->next;
        tp_session_chunk_release(session, chunk);
    }
    session->spare = NULL;
    session->spares = 0;
}

void tp_session_deinit(tp_session *session)
{
    for (tp_session_chunk *chunk = session->oldest, *next; chunk != NULL; chunk = next) {
        next = chunk->next;
        tp_session_chunk_release(session, chunk);
    }
    release_spares(session);
    session->oldest = session->sending = session->newest = NULL;
    tp_session_buffer_release(session, &session->loose);
    tp_session_buffer_release(session, &session->loose_written);
    tp_session_buffer_release(session, &session->squeezed);
    tp_session_buffer_release(session, &session->in);
    tp_session_buffer_release(session, &session->unsqueezed);
    tp_taught_deinit(&session->taught);
    tp_learned_deinit(&session->learned);
    tp_squeezer_deinit(&session->squeezer);
}

bool tp_session_buffer_reserve(const tp_session *session, tp_session_buffer *buffer, size_t room)
{
    if (room <= buffer->room)
        return true;
    size_t more = buffer->room != 0 ? buffer->room * 2 : 512;
    if (more < room)
        more = room;
    void *bytes = tp_reallocate(session->options.allocator, buffer->bytes, buffer->room, more);
    if (bytes == NULL)
        return false;
    buffer->bytes = bytes;
    buffer->room = more;
    return true;
}

/* ---- connections ---------------------------------------------------------------------------- */

void tp_session_fault(tp_session *session, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    tp_text text;
    tp_text_init(&text, session->reason, sizeof session->reason);
    tp_text_vprintf(&text, format, list);
    va_end(list);
}

troupe_status tp_session_connected(tp_session *session, uint64_t received)
{
    TP_ASSERT(!session->connected && session->writing == TP_WRITING_NOTHING);
    if (received > session->sent_to) {
        tp_session_fault(session,
            "the peer has received frame %llu of this session, but only %llu were sent: it speaks "
            "of another one",
            (unsigned long long)received, (unsigned long long)session->sent_to);
        return TROUPE_CORRUPT;
    }
    /* It may be less than what it said since on another connection: hellos take their time. */
    session->connected = true;
    session->broken = false;
    session->reason[0] = 0;
    session->counts.connections++;
    if (TP_LIKELY(!session->options.sends_once))
        tp_session_send_again(session);
    tp_session_received(session, received);
    return TROUPE_OK;
}

void tp_session_agree(tp_session *session, uint64_t features, uint32_t max_frame)
{
    static const uint64_t wanted[TP_CODECS] = {
        [TP_CODEC_LZ4] = TP_FEATURE_LZ4, [TP_CODEC_ZSTD] = TP_FEATURE_ZSTD};
    uint64_t feature = wanted[session->options.codec];
    session->codec = (features & feature) == feature ? session->options.codec : TP_CODEC_NONE;
    if (max_frame < MAX_FRAME_LEAST)
        max_frame = MAX_FRAME_LEAST;
    session->max_send =
        max_frame < session->options.max_frame ? max_frame : session->options.max_frame;
    if (session->batch_bytes > session->max_send)
        session->batch_bytes = session->max_send;
    session->agreed = true;
}

void tp_session_lost(tp_session *session)
{
    session->connected = session->broken = false;
    session->writing = TP_WRITING_NOTHING;
    session->loose.size = 0;
    /* The next connection begins with what the hello says of receipts, and nothing of credits. */
    session->told_parcels_to = 0;
    session->receipts_since = 0;
    session->due = UINT64_MAX;
    tp_session_drop_input(session);
}

void tp_session_set_view(tp_session *session, uint64_t view)
{
    TP_ASSERT(view >= session->options.view);
    session->options.view = view;
}

bool tp_session_is_idle(const tp_session *session)
{
    return session->kept == 0 && session->writing == TP_WRITING_NOTHING &&
           session->settled_count == 0 && session->loose.size == 0 &&
           session->told_received == session->received &&
           session->parcels_settled == session->parcels_in && tp_session_waiting(session) == 0;
}

void tp_session_trim(tp_session *session)
{
    release_spares(session);
    tp_session_buffer_release(session, &session->squeezed);
    tp_session_buffer_release(session, &session->loose_written);
    tp_session_buffer_release(session, &session->unsqueezed);
    if (tp_session_waiting(session) == 0)
        tp_session_buffer_release(session, &session->in);
    if (session->loose.size == 0)
        tp_session_buffer_release(session, &session->loose);
    if (session->kept == 0 && session->oldest != NULL) {
        tp_session_chunk_release(session, session->oldest);
        session->oldest = session->sending = session->newest = NULL;
        session->oldest_at = session->sending_at = NULL;
    }
}

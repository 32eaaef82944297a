/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session and a peer that says anything. The input is a list of deeds: bytes as they are, or
 * frames under a header that fits them (plain or compressed), or what this side does meanwhile.
 * Seeds: fuzz/corpus/session. libFuzzer calls it.
 *
 * Invariants: a broken session has a reason and goes on over the next connection; numbers never go
 * back; all memory is given back. Threads: one.
 */
#include "wire/session.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DEED_BYTES, DEED_FRAMES, DEED_LOOSE, DEED_LZ4, DEED_ZSTD, DEED_PUT, DEED_TAKE, DEEDS };

static void feed(tp_session *session, troupe_slice bytes)
{
    (void)!tp_session_feed(session, bytes);
}

static void feed_frames(tp_session *session, unsigned deed, uint16_t count, troupe_slice frames)
{
    char header[TP_BATCH_HEADER], squeezed[300];
    tp_batch batch = {.size = (uint32_t)frames.size,
        .raw = (uint32_t)frames.size,
        .count = count,
        .first = deed == DEED_LOOSE ? 0 : session->received + 1,
        .received_to = session->sent_to,
        .parcels_to = 1000,
        .incarnation = 2,
        .view = 1};
    if (deed == DEED_LZ4 || deed == DEED_ZSTD) {
        tp_squeezer squeezer;
        tp_squeezer_init(&squeezer, tp_allocator_system(), 0);
        batch.codec = deed == DEED_LZ4 ? TP_CODEC_LZ4 : TP_CODEC_ZSTD;
        size_t size =
            tp_squeeze(&squeezer, (tp_codec)batch.codec, frames, squeezed, sizeof squeezed);
        tp_squeezer_deinit(&squeezer);
        if (size != 0)
            frames = troupe_slice_of(squeezed, size);
        batch.size = (uint32_t)frames.size;
    }
    tp_batch_put(header, &batch);
    feed(session, troupe_slice_of(header, sizeof header));
    feed(session, frames);
}

static void put(tp_session *session, uint8_t what)
{
    char payload[64] = {0};
    tp_parcel parcel = {.name = 1, .key = troupe_str("k"), .payload = {payload, what % 64}};
    uint64_t number;
    if (what & 64)
        (void)!tp_session_put_parcel(session, TP_FRAME_REQUEST, &parcel, &number);
    else if (session->parcels_settled < session->parcels_in)
        (void)!tp_session_settle(session, session->parcels_settled + 1);
}

static void look_at(tp_session *session)
{
    tp_session_frame frame;
    tp_session_event event;
    uint64_t before = session->received;
    while ((event = tp_session_next(session, &frame)) == TP_SESSION_FRAME) {
        tp_parcel parcel;
        const char *fault = frame.parcel != 0 ? tp_parcel_get(frame.body, &parcel) : NULL;
        if (fault != NULL)
            tp_session_break(session, &frame, fault);
    }
    TP_ASSERT(session->received >= before);
    if (event == TP_SESSION_VIEW)
        tp_session_set_view(session, session->peer_view);
    if (event != TP_SESSION_BROKEN)
        return;
    TP_ASSERT(session->reason[0] != 0);
    tp_session_lost(session);
    TP_ASSERT(tp_session_connected(session, session->received_to) == TROUPE_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tp_session_options options = {.allocator = tp_allocator_system(),
        .incarnation = 1,
        .peer = 2,
        .view = 1,
        .batch_bytes = 1024,
        .chunk_bytes = 4096,
        .max_frame = 4096,
        .names = 8};
    tp_session session;
    tp_session_init(&session, &options);
    TP_ASSERT(tp_session_connected(&session, 0) == TROUPE_OK);
    uint64_t now = 0;
    while (size >= 3) {
        unsigned deed = data[0] % DEEDS;
        uint8_t count = data[1];
        size_t part = data[2] < size - 3 ? data[2] : size - 3;
        troupe_slice bytes = troupe_slice_of(data + 3, part);
        if (deed == DEED_BYTES)
            feed(&session, bytes);
        else if (deed == DEED_PUT)
            put(&session, count);
        else if (deed == DEED_TAKE) {
            troupe_slice taken;
            if (tp_session_take(&session, now += 100000, &taken) && count % 2 == 0)
                tp_session_written(&session);
            else if (session.writing != TP_WRITING_NOTHING)
                tp_session_written(&session);
        } else
            feed_frames(&session, deed, count, bytes);
        look_at(&session);
        data += 3 + part;
        size -= 3 + part;
    }
    tp_session_deinit(&session);
    return 0;
}

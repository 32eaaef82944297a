/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session: what two agent shards of two nodes say to each other, over any number of connections
 * one after the other. Frames in, bytes out; bytes in, frames out. No clock, no sockets, no calls
 * back: transport/ carries the bytes, cluster/ fills and reads the frames. It begins after the
 * hello, and ends when one of the two incarnations is no member any more.
 *
 * Out: a frame is written once, right to where it is sent from: a chunk of batches that is also
 * what is sent again after a lost connection. tp_session_take hands out one run of bytes to write;
 * frames that come while it is being written gather behind it. Chunks are freed when the peer says
 * that it has what is in them. LOOSE frames have a buffer of their own and go first.
 * In: bytes are copied once (or read right in: tp_session_space), frames are slices of them.
 *
 * Invariants
 * 1. Numbered frames arrive in order, each exactly once, whatever is lost, as long as both sessions
 * live. A frame counts as received when tp_session_next has returned it: handle it before the next
 * take. 2. Parcels (REQUEST, ACKED) are counted for themselves: the number that
 * tp_session_put_parcel gives is the one that the receiver sees in tp_session_frame.parcel and
 * settles, once, and that comes back in a SETTLED frame. 3. Only a REQUEST is ever refused with
 * BUSY: when the peer has given no credit, or too much is kept. A receiver gives credit for
 * parcels that it has settled, and none while it keeps more than its own limit, so that what its
 * replies take is bounded by the requests that it let in. 4. What was taken stays in place until
 * tp_session_written or tp_session_lost. 5. Bytes that make no sense break the connection and not
 * the session: `reason` says why, and what came before is received. 6. Numbered frames of a batch
 * whose view is newer than ours are held until tp_session_set_view (the view barrier).
 *
 * Bounded: kept bytes (BUSY), unsettled parcels (BUSY), names (in words), what is fed and not yet
 * taken (BUSY), frames (TOO_LARGE), loose bytes (BUSY).
 * Threads: one owner.
 */
#ifndef TP_WIRE_SESSION_H
#define TP_WIRE_SESSION_H

#include "wire/batch.h"
#include "wire/compress.h"
#include "wire/dictionary.h"
#include "wire/frames.h"

/* What a peer may send before it has heard of credits: no window is smaller. */
#define TP_SESSION_FIRST_WINDOW 256
#define TP_SESSION_RANGES       64
/* The body of a frame that every peer takes. Who takes more says so in its hello. */
#define TP_SESSION_SURE_FRAME   ((uint32_t)16 << 20)

typedef struct tp_session_options {
    const troupe_allocator *allocator;
    uint64_t incarnation, peer; /* one's own, the peer's */
    uint64_t view;              /* one's own */
    /* 0 is the default of each. */
    uint32_t window;              /* parcels of the peer that may be unsettled: 16384 */
    uint32_t batch_count;         /* frames: 1024 */
    uint32_t batch_bytes;         /* 16 KiB; with a codec 64 KiB */
    uint32_t chunk_bytes;         /* of one write at most, unless a frame is larger: 132 KiB */
    uint64_t batch_delay;         /* ns; 0: none */
    uint32_t hurry_frames;        /* put and not sent, with which a carrier does not wait: 32 */
    uint64_t settle_delay;        /* ns that receipts wait for company: 1 ms */
    uint64_t kept_limit;          /* bytes kept for the peer: 16 MiB */
    uint32_t max_frame;           /* body of a frame that is taken: 16 MiB */
    uint32_t names;               /* of each direction: 16384 */
    tp_codec codec;               /* of what is sent; the peer must know it */
    uint32_t compress_above;      /* bytes of a batch: 1024 */
    int level;                    /* of Zstandard */
    bool sends_once, takes_again; /* planted mistakes: nothing is sent again; or taken again */
} tp_session_options;

typedef struct tp_session_counts {
    uint64_t batches_out, batches_in, bytes_out, bytes_in;
    uint64_t raw_out;    /* as bytes_out, before compression */
    uint64_t resent;     /* frames */
    uint64_t duplicates; /* frames dropped */
    uint64_t refused;    /* requests: BUSY */
    uint64_t connections;
} tp_session_counts;

typedef struct tp_session_chunk {
    struct tp_session_chunk *next;
    size_t size;  /* of the whole block */
    char *filled; /* where its last closed batch ends */
} tp_session_chunk;

/* A buffer that grows. */
typedef struct tp_session_buffer {
    char *bytes;
    size_t size, room;
} tp_session_buffer;

typedef enum tp_session_writing {
    TP_WRITING_NOTHING,
    TP_WRITING_FRAMES,
    TP_WRITING_LOOSE
} tp_session_writing;

typedef struct tp_session {
    /* out, at every frame */
    char *at, *full;                  /* of the open batch; both NULL: there is none */
    uint32_t open_count, batch_count; /* frames in it; at most */
    uint64_t number;                  /* of the last frame put */
    uint64_t parcels, parcels_to;     /* put; that may be put */
    uint64_t parcels_done;            /* that the peer has settled */
    uint64_t kept;                    /* bytes put and not received */

    /* out, at every batch */
    char *open_at; /* header of the open batch */
    tp_session_chunk *oldest, *sending, *newest, *spare;
    uint32_t spares;
    char *oldest_at, *sending_at;            /* the first batch kept; to be sent */
    uint64_t sent_to, received_to, freed_to; /* numbers: taken; told by the peer; freed */
    uint32_t batch_bytes, max_send;          /* agreed on */
    tp_codec codec;                          /* likewise */
    uint64_t opened_at;                      /* when take first saw the open batch; 0 */
    uint64_t due;
    tp_session_writing writing;
    bool connected, broken, agreed;          /* agreed: the peer has said what it takes */
    tp_session_buffer loose, loose_written, squeezed;

    /* in */
    tp_session_buffer in; /* size: where the fed bytes end */
    size_t in_begin;      /* where those not yet consumed begin */
    const char *frame_at, *frame_end;
    uint64_t frame_number; /* of the next one */
    uint32_t frames_left;
    bool in_batch, in_loose, in_unsqueezed;
    size_t in_batch_end;
    tp_session_buffer unsqueezed;
    uint64_t received;   /* number of the last frame returned */
    uint64_t parcels_in; /* returned */
    uint64_t parcels_settled;
    uint64_t told_received, told_parcels_to;  /* in the last header sent */
    uint64_t granted;                         /* highest parcels_to ever sent */
    uint64_t told_bytes;                      /* bytes_in at the last header sent */
    uint64_t receipts_since;                  /* when take first saw that there are some; 0 */
    uint64_t peer_view;                       /* the newest view that the peer has shown */
    tp_wire_range settled[TP_SESSION_RANGES]; /* not yet told */
    uint32_t settled_count;

    tp_taught taught;
    tp_learned learned;
    tp_squeezer squeezer;
    tp_session_options options;
    tp_session_counts counts;
    char reason[160];
} tp_session;

/* A frame as it was received. */
typedef struct tp_session_frame {
    uint8_t kind;
    uint64_t number; /* 0: LOOSE */
    uint64_t parcel; /* of a parcel: what is settled; else 0 */
    troupe_slice body;
} tp_session_frame;

typedef enum tp_session_event {
    TP_SESSION_MORE,   /* all that was fed is consumed */
    TP_SESSION_FRAME,  /* here is one */
    TP_SESSION_VIEW,   /* install view `peer_view` first; until then, pause reading */
    TP_SESSION_BROKEN, /* close the connection: `reason` */
} tp_session_event;

/* Options that are 0 are set, those beyond bounds are cut to them. */
tp_session_options tp_session_settle_options(const tp_session_options *given);

/* Takes no memory yet. */
void tp_session_init(tp_session *session, const tp_session_options *options);
void tp_session_deinit(tp_session *session);

/* ---- connections ---- */

/* After a hello in which the peer said that it has received `received` frames of this session, or
 * that it had when it said so. CORRUPT: it cannot have (`reason`); this session is over, and so is
 * its peer. */
TROUPE_CHECK troupe_status tp_session_connected(tp_session *session, uint64_t received);
/* What the peer said in its hello that it takes: TP_FEATURE_, bytes of a frame's body.
 * Before connected; until then larger frames than TP_SESSION_SURE_FRAME are TOO_LARGE. */
void tp_session_agree(tp_session *session, uint64_t features, uint32_t max_frame);
/* The stream holds no more of the bytes it was given. What it brought and next has not returned is
 * dropped: it comes again. */
void tp_session_lost(tp_session *session);

/* What the next batches say. `view` may only rise. */
void tp_session_set_view(tp_session *session, uint64_t view);

/* ---- out ---- */

/* May a REQUEST be put? */
static inline bool tp_session_has_room(const tp_session *session)
{
    return session->parcels < session->parcels_to && session->kept < session->options.kept_limit;
}

/* Of tp_session_reserve. */
TROUPE_CHECK troupe_status tp_session_open_batch(tp_session *session, size_t size);

/* Room for a numbered frame with its head, which must be written there at once. NO_MEMORY;
 * TOO_LARGE. */
TROUPE_CHECK static inline troupe_status tp_session_reserve(
    tp_session *session, size_t body, char **ret_at)
{
    size_t size = tp_frame_size(body);
    if (TP_UNLIKELY(size > (size_t)(session->full - session->at) ||
                    session->open_count == session->batch_count)) {
        troupe_status status = tp_session_open_batch(session, size);
        if (status != TROUPE_OK)
            return status;
    }
    *ret_at = session->at;
    session->at += size;
    session->open_count++;
    session->number++;
    session->kept += size;
    return TROUPE_OK;
}

/* Counts and says BUSY. */
TROUPE_CHECK troupe_status tp_session_refuse(tp_session *session);

/* `kind`: REQUEST, ACKED. BUSY (REQUEST only), NO_MEMORY, TOO_LARGE: nothing was
 * done. */
TROUPE_CHECK static inline troupe_status tp_session_put_parcel(
    tp_session *session, tp_frame_kind kind, const tp_parcel *parcel, uint64_t *ret_number)
{
    if (TP_UNLIKELY(!tp_session_has_room(session)) && kind == TP_FRAME_REQUEST)
        return tp_session_refuse(session);
    size_t size = tp_parcel_size(parcel);
    char *at;
    troupe_status status = tp_session_reserve(session, size, &at);
    if (TP_UNLIKELY(status != TROUPE_OK))
        return status;
    tp_parcel_put(tp_frame_put_head(at, kind, 0, size), parcel);
    *ret_number = ++session->parcels;
    return TROUPE_OK;
}

TROUPE_CHECK troupe_status tp_session_put_reply(tp_session *session, const tp_wire_reply *reply);
/* Any other numbered kind; the number is that of the frame: the peer has it once
 * `session->received_to` has come up to it. */
TROUPE_CHECK troupe_status tp_session_put(tp_session *session, tp_frame_kind kind, unsigned flags,
    size_t size, char **ret_body, uint64_t *ret_number);
/* A LOOSE kind. UNAVAILABLE: not connected; BUSY: TP_BATCH_RAW_MAX bytes of them wait; NO_MEMORY,
 * TOO_LARGE. */
TROUPE_CHECK troupe_status tp_session_put_loose(
    tp_session *session, tp_frame_kind kind, unsigned flags, size_t size, char **ret_body);

/* Of tp_session_name. */
uint16_t tp_session_teach(
    tp_session *session, uint32_t local, troupe_slice type, troupe_slice method);

/* The number of a type and a method of it (or of the type, with no method), which the peer is
 * taught if need be. `local`, not 0, is what the caller calls the pair. 0: say it in words. */
static inline uint16_t tp_session_name(
    tp_session *session, uint32_t local, troupe_slice type, troupe_slice method)
{
    uint16_t number = tp_taught_find(&session->taught, local);
    return TP_LIKELY(number != 0) ? number : tp_session_teach(session, local, type, method);
}

/* What is to be written now; false: nothing, or a write is under way, or there is no connection.
 * Look again at tp_session_due, if nothing happens before. The caller checks its lease between this
 * and the write. */
bool tp_session_take(tp_session *session, uint64_t now, troupe_slice *ret_bytes);
/* All of what was taken is with the system. */
void tp_session_written(tp_session *session);
/* UINT64_MAX: never. */
static inline uint64_t tp_session_due(const tp_session *session)
{
    return session->due;
}

/* ---- in ---- */

/* BUSY: more was fed than next has consumed (pause the stream earlier); NO_MEMORY. Both: close the
 * connection; nothing is lost but time. */
TROUPE_CHECK troupe_status tp_session_feed(tp_session *session, troupe_slice bytes);
/* To read right into the session: at least `wanted` bytes; tp_session_fed says how many came. NULL:
 * as above. */
TROUPE_CHECK char *tp_session_space(tp_session *session, size_t wanted, size_t *ret_room);
void tp_session_fed(tp_session *session, size_t size);
/* Is a batch begun, and not whole yet? Until more is fed, next has nothing. */
bool tp_session_wants_more(const tp_session *session);
/* Bytes fed and not consumed. */
static inline size_t tp_session_waiting(const tp_session *session)
{
    return session->in.size - session->in_begin;
}

/* The frame's body is good until the next call of next, feed, space or lost. SETTLED frames were
 * checked; NAME and PING frames are the session's own. */
TROUPE_CHECK tp_session_event tp_session_next(tp_session *session, tp_session_frame *ret_frame);
/* The body of the frame returned last makes no sense, for the reason given: it was not received.
 * Next says BROKEN. */
void tp_session_break(tp_session *session, const tp_session_frame *frame, const char *fault);
/* NULL: the peer has not taught it. */
static inline tp_learned_name *tp_session_find_name(const tp_session *session, uint16_t number)
{
    return tp_learned_find(&session->learned, number);
}

/* The parcel is in its mailbox, or its next hop has said so, or it was refused: each once.
 * NO_MEMORY: nothing was done; again later. */
TROUPE_CHECK troupe_status tp_session_settle(tp_session *session, uint64_t parcel);

/* ---- */

/* Nothing is kept, unsettled at the peer's, or unsaid: the connection may be closed. */
bool tp_session_is_idle(const tp_session *session);
/* Gives back what an idle session does not need. */
void tp_session_trim(tp_session *session);

#endif

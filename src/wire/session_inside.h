/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the three files of a session share: session.c (its life and connections), session_out.c,
 * session_in.c. Included by nobody else.
 *
 * Threads: as the session.
 */
#ifndef TP_WIRE_SESSION_INSIDE_H
#define TP_WIRE_SESSION_INSIDE_H

#include "wire/session.h"

/* Room for so many bytes in all; false: no memory, and nothing changed. */
TROUPE_CHECK bool tp_session_buffer_reserve(
    const tp_session *session, tp_session_buffer *buffer, size_t room);
void tp_session_buffer_release(const tp_session *session, tp_session_buffer *buffer);
/* NULL is fine. */
void tp_session_chunk_release(const tp_session *session, tp_session_chunk *chunk);

/* Out: the peer has all up to `number`. */
void tp_session_received(tp_session *session, uint64_t number);
/* Out: what is settled and not yet told becomes a frame. */
TROUPE_CHECK troupe_status tp_session_put_settled(tp_session *session);
/* Out: all that is kept is to be sent again. */
void tp_session_send_again(tp_session *session);
/* In: what was fed and not returned is dropped. */
void tp_session_drop_input(tp_session *session);

/* Sets `reason`. */
void tp_session_fault(tp_session *session, const char *format, ...) TROUPE_PRINTF(2, 3);

#endif

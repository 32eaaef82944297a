/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What control runners say to each other by MEMBER frames, which are loose. What a node does not
 * know it passes over.
 */
#ifndef TP_CLUSTER_SAY_H
#define TP_CLUSTER_SAY_H

#include "transport/channels.h"

enum {
    TP_SAY_PROBE = 1,
    TP_SAY_PROBED,
    TP_SAY_VOTE,   /* its target */
    TP_SAY_JOIN,   /* text of a view of the candidate alone */
    TP_SAY_ECHO,   /* a stamp of the sender's */
    TP_SAY_ECHOED, /* the same, back */
};

/* Without room it is lost: all of them are said again. */
static inline void tp_say(tp_channel *channel, unsigned what, troupe_slice body)
{
    const tp_wire_word word = {.what = (uint8_t)what, .body = body};
    char *at;
    if (tp_session_put_loose(
            &channel->session, TP_FRAME_MEMBER, 0, tp_wire_word_size(&word), &at) == TROUPE_OK)
        tp_wire_word_put(at, &word);
}

#endif

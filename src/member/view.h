/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The view: the one document on which the members of a cluster agree. Immutable and counted, so
 * that all shards of a node share it; its text form is JSON, one member a line, as it lies in the
 * store. No lease and no load is in it. Made by member/member.c and by whoever reads one.
 *
 * A member is known by its *incarnation*: a number that the document deals out by counting up, so
 * it is never used again, also when many are admitted by one view. `joined` is the view that
 * admitted it. Several live members may have one name for a while (a restarted node is admitted
 * before its former self is revoked): the greatest incarnation is the one meant.
 *
 * Invariants
 * 1. Nothing in a view changes after it was made, but the count of its references.
 * 2. Members are in ascending order of incarnation, each less than `next_incarnation`.
 * 3. `changes` holds, in order, every change of the views from `since` + 1 to `number`: whoever
 *    knows view `since` or a newer one can follow each. It reaches back TP_VIEW_CHANGES changes, in
 *    whole views; the newest view's are all there, however many.
 * 4. `text` is what was stored: two views of one number are the same if their texts are.
 * 5. A text that decodes gives the same members, changes and settings when it is encoded again.
 *
 * Threads: retain and release any; all else reads.
 */
#ifndef TP_MEMBER_VIEW_H
#define TP_MEMBER_VIEW_H

#include <troupe/membership.h>

enum {
    TP_VIEW_CHANGES = 64,
    TP_VIEW_MEMBERS_MAX = 4096,
    TP_VIEW_TYPES_MAX = 1024, /* of one member */
    TP_VIEW_LABELS_MAX = 64,
    TP_VIEW_NAME_MAX = 128, /* bytes of a name, a label, a type */
    TP_VIEW_ADDRESS_MAX = 256,
    TP_VIEW_SECRET = 16,
};

typedef enum tp_view_status {
    TP_VIEW_ACTIVE = 1,
    TP_VIEW_LEAVING, /* takes no placements, hands over what it has */
    TP_VIEW_EMPTY,   /* has handed over all; the next step is that it is gone */
} tp_view_status;

typedef enum tp_view_what {
    TP_VIEW_JOINED = 1,
    TP_VIEW_BEGAN_LEAVING,
    TP_VIEW_BECAME_EMPTY,
    TP_VIEW_LEFT,    /* by itself, empty */
    TP_VIEW_REVOKED, /* by others: what it had is lost or taken over */
} tp_view_what;

typedef struct tp_view_label {
    troupe_slice name, value;
} tp_view_label;

typedef struct tp_view_member {
    uint64_t incarnation;
    uint64_t joined; /* number of the view that admitted it */
    uint64_t nonce;  /* chosen by its process, by which it finds itself; < 2^63 */
    tp_view_status status;
    uint32_t shards;
    troupe_slice name, address;
    const troupe_slice *types; /* that it hosts */
    size_t type_count;
    const tp_view_label *labels;
    size_t label_count;
} tp_view_member;

typedef struct tp_view_change {
    uint64_t view;
    uint64_t incarnation;
    tp_view_what what;
} tp_view_change;

typedef struct tp_view {
    uint64_t number;
    uint64_t since;
    uint64_t next_incarnation;
    uint64_t ttl; /* ns, whole milliseconds: of every lease of the cluster */
    unsigned char secret[TP_VIEW_SECRET];
    const tp_view_member *members;
    size_t member_count;
    const tp_view_change *changes;
    size_t change_count;
    troupe_slice text;
} tp_view;

/* What one view changes of the one before. */
typedef struct tp_view_step {
    const tp_view_member *joins; /* incarnation, joined and status are dealt out */
    size_t join_count;
    const tp_view_change *changes; /* of members that are there; `view` is dealt out */
    size_t change_count;
} tp_view_step;

/* View 1, of a cluster that begins with these joins. USAGE: a limit; NO_MEMORY. */
TROUPE_CHECK troupe_status tp_view_begin(const troupe_allocator *allocator, uint64_t ttl,
    const unsigned char secret[TP_VIEW_SECRET], const tp_view_step *step, const tp_view **ret_view);
/* View v+1. Changes of members that are not there are left out, and joins whose nonce is there.
 * TOO_LARGE: the text or the number of members; USAGE: a join breaks a limit; NO_MEMORY. */
TROUPE_CHECK troupe_status tp_view_follow(const troupe_allocator *allocator, const tp_view *view,
    const tp_view_step *step, const tp_view **ret_view);
/* The view that `number` and `text` are. CORRUPT: `error` says where and why. NO_MEMORY. */
TROUPE_CHECK troupe_status tp_view_parse(const troupe_allocator *allocator, uint64_t number,
    troupe_slice text, const tp_view **ret_view, char *error, size_t error_size);

const tp_view *tp_view_retain(const tp_view *view);
void tp_view_release(const tp_view *view); /* NULL is a no-op */

/* NULL: not a member. */
const tp_view_member *tp_view_find(const tp_view *view, uint64_t incarnation);
const tp_view_member *tp_view_find_nonce(const tp_view *view, uint64_t nonce);
/* The greatest incarnation of this name. */
const tp_view_member *tp_view_find_name(const tp_view *view, troupe_slice name);
/* Can whoever has view `from` follow each change to this one? */
static inline bool tp_view_can_follow(const tp_view *view, uint64_t from)
{
    return from >= view->since;
}

const char *tp_view_status_name(tp_view_status status);
const char *tp_view_what_name(tp_view_what what);

#endif

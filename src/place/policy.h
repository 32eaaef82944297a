/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Placement: which member is to host an id that has no activation. A choice over a table of
 * members, made by the home when it grants. Not the grant, and not the shard: that is hash(id).
 *
 * Candidates are the members that are active, host the type and meet the policy's selector. Among
 * them:
 *   prefer-local     the own member; else one of those at most twice as far as the nearest
 *   round-robin      one after the other, in the order of the table
 *   random           each as likely
 *   consistent-hash  the first on the ring that is a candidate; where the caller gave no ring, the
 *                    highest of hash(id, member) (rendezvous: Thaler and Ravishankar, 1998)
 *   least-loaded     the less loaded of two at random (Mitzenmacher, "The Power of Two Choices",
 *                    2001) among those with fresh hints; random while fewer than two are fresh
 *   labels           as least-loaded: the selector is what matters
 *   custom           the user's function; if it leaves the choice, the policy `otherwise`
 *
 * How loaded: the more used of processor and memory. Where two differ by less than
 * TP_PLACEMENT_NEAR (noise of what was measured a second ago), the one with fewer actors, counting
 * those placed since its hint, so that a burst between two hints does not pile up on one.
 *
 * Invariants
 * 1. Nothing but a candidate is ever chosen, whatever a custom function answers.
 * 2. Without candidates the result says which condition left none.
 * 3. The same state, question, table and chance give the same choice.
 * Threads: a placer has one owner; tables and policies are only read.
 */
#ifndef TP_PLACE_POLICY_H
#define TP_PLACE_POLICY_H

#include "base/prng.h"
#include "place/labels.h"

#define TP_PLACEMENT_DEFAULT (-1)
#define TP_PLACEMENT_NEAR    50                /* thousandths */
#define TP_PLACEMENT_MAX_AGE TROUPE_SECONDS(5) /* of a hint that counts as fresh */

/* X(NAME, "text") */
#define TP_PLACEMENT_MAP(X)               \
    X(PREFER_LOCAL, "prefer-local")       \
    X(ROUND_ROBIN, "round-robin")         \
    X(RANDOM, "random")                   \
    X(CONSISTENT_HASH, "consistent-hash") \
    X(LEAST_LOADED, "least-loaded")       \
    X(LABELS, "labels")                   \
    X(CUSTOM, "custom")

typedef enum tp_placement_kind {
#define TP_PLACEMENT_KIND(name, text) TP_PLACEMENT_##name,
    TP_PLACEMENT_MAP(TP_PLACEMENT_KIND)
#undef TP_PLACEMENT_KIND
        TP_PLACEMENT_KINDS
} tp_placement_kind;

typedef enum tp_member_status { TP_MEMBER_ACTIVE, TP_MEMBER_LEAVING } tp_member_status;

/* What a member last said of itself. */
typedef struct tp_load {
    uint64_t at;     /* when it came, by the reader's clock; 0: never */
    uint32_t busy;   /* thousandths of its shards' time spent in turns */
    uint32_t memory; /* thousandths of its memory */
    uint64_t actors; /* active ones */
    uint64_t placed; /* by the reader, since `at` */
} tp_load;

typedef struct tp_placement_member {
    uint64_t incarnation;
    uint32_t node;
    tp_member_status status;
    bool is_self;
    const uint64_t *types; /* which it hosts: bit `type` */
    size_t type_words;
    const tp_label *labels; /* sorted */
    size_t label_count;
    tp_load load;
    uint64_t distance; /* ns of a round trip; 0: not known, but to oneself */
} tp_placement_member;

typedef struct tp_placement_ask {
    uint64_t hash;
    uint32_t type;
    troupe_slice type_name, partition, key; /* for custom functions */
    uint64_t now;
    const uint32_t *ring; /* positions in the table, home first (tp_ring_successors) */
    size_t ring_count;
} tp_placement_ask;

typedef struct tp_placement_table {
    const tp_placement_member *members;
    uint32_t count;
    uint32_t *room; /* `count` numbers, for the placer to write */
} tp_placement_table;

/* An index of `candidates` (positions in `members`), or TP_PLACEMENT_DEFAULT. */
typedef int tp_placement_custom(const tp_placement_ask *ask, const tp_placement_member *members,
    const uint32_t *candidates, uint32_t count, void *user);

typedef struct tp_placement_policy {
    tp_placement_kind kind;
    const tp_selector *selector; /* of any kind; NULL: none */
    tp_placement_custom *custom;
    void *user;
    tp_placement_kind otherwise; /* of custom: what it leaves is chosen so; not custom */
    uint64_t max_age;            /* of hints; 0: TP_PLACEMENT_MAX_AGE */
} tp_placement_policy;

/* One per type and shard: what a policy remembers. */
typedef struct tp_placer {
    tp_prng chance;
    uint64_t turn;  /* of round-robin */
    uint64_t wrong; /* answers of custom functions that named no candidate */
} tp_placer;

typedef enum tp_placement_result {
    TP_PLACEMENT_CHOSEN,
    TP_PLACEMENT_NO_HOST,   /* no member hosts the type */
    TP_PLACEMENT_LEAVING,   /* those that do are all leaving */
    TP_PLACEMENT_NO_LABELS, /* none of those that do meets the selector */
} tp_placement_result;

void tp_placer_init(tp_placer *placer, uint64_t seed);

/* CHOSEN: `*ret_position` in the table. */
TROUPE_CHECK tp_placement_result tp_placement_choose(tp_placer *placer,
    const tp_placement_policy *policy, const tp_placement_ask *ask, const tp_placement_table *table,
    uint32_t *ret_position);

/* "least-loaded"; and back. False: no policy is called so. */
const char *tp_placement_name(tp_placement_kind kind);
bool tp_placement_parse(troupe_slice name, tp_placement_kind *ret_kind);

/* One line for a person: why nothing was chosen. */
const char *tp_placement_reason(tp_placement_result result);

/* Does it look at the ring of a question? */
static inline bool tp_placement_uses_ring(const tp_placement_policy *policy)
{
    tp_placement_kind kind = policy->kind == TP_PLACEMENT_CUSTOM ? policy->otherwise : policy->kind;
    return kind == TP_PLACEMENT_CONSISTENT_HASH;
}

static inline bool tp_placement_hosts(const uint64_t *types, size_t words, uint32_t type)
{
    return type / 64 < words && ((types[type / 64] >> (type % 64)) & 1u) != 0;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory machine of one shard of a node: where the ids of that shard are, in all roles that
 * the node has for them: home of their entries, host of their activations, and sender or forwarder
 * of messages to them. Events in, effects out: no clock, no network, no callbacks. src/cluster
 * feeds it and performs its effects; a view brings its ring (ring.h). It is not the cache
 * (cache.h), and it decides neither who is a member nor where an actor is placed.
 *
 * It deals in *letters* (messages for actors, opaque, borrowed from the cluster until an effect
 * hands them back) and *words* (what machines of the same hash say to each other). model/
 * directory.pml is its specification: a rule below that a mutant of the model takes out bears its
 * name; `without` takes the same rule out of the machine, for tests.
 *
 * Invariants
 *  1. GRANT. Only a letter with the home's grant creates an activation. A node that lacks the
 *     activation sends the letter to the home, as a letter without grant.
 *  2. RELEASE_ACK. A release is acknowledged: until then the host holds letters, then sends them to
 *     the home. A home drops an entry upon a release or the eviction of its host only.
 *  3. FLOOR. Who answers a survey for view v refuses the words (grants, GO, BACK) of older views
 * for these hashes by other homes than the surveyor: what the surveyor itself sent came before.
 *  4. ALL_ANSWERS. An id in a surveyed range is settled when every member answered or is gone.
 *  5. HOMES_WORD. The source of a migration runs its copy again only by the home's BACK.
 *  6. SWITCH_FIRST. Its target runs nothing before the home's GO: the home's switch decides.
 *  7. SENDER_PATH. Per origin (node that a letter began at) letters go one way: while an older
 *     letter of that origin is unsettled along one way, newer ones take the same way or wait, also
 *     for the mailbox here. A letter that comes back ends its way and goes before newer ones.
 *  8. FORWARD_PATH. The same for whoever passes letters on. The order is the origin's (`order`),
 *     not the arrival's: so no two nodes can wait for each other.
 *  9. VIEW_CHECK. Letters and words of nodes that the view lacks are refused, and letters of theirs
 *     that are still held are refused: their origins were told LOST, and go on by other ways.
 * 10. REPEAT. A host repeats each open request (release, switch, take-back, RUNNING) to the home
 *     after each view, and now and then. A home that is not settled keeps requests until it is.
 * 11. ACKED_WORD. An entry is handed over when its host is known to have had the home's last word
 *     (grant, GO, BACK): the letter with the grant was settled, or the host answered a SYNC sent
 *     behind it on the same link.
 * 12. SOURCE_WAITS. A survey takes a source's copy only while its target is in the view.
 * 13. NEW_NUMBER. And then under a new number, so that a late switch of the old one fails.
 * 14. RUNNING_ACK. An activation that came by migration neither leaves nor moves before its source
 *     knows that it runs.
 * 15. PREV. An entry is handed over with the number that it was switched or taken back from, so
 * that the new home does not tell the source of it that its copy is of no use.
 * 16. A letter is settled to who sent it here when it is in the mailbox, or when the next hop said
 *     so. One that came by several ways is settled along all of them. Held letters are not settled.
 * 17. A range is settled, or in exactly one task (a claim of the former home, or a survey). A view
 *     turns what is not settled into a survey. Entries count if their range is settled or they were
 *     written in this view; a task ends after the sweep that drops entries of former times.
 * 18. Numbers of grants rise: view, then count. One record per id, as long as it says something.
 * 19. `hops` of a letter only rise. Past TP_DIRECTORY_HOPS it pauses at the home before each try.
 * What went through a node that is gone is not taken (trail.c).
 * 20. Held letters are bounded per id and in all: BUSY beyond, counted. What is done per call is
 *     bounded but for the ends of effects; tp_directory_work does the rest.
 * 21. NO_MEMORY from an event: nothing was done that feeding it again would not do; feed it again.
 * 22. A letter of a request may be refused for want of memory; one that arrived is kept, before all
 *     that comes later from anywhere, since it may carry a grant.
 *
 * Contract of the performer
 *  a. It drains tp_directory_effect_take after each event, in order, before the next; and calls
 *     tp_directory_work until it is false, at its leisure, after events and views.
 *  b. Between the same two ends (node, shard) letters and words keep their order.
 *  c. It asks the machine for each request whose activation is not here or is *guarded*, and for
 *     each letter with a grant; while tp_directory_is_starving, for each letter that arrives. All
 *     others are for the mailbox, and it settles them.
 *  d. It installs view after view; who skips one treats its ranges as crashed. A view's memory
 *     stays valid until the install after the next one has returned. A node that joins at v
 *     installs v-1 (if it can) before v; a node whose first view is number 1 founds the cluster.
 * Threads: one owner.
 */
#ifndef TP_DIRECTORY_DIRECTORY_H
#define TP_DIRECTORY_DIRECTORY_H

#include "base/list.h"
#include "base/pool.h"
#include "directory/ring.h"

#define TP_DIRECTORY_HOPS       8    /* then a letter pauses at the home */
#define TP_DIRECTORY_HOPS_MAX   64   /* then it is refused */
#define TP_DIRECTORY_TRAIL      8    /* nodes that it goes through; then it is refused */
#define TP_DIRECTORY_SLICE_MAX  4096 /* entries of a page */
#define TP_DIRECTORY_VIEW_SHIFT 36   /* number of a grant: view, then count */

/* ---- views ---- */

typedef struct tp_directory_member {
    uint64_t node; /* its incarnation, not 0 */
    uint32_t shards;
} tp_directory_member;

typedef struct tp_directory_view {
    uint64_t number;
    const tp_directory_member *members; /* by rising node */
    uint32_t member_count;
    const tp_ring *ring; /* of some members, at least one; their `node` is the index in members */
} tp_directory_view;

/* The index in members of the home of that hash, and of the node of that incarnation. */
static inline uint32_t tp_directory_home(const tp_directory_view *view, uint64_t hash)
{
    return tp_ring_home(view->ring, hash)->node;
}
#define TP_DIRECTORY_NOBODY UINT32_MAX
uint32_t tp_directory_find_member(const tp_directory_view *view, uint64_t node);

/* ---- ids, letters, words ---- */

typedef struct tp_directory_id {
    uint64_t hash; /* the same on all nodes */
    uint32_t type; /* a number of this node's */
    troupe_slice partition, key;
} tp_directory_id;

typedef struct tp_grant {
    uint64_t number; /* 0: no grant */
    uint64_t home;   /* incarnation */
} tp_grant;

/* Positions on the ring (tp_ring_position of hashes), both included. */
typedef struct tp_span {
    uint64_t first, last;
} tp_span;

/* What a host has of an id. */
typedef enum tp_directory_state {
    TP_DIRECTORY_ABSENT,
    TP_DIRECTORY_ACTIVE,
    TP_DIRECTORY_LEAVING,   /* released, not yet acknowledged */
    TP_DIRECTORY_CAPTURING, /* active, to be moved: admits nothing more */
    TP_DIRECTORY_SOURCE,    /* its copy is at the target */
    TP_DIRECTORY_TARGET     /* a copy that does not run yet */
} tp_directory_state;

/* X(name): what one machine says to another. */
#define TP_DIRECTORY_WORD_MAP(X)                                                               \
    X(RELEASE)  /* host: number ended here */                                                  \
    X(RELEASED) /* home: I know */                                                             \
    X(SWITCH)   /* target: the copy of number is here */                                       \
    X(GO)       /* home: number is now `other` and yours: run it */                            \
    X(VOIDED)   /* home: drop the copy of number */                                            \
    X(TAKE)     /* source: I want number back */                                               \
    X(BACK)     /* home: number is now `other` and yours again */                              \
    X(GONE)     /* home: drop the copy of number */                                            \
    X(RUNNING)  /* target: what was number runs here */                                        \
    X(RAN)      /* source: I know */                                                           \
    X(SYNC)     /* former home: answer, so that I know you had what I sent before. number: a   \
                   round of tp_directory_sound, or 0 */                                        \
    X(SYNCED)   /* number: the view of that SYNC; other: its number */                         \
    X(CLAIM)    /* new home: hand over your entries in `spans` */                              \
    X(SLICE)    /* former home: `items`; below `other` (tp_record_order) all are done; `spans` \
                   unknown */                                                                  \
    X(WANT)     /* new home: that hash first */                                                \
    X(ONE)      /* former home: `items` are all of that hash */                                \
    X(SURVEY)   /* new home: what have you in `spans`? */                                      \
    X(ANSWER)   /* `items` */                                                                  \
    X(MORE)     /* the next page: of SLICE (number 0) or ANSWER (number of the survey) */      \
    X(AT)       /* home to origin: the activation of that hash is at node `other` */           \
    X(COPY)     /* home to a replica: `items` has one entry; host 0: it is no more */          \
    X(QUERY)    /* where is the id of items[0]? number: the asker's token */                   \
    X(FOUND)    /* items[0]; state: ABSENT, ACTIVE; other: 1 if the home is settled */

typedef enum tp_directory_word_kind {
#define TP_DIRECTORY_WORD_CONSTANT(name) TP_WORD_##name,
    TP_DIRECTORY_WORD_MAP(TP_DIRECTORY_WORD_CONSTANT)
#undef TP_DIRECTORY_WORD_CONSTANT
        TP_WORD_COUNT
} tp_directory_word_kind;

enum { TP_DIRECTORY_NAME_MAX = TP_KEY_MAX + TP_NAME_MAX };

/* The same id, with its texts at `name`: for what outlives those that it borrows from. */
static inline tp_directory_id tp_directory_id_keep(char *name, const tp_directory_id *id)
{
    tp_directory_id kept = *id;
    kept.key.data = name;
    kept.partition.data = name + id->key.size;
    memcpy(name, id->key.data, id->key.size);
    if (id->partition.size != 0)
        memcpy(name + id->key.size, id->partition.data, id->partition.size);
    return kept;
}

typedef struct tp_directory_item {
    tp_directory_id id;
    uint64_t host;   /* SLICE, ONE, COPY, FOUND: 0 none */
    uint64_t number; /* of its grant */
    uint64_t prev;   /* SLICE, ONE: the number it was switched or taken back from, or 0 */
    uint64_t peer;   /* ANSWER: the other end of a migration */
    uint32_t state;  /* ANSWER, FOUND: tp_directory_state */
    uint32_t activations;
} tp_directory_item;

typedef struct tp_directory_word {
    uint32_t kind;
    uint32_t item_count;
    uint32_t span_count;
    bool last;     /* SLICE, ANSWER: there are no more pages */
    uint64_t view; /* of its sender */
    uint64_t hash;
    uint64_t number;
    uint64_t other;
    const tp_directory_item *items;
    const tp_span *spans;
} tp_directory_word;

/* ---- effects ---- */

/* X(name): what the performer does. */
#define TP_DIRECTORY_EFFECT_MAP(X)                                                                 \
    X(DELIVER) /* letter: into the mailbox; `create`: first create the activation under `number`.  \
                * Then settle it, if its `from` is not 0. `guarded`: all later requests for it     \
                * here are the machine's until UNGUARD */                                          \
    X(FORWARD) /* letter: send it to node, shard; its `grant` with it; note `number`: the ticket   \
                */                                                                                 \
    X(REFUSE)  /* letter: tell its origin `status`, and settle it if its `from` is not 0 */        \
    X(DISCARD) /* letter: drop it, its sender is no member */                                      \
    X(SETTLE) /* tell node, shard that its letter `number` is settled; `lost`: or its way broke */ \
    X(LOST)   /* the way of a letter of this node broke: `token`; it may have run */               \
    X(WORD)   /* send word to node, shard */                                                       \
    X(PLACE)  /* choose a node for id: tp_directory_placed. node: the origin of its letter */      \
    X(UNGUARD) /* requests for id may go to the mailbox again */                                   \
    X(CAPTURE) /* guard id, end its turns, capture it: tp_directory_captured */                    \
    X(INSTALL) /* send the captured copy of id to node, shard as `number` */                       \
    X(RESUME) /* a copy (captured or installed) of id runs here now, guarded; its mailbox first */ \
    X(DROP)   /* drop the copy of id */                                                            \
    X(LEARNED) /* id is at node: for the cache */                                                  \
    X(FOUND)   /* answer of a look-up `token`: id, node (0 none), status UNAVAILABLE: unsettled */ \
    X(TARDY)   /* node owes an answer for long: put it to the vote */

typedef enum tp_directory_effect_kind {
#define TP_DIRECTORY_EFFECT_CONSTANT(name) TP_DIRECTORY_##name,
    TP_DIRECTORY_EFFECT_MAP(TP_DIRECTORY_EFFECT_CONSTANT)
#undef TP_DIRECTORY_EFFECT_CONSTANT
        TP_DIRECTORY_EFFECTS
} tp_directory_effect_kind;

typedef struct tp_letter tp_letter;

typedef struct tp_directory_effect {
    uint8_t kind;
    bool create, guarded, lost;
    uint32_t shard;
    troupe_status status;
    uint64_t node;
    uint64_t number;
    uint64_t token;
    tp_letter *letter;  /* DELIVER, FORWARD, REFUSE, DISCARD: the performer's again */
    tp_directory_id id; /* borrowed until the next call */
    tp_directory_word word;
} tp_directory_effect;

enum {
    TP_LETTER_ACTIVE = 1, /* only if it is active: NOT_FOUND else */
    TP_LETTER_WAITS = 2,  /* it was accepted, and nobody hears if it is refused: the limits of what
                             is held are not for it. Does not travel */
};

struct tp_way;

/* The machine's: what stands among the effects. */
typedef struct tp_directory_queued {
    tp_fifo_node next;
    uint8_t memory, effect;
} tp_directory_queued;

/* The machine's: a letter that this node began, held or on its way. */
typedef struct tp_directory_open {
    tp_link link;
    uint64_t order;
} tp_directory_open;

/* The nodes that a letter went through, each once, without the one that it began at and the one
 * that sent it here. */
typedef struct tp_directory_trail {
    uint64_t nodes[TP_DIRECTORY_TRAIL];
    uint8_t count;
} tp_directory_trail;

/* Filled in by the caller up to `machine`; whole zero before. It must not move. */
struct tp_letter {
    tp_directory_id id; /* borrowed until the letter is handed back */
    uint64_t from;      /* who sent it here; 0: this node began it */
    uint64_t number;    /* under which it is settled to `from`: opaque here */
    uint64_t origin;    /* the node that it began at, and its number there: they travel with it. */
    uint64_t order;     /*   For a request of this node the machine sets them */
    tp_grant grant;     /* travels with it */
    uint64_t hint;      /* a request of this node: the host as the cache has it, or 0 */
    uint64_t deadline;  /* ns as in tp_directory_tick; UINT64_MAX none */
    uint64_t token;     /* given back by LOST */
    uint32_t bytes;     /* that it holds, for the limit */
    uint8_t hops;       /* travels with it */
    uint8_t flags;      /* TP_LETTER_; ACTIVE travels with it */
    tp_directory_trail trail; /* travels with it */

    /* machine */
    tp_link link;            /* held in its lane */
    tp_directory_open open;  /* of this node's own: by order, until settled */
    struct tp_way *upstream; /* former ways to here that are to be settled with it */
    uint64_t pause;
    tp_directory_queued queued;
    bool create, guarded;
    uint32_t shard;
    troupe_status status;
    uint64_t node;
    uint64_t ticket;
};

/* ---- the machine ---- */

typedef struct tp_directory_options {
    uint64_t self;           /* incarnation */
    uint32_t shard, shards;  /* of this node */
    uint32_t held_id_max;    /* letters held of one id; 0: 1,024 */
    uint32_t held_max;       /* letters held; half of it for ids that hold some; 0: 131,072 */
    uint64_t held_bytes_max; /* likewise; 0: 128 MiB */
    uint32_t slice;          /* items of a page; 0: TP_DIRECTORY_SLICE_MAX */
    uint32_t replicas;       /* nodes after the home that keep a copy of each entry; 8 at most */
    uint64_t repeat;         /* ns between repeats of open requests; 0: 1 s */
    uint64_t move_patience;  /* ns until a source takes back; 0: 5 s */
    uint64_t tardy;          /* ns until a member that owes an answer is TARDY; 0: 5 s */
    uint64_t entries_max;    /* ids known; 0: no limit */
} tp_directory_options;

/* Rules that can be taken out, for tests: bits of `without`. */
#define TP_DIRECTORY_RULE_MAP(X) \
    X(GRANT)                     \
    X(RELEASE_ACK)               \
    X(FLOOR)                     \
    X(ALL_ANSWERS)               \
    X(HOMES_WORD)                \
    X(SWITCH_FIRST)              \
    X(SENDER_PATH)               \
    X(FORWARD_PATH)              \
    X(VIEW_CHECK)                \
    X(REPEAT)                    \
    X(ACKED_WORD)                \
    X(SOURCE_WAITS)              \
    X(NEW_NUMBER)                \
    X(RUNNING_ACK)               \
    X(PREV)

typedef enum tp_directory_rule {
#define TP_DIRECTORY_RULE_CONSTANT(name) TP_RULE_##name,
    TP_DIRECTORY_RULE_MAP(TP_DIRECTORY_RULE_CONSTANT)
#undef TP_DIRECTORY_RULE_CONSTANT
        TP_RULE_COUNT
} tp_directory_rule;

typedef struct tp_directory_figures {
    uint64_t records, entries, activations; /* ids known, at home here, active here */
    uint64_t held, held_bytes, ways;        /* letters held; letters passed on, not settled */
    uint64_t grants, forwards, returns, refusals, busy, lost;
    uint64_t surveys, claims, pages, tasks; /* tasks: now */
    uint64_t copies;                        /* of entries of other homes, here */
    uint64_t starved;                       /* letters that wait for memory */
} tp_directory_figures;

typedef struct tp_directory tp_directory;

/* NO_MEMORY. The pool is the shard's; the allocator serves the index. */
TROUPE_CHECK troupe_status tp_directory_create(const tp_directory_options *options, tp_pool *pool,
    const troupe_allocator *allocator, tp_directory **ret_directory);
/* Letters it holds are handed to `drop`, which may be NULL if there are none. */
void tp_directory_destroy(
    tp_directory *directory, void (*drop)(void *user, tp_letter *letter), void *user);

/* The next effect, or NULL: valid until the next call of any function of the machine. */
const tp_directory_effect *tp_directory_effect_take(tp_directory *directory);

/* ---- letters ---- */

/* Takes it. A sender here wants it delivered; its activation is not here, or guarded. */
void tp_directory_request(tp_directory *directory, tp_letter *letter);
/* What FORWARD says, for a request that needs no letter: it is to be sent at once, with one hop. */
typedef struct tp_directory_course {
    uint64_t ticket, order, node;
    uint32_t shard;
} tp_directory_course;
/* True: the request goes the way of those before it, of which some are not settled. False: make a
 * letter, as nothing was done. Now and then it is false so that the way is chosen anew. */
TROUPE_CHECK bool tp_directory_follow(tp_directory *directory, const tp_directory_id *id,
    uint64_t token, tp_directory_course *ret_course);
/* Takes it. It came by a link. */
void tp_directory_arrived(tp_directory *directory, tp_letter *letter);
/* A letter went to the mailbox without the machine (contract c) after more than one hop: its sender
 * may have been sent astray by its cache. */
void tp_directory_detoured(tp_directory *directory, uint64_t hash, uint64_t origin, uint32_t hops);
/* Letters that arrived wait for memory: rather read no links. */
bool tp_directory_is_starving(const tp_directory *directory);
/* The letter of that ticket is settled by its next hop; `lost`: or its way broke further on.
 * Tickets not known are passed over. */
void tp_directory_settled(tp_directory *directory, uint64_t ticket, bool lost);
/* The letter of that ticket never left, and was refused: the grant that it had names nothing, and
 * its entry goes, or nobody would ever be made at that host. */
void tp_directory_unsent(tp_directory *directory, uint64_t ticket);
/* For PLACE: node 0: there is none, its letters are refused with `status`. */
void tp_directory_placed(
    tp_directory *directory, const tp_directory_id *id, uint64_t node, troupe_status status);

/* ---- activations ---- */

/* The activation of id ended (idle, failed to start, deleted): it is no longer in the table. */
TROUPE_CHECK troupe_status tp_directory_release(tp_directory *directory, const tp_directory_id *id);
/* Moves an activation to a member. BUSY: not now (it moves, or must not leave yet); NOT_FOUND:
 * it is not active here; UNAVAILABLE: no such member. */
TROUPE_CHECK troupe_status tp_directory_move(
    tp_directory *directory, const tp_directory_id *id, uint64_t to);
/* For CAPTURE. !done: it goes on as it was, guarded until UNGUARD. */
TROUPE_CHECK troupe_status tp_directory_captured(
    tp_directory *directory, const tp_directory_id *id, bool done);
/* A copy came by an INSTALL of `from`, and is kept by the performer until RESUME or DROP. */
TROUPE_CHECK troupe_status tp_directory_installed(
    tp_directory *directory, const tp_directory_id *id, uint64_t from, uint64_t number);

/* ---- words, views, time ---- */

/* `word` of node `from`, its shard `shard`; borrowed. The caller has installed word->view, and has
 * seen that its spans are in order and apart. */
TROUPE_CHECK troupe_status tp_directory_word_came(
    tp_directory *directory, uint64_t from, uint32_t shard, const tp_directory_word *word);
/* NO_MEMORY: still at the former view. USAGE: it is not newer. A node that the view lacks refuses
 * what it holds. */
TROUPE_CHECK troupe_status tp_directory_install(
    tp_directory *directory, const tp_directory_view *view);
/* Does some of what waits to be done; false: there is nothing more now. */
bool tp_directory_work(tp_directory *directory);
/* `now` in ns, rising: deadlines, repeats, pauses. Call at least some times a second. */
void tp_directory_tick(tp_directory *directory, uint64_t now);

/* ---- questions ---- */

typedef struct tp_directory_place {
    uint64_t host; /* 0 none */
    uint64_t number;
    uint32_t activations;
    bool settled; /* false: it may be elsewhere, nobody knows yet */
    bool strong;  /* this node is the home */
} tp_directory_place;

/* What is known here. Not for calls to rest on. */
tp_directory_place tp_directory_look(tp_directory *directory, const tp_directory_id *id);
/* Where what goes after a message for that hash is to go next: the host, if this node is that or
 * the home; else the home. 0: nobody knows. A hint. */
uint64_t tp_directory_seek(const tp_directory *directory, uint64_t hash);
/* Asks the home; FOUND with `token` comes now or later, or never if the home goes: ask again. */
TROUPE_CHECK troupe_status tp_directory_lookup(
    tp_directory *directory, const tp_directory_id *id, uint64_t token);
/* Active ids at home here, of one type (UINT32_MAX: any), in the machine's own order of hashes: up
 * to `limit` for which `matches` (may be NULL) holds are given to `see`. The cursor begins as 0 and
 * is 0 again at the end. False: some range is not settled: what is there may be missing. */
bool tp_directory_page(tp_directory *directory, uint32_t type, uint64_t *cursor, uint32_t limit,
    bool (*matches)(void *user, const tp_directory_id *id),
    void (*see)(void *user, const tp_directory_item *item), void *user);
/* The state of an id as its host. */
tp_directory_state tp_directory_state_of(tp_directory *directory, const tp_directory_id *id);
/* All letters that this node began up to now: are those up to an earlier mark settled? What a
 * sender waits for before it moves away. */
uint64_t tp_directory_mark(const tp_directory *directory);
bool tp_directory_reached(const tp_directory *directory, uint64_t mark);
/* Asks all shards that speak to this one for a sign of life in that round (1, 2, …); true: all have
 * answered, and so have had what was sent to them before, and know this view. Until then it is
 * called again. For who leaves: if no letter came during a round that began when nothing was open
 * here, none will come any more. */
bool tp_directory_sound(tp_directory *directory, uint64_t round);

/* Letters held, and whether there are effects to take. */
uint64_t tp_directory_held(const tp_directory *directory);
/* Half of the room for letters of ids whose letters go no further is taken: whoever begins some
 * that are not refused had better wait. */
bool tp_directory_is_filling(const tp_directory *directory);
/* Of one id. */
uint32_t tp_directory_held_of(tp_directory *directory, const tp_directory_id *id);
bool tp_directory_has_effects(const tp_directory *directory);
void tp_directory_figures_get(const tp_directory *directory, tp_directory_figures *ret_figures);
/* Of the tables; records and letters are in the pool. */
size_t tp_directory_index_bytes(const tp_directory *directory);
/* Tests only: bits of rules to leave out. */
void tp_directory_set_without(tp_directory *directory, uint32_t rules);

#endif

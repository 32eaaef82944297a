/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the directory machine share: its state and the functions between them. Not for
 * anybody else; directory.h is the face.
 *
 *   directory.c  create, destroy, records, effects, questions
 *   flow.c       letters: lanes, ways, grants, settling
 *   tickets.c    numbers of ways
 *   trail.c      the nodes that a letter went through
 *   words.c      words between host and home: release, switch, take-back
 *   moves.c      migration as seen by the host
 *   views.c      views: what is gained, lost, unsettled; sweeps; work
 *   tasks.c      claims and surveys at the new home
 *   jobs.c       their answers: pages of entries and activations
 *
 * A record is what is known of an id; what is rare (letters held, ways, open requests) stands
 * aside.
 *
 * Invariants and threads: see directory.h.
 */
#ifndef TP_DIRECTORY_INSIDE_H
#define TP_DIRECTORY_INSIDE_H

#include "base/index.h"
#include "directory/directory.h"
#include "directory/spans.h"
#include "directory/tickets.h"

enum {
    RECORD_WORD = 1,   /* as home: the host is not known to have had the last word */
    RECORD_COPY = 2,   /* host and grant are a replica's: a hint */
    RECORD_SURE = 4,   /* settled by itself in the view of `stamp` */
    RECORD_FOUND = 8,  /* a survey found a source: `prev` is what it had */
    RECORD_CREATE = 16 /* as host: active, but no letter was delivered yet */
};

enum { REPLICAS_MAX = 8 };

typedef struct tp_record {
    uint64_t hash;
    uint64_t host, grant, prev; /* as home: the entry; prev: switched or taken back from */
    uint64_t number;            /* as host: of the activation or its copy */
    struct tp_aside *aside;
    uint32_t type;
    uint32_t activations;
    uint32_t stamp; /* the view in which the entry was written, its low bits */
    uint16_t key_size;
    uint16_t pins; /* effects that borrow the text */
    uint8_t partition_size;
    uint8_t state; /* tp_directory_state */
    uint8_t flags;
    char text[]; /* partition, key */
} tp_record;

/* A letter that was passed on and is not settled; or a former way of one that came back. */
typedef struct tp_way {
    tp_link link;           /* in its lane, by order */
    tp_link peer;           /* of the ways to that node */
    tp_directory_open open; /* of this node's own, as the letter's */
    tp_record *record;
    struct tp_lane *lane;
    struct tp_way *upstream;
    uint64_t ticket, order, node;
    uint64_t from, number; /* whom it is settled to; 0: this node began it */
    uint64_t token;
    uint64_t hash;
    tp_directory_queued queued;
    uint64_t granted; /* number of the grant with it, or 0 */
    bool lost;
} tp_way;

typedef struct tp_lane {
    struct tp_lane *next;
    uint64_t origin;
    tp_list held;     /* letters */
    tp_list passed;   /* ways */
    uint64_t uniform; /* all ways lead to that node, */
    bool mixed;       /*   if not mixed */
} tp_lane;

/* A request of a host that waits for the entry to settle. */
typedef struct tp_plea {
    struct tp_plea *next;
    uint64_t from, number;
    uint32_t kind;
} tp_plea;

typedef struct tp_aside {
    tp_link open;    /* among those with open requests, or not */
    tp_link waiting; /* among those with letters held or pleas, or not */
    tp_record *record;
    tp_plea *pleas;
    uint64_t place;     /* the node chosen for a grant, or 0 */
    uint64_t peer;      /* the other end of a migration */
    uint64_t ran;       /* RUNNING of that number is not acknowledged; 0: none */
    uint64_t repeat_at; /* of the open request */
    uint32_t held;
    uint32_t wanted; /* of the former home, in that view */
    bool placing, guarded;
    bool asked; /* the source has asked for its copy back */
    tp_lane *lanes;
    tp_lane first;
    /* The way of the last request of this node (in `first`), which those after it may take: so many
     * more, in that view, as long as the entry says the same. 0: none. */
    uint32_t follow;
    uint64_t follow_view, follow_host;
    struct tp_peer *follow_peer; /* of that view */
} tp_aside;

typedef struct tp_end {
    uint64_t sync_asked, heard;  /* views: of the last SYNC to it, of its last word */
    uint64_t round, round_heard; /* of tp_directory_sound: asked, answered */
} tp_end;

typedef struct tp_peer {
    uint64_t node;
    uint32_t shards;
    tp_list ways;
    tp_end ends[];
} tp_peer;

/* Of a task: a shard of a member that has to answer. */
typedef struct tp_debt {
    uint64_t node;
    uint64_t covered; /* claim: what is below in tp_record_order is settled */
    uint32_t shard;
    bool asked, done;
} tp_debt;

typedef struct tp_task {
    tp_link link;
    bool survey;
    uint64_t number; /* of the survey; 0: claim */
    uint64_t node;   /* claim: the former home */
    uint64_t tardy_at;
    tp_spans spans;
    uint32_t left, count, room;
    tp_debt *debts;
} tp_task;

/* An answer in pages. */
typedef struct tp_job {
    tp_link link;
    bool survey;
    bool waits;      /* for MORE */
    uint64_t number; /* of the survey */
    uint64_t node;
    uint32_t shard, shards;
    uint64_t cursor;
    tp_spans spans;
    tp_spans unknown; /* claim: what cannot be handed over; said once */
} tp_job;

typedef struct tp_floor {
    tp_link link;
    uint64_t view, home;
    tp_spans spans;
} tp_floor;

enum { MEMORY_LETTER, MEMORY_WAY, MEMORY_NOTE };

typedef struct tp_note {
    tp_directory_queued queued;
    tp_record *record; /* pinned */
    void *page;
    tp_directory_effect body;
} tp_note;

struct tp_directory {
    tp_directory_options options;
    tp_pool *pool;
    const troupe_allocator *allocator;
    uint32_t without;
    bool member; /* this node is one in `view` */
    uint64_t now;

    tp_index records;
    tp_tickets tickets; /* of ways */
    uint64_t order, count, surveys;
    tp_list own; /* letters and ways of this node's own, by order */

    const tp_directory_view *view;
    tp_peer **peers; /* as view->members */
    uint32_t self;   /* index in members */

    tp_list open, waiting;             /* asides */
    tp_list open_again, waiting_again; /* those of them that work is to look at */
    tp_list doomed;                    /* ways to nodes that are gone */
    tp_list starved;                   /* letters that found no memory */
    tp_list tasks, jobs, floors;
    tp_spans departed; /* was settled here in the former view */
    bool sweeping;
    bool sure; /* some record is settled by itself: a sweep is due when the tasks are done */
    uint64_t sweep;
    uint64_t next_tick;

    tp_fifo out;  /* effects: letters, ways, notes, by `queued` */
    tp_fifo loop; /* notes: words of this node to itself */
    tp_fifo spare;
    uint32_t spares;
    bool looping;
    tp_note *current_note;
    tp_way *current_way;
    tp_directory_effect current;
    void **scratch;
    tp_directory_figures figures;
};

#define HOLDS(directory, rule) TP_LIKELY(!((directory)->without >> TP_RULE_##rule & 1))

/* Under what records stand in their index. Not the hash itself: what is at home here lies in a few
 * arcs of the ring, and an arc is a run of buckets by the hash: they would overflow. */
static inline uint64_t tp_record_key(uint64_t hash)
{
    return hash << 32 | hash >> 32;
}

/* The order in which claims are covered, surveys answered, pages shown. */
static inline uint64_t tp_record_order(uint64_t hash)
{
    return tp_index_mix(tp_record_key(hash));
}

static inline uint32_t tp_directory_shard_of(uint64_t hash, uint32_t shards)
{
    return (uint32_t)(((hash & UINT32_MAX) * shards) >> 32);
}

/* ---- directory.c ---- */

/* Room for what one event may say; every event begins with it. False: no memory. */
TROUPE_CHECK bool tp_directory_reserve(tp_directory *directory);
tp_record *tp_directory_find(tp_directory *directory, const tp_directory_id *id);
TROUPE_CHECK tp_record *tp_directory_obtain(tp_directory *directory, const tp_directory_id *id);
TROUPE_CHECK tp_aside *tp_directory_aside(tp_directory *directory, tp_record *record);
/* Gives back what says nothing. The record may be gone then. */
void tp_directory_tidy(tp_directory *directory, tp_record *record);
tp_directory_id tp_record_id(const tp_record *record);
tp_peer *tp_directory_peer(tp_directory *directory, uint64_t node); /* NULL: no member */
bool tp_directory_is_member(const tp_directory *directory, uint64_t node);
uint64_t tp_directory_home_node(const tp_directory *directory, uint64_t hash);
void tp_directory_set_entry(
    tp_directory *directory, tp_record *record, uint64_t host, uint64_t grant, uint64_t prev);
void tp_directory_no_entry(tp_directory *directory, tp_record *record);
bool tp_record_has_entry(const tp_record *record);
/* A note of the reserve, queued; with the record's id if there is one. */
tp_directory_effect *tp_directory_say(tp_directory *directory, uint32_t kind, tp_record *record);
/* A word about a hash. */
tp_directory_word *tp_directory_tell(
    tp_directory *directory, uint64_t node, uint64_t hash, tp_directory_word_kind kind);
/* A word to a shard, with a page or without. */
tp_directory_word *tp_directory_tell_shard(tp_directory *directory, uint64_t node, uint32_t shard,
    tp_directory_word_kind kind, void *page);
void tp_directory_hand_letter(tp_directory *directory, tp_letter *letter, uint32_t kind);
void tp_directory_hand_way(tp_directory *directory, tp_way *way, uint32_t kind);
void tp_directory_finish(tp_directory *directory);

/* ---- trail.c ---- */

/* It cannot go on: it has been everywhere. */
bool tp_trail_is_full(const tp_letter *letter);
/* It goes on from here, and is not full. */
void tp_trail_go_on(tp_letter *letter);
/* Is a node of it gone? */
bool tp_trail_is_cut(const tp_directory *self, const tp_letter *letter);

/* ---- flow.c ---- */

void tp_flow(tp_directory *directory, tp_record *record);
TROUPE_CHECK bool tp_flow_feed(tp_directory *directory); /* starved letters; false: some are left */
void tp_flow_way_ends(tp_directory *directory, tp_way *way, bool lost);
uint64_t tp_flow_next_number(tp_directory *directory);
void tp_flow_expire(tp_directory *directory, tp_record *record);
void tp_flow_refuse_all(tp_directory *directory, tp_record *record, troupe_status status);
bool tp_aside_is_open(const tp_aside *aside); /* a letter is held or on its way */

/* ---- words.c, moves.c ---- */

void tp_words_request(tp_directory *directory, tp_record *record);
void tp_words_leave(tp_directory *directory, tp_record *record);
void tp_words_open(tp_directory *directory, tp_aside *aside, uint64_t after);
troupe_status tp_words_handle(
    tp_directory *directory, uint64_t from, uint32_t shard, const tp_directory_word *word);
void tp_words_replay(tp_directory *directory, tp_record *record);
bool tp_words_new_enough(tp_directory *directory, uint64_t hash, tp_grant grant);
void tp_words_copy(tp_directory *directory, tp_record *record);
bool tp_words_keeps_copy(tp_directory *directory, uint64_t hash, uint64_t home);
void tp_moves_handle(tp_directory *directory, uint64_t from, const tp_directory_word *word);
void tp_moves_tick(tp_directory *directory, tp_record *record);

/* ---- views.c, tasks.c, jobs.c ---- */

bool tp_views_is_settled(tp_directory *directory, const tp_record *record);
/* The shards of a node with `shards` that have hashes of this machine. */
void tp_views_shards(
    const tp_directory *directory, uint32_t shards, uint32_t *ret_first, uint32_t *ret_last);
void tp_views_look_again(tp_directory *directory); /* at all that waits */
void tp_tasks_want(tp_directory *directory, tp_record *record);
TROUPE_CHECK tp_task *tp_tasks_create(tp_directory *directory, uint64_t former);
void tp_tasks_destroy(tp_directory *directory, tp_task *task);
TROUPE_CHECK bool tp_tasks_owe(
    tp_directory *directory, tp_task *task, const tp_directory_member *member);
bool tp_tasks_work(tp_directory *directory);
bool tp_tasks_finish_some(tp_directory *directory);
void tp_tasks_tick(tp_directory *directory);
troupe_status tp_tasks_handle(
    tp_directory *directory, uint64_t from, uint32_t shard, const tp_directory_word *word);
troupe_status tp_jobs_handle(
    tp_directory *directory, uint64_t from, uint32_t shard, const tp_directory_word *word);
bool tp_jobs_work(tp_directory *directory);
void tp_jobs_destroy(tp_directory *directory, tp_job *job);
void tp_jobs_tick(tp_directory *directory); /* floors that nobody can need any more */
/* A page of words: items and their text, in one block. NULL: no memory. */
void *tp_jobs_page(
    tp_directory *directory, tp_record *const *records, uint32_t count, size_t spans);

#endif

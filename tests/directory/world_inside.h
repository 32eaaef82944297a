/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two files of the model world share: perform.c has the nodes and links and performs what
 * machines say, world.c has what happens to them and what must hold.
 *
 * Invariants: 1. A frame is in one link. 2. Views are never freed before the end. 3. After a
 * promise was broken the run goes on to the end of its step only.
 */
#ifndef TEST_DIRECTORY_WORLD_INSIDE_H
#define TEST_DIRECTORY_WORLD_INSIDE_H

#include "world.h"

#include "base/prng.h"

#include <string.h>

#define NODES  12 /* incarnations of a run */
#define SHARDS 3
#define IDS    8
#define VIEWS  64
#define POINTS 4 /* of a member on the ring */

typedef struct message {
    uint32_t id;
    uint64_t origin;
    uint64_t number; /* among all */
    bool done, lost, refused, probe;
} message;

typedef enum frame_kind { LETTER, SETTLED, WORD, INSTALL } frame_kind;

typedef struct frame {
    struct frame *next;
    frame_kind kind;
    uint64_t view;
    uint64_t from_node;
    uint32_t from_shard;
    message *message; /* LETTER */
    uint64_t origin, order, number, copy_number;
    tp_grant grant;
    uint8_t hops, flags;
    tp_directory_trail trail;
    bool lost;
    uint32_t id; /* INSTALL */
    tp_directory_word word;
    tp_directory_item *items;
    tp_span *spans;
} frame;

typedef struct parcel {
    tp_letter letter; /* first */
    message *message;
} parcel;

typedef struct actor {
    bool active, guarded, copy, captures, places;
    uint64_t number;      /* under which it ran last */
    uint64_t copy_number; /* of an installed copy */
    uint64_t copy_ran;
    uint64_t place_origin;
} actor;

typedef struct machine {
    tp_directory *directory;
    tp_pool pool;
    actor actors[IDS];
} machine;

typedef struct node {
    uint64_t incarnation; /* 0: there is none */
    uint32_t shards;
    uint32_t view; /* installed */
    bool up;
    bool in_ring;
    machine machines[SHARDS];
} node;

typedef struct view {
    tp_directory_view view;
    tp_directory_member members[NODES];
    tp_ring *ring;
} view;

typedef struct world {
    troupe_allocator allocator; /* fails now and then while `hungry` */
    bool hungry;
    tp_prng luck;
    world_plan plan;
    tp_prng prng;
    uint64_t now;
    uint32_t node_count;
    node nodes[NODES];
    uint32_t newest;
    view *views[VIEWS];
    struct {
        frame *head, *tail;
    } links[NODES * SHARDS][NODES * SHARDS];
    uint64_t on_links;
    uint64_t frozen[NODES][NODES]; /* until that step */
    bool thaw;                     /* no link is slow any more */
    uint64_t hashes[IDS];
    char keys[IDS][16];
    uint64_t max_run[IDS];
    bool kept[IDS];
    message *messages;
    uint32_t message_count;
    uint64_t last_run[NODES][IDS]; /* by origin: the number that ran last, plus 1 */
    uint32_t crashes, evictions, releases, moves;
    bool faults; /* a crash or an eviction happened */
    world_result result;
} world;

void world_fail(world *w, const char *wrong);
void world_trace(world *w, uint64_t a, uint64_t b);
bool world_chance(world *w, uint64_t of);
uint32_t world_below(world *w, uint64_t n);
node *world_find_node(world *w, uint64_t incarnation);
bool world_in_view(const world *w, uint32_t number, uint64_t incarnation);
bool world_is_effective(const world *w, const node *n);
machine *world_machine_of(world *w, node *n, uint32_t id);
tp_directory_id world_id_at(world *w, uint32_t id);
void world_run_message(world *w, node *n, uint32_t id, message *m);
void world_drain(world *w, node *n, uint32_t shard);
/* A request that goes the way of those before it. */
bool world_follow(world *w, node *n, uint32_t shard, const tp_directory_id *id, message *m);
void world_die(world *w, node *n);
void world_install_next(world *w, node *n);
node *world_start_node(world *w, uint64_t incarnation);
bool world_deliver_one(world *w);
uint64_t world_choose_member(world *w, node *n);
void world_lose(message *m);
void world_free_frame(frame *f);

/* Calls again, with enough memory, what found too little. The value of the last call. */
#define WORLD_FEED(w, n, shard, call)      \
    __extension__({                        \
        troupe_status status_ = (call);    \
        if (status_ == TROUPE_NO_MEMORY) { \
            bool hungry_ = (w)->hungry;    \
            world_drain(w, n, shard);      \
            (w)->hungry = false;           \
            status_ = (call);              \
            (w)->hungry = hungry_;         \
        }                                  \
        status_;                           \
    })

#endif

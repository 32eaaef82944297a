/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node in a simulated world, and a member of its cluster that says anything. The first byte says
 * whether that member answers surveys and claims as it should, so that ranges settle. The rest is a
 * list of deeds: frames with any body from the member to a shard or to the control runner, frames
 * that the node sent to it, changed and sent back, and what happens meanwhile: calls, time, views,
 * moves. What is under the frames is session_fuzz.c's. Seeds: fuzz/corpus/outpost. libFuzzer calls
 * it.
 *
 * Invariants: a frame that makes no sense has a reason, and its session goes on. No actor has
 * another hash than its id. Once all other members were put out, every actor is answered for
 * again; the node closes, and gives all memory back. Threads: one.
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "cluster/control_inside.h"
#include "cluster/outpost_inside.h"
#include "node/node.h"
#include "providers/member_memory.h"
#include "testkit/world.h"
#include "transport/inside.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* frame: the low bits are the kind, FRAME_CONTROL: for the control runner. again: which of those
 * that the node sent; its body says what is changed: place u16, value u8. */
enum { DEED_FRAME, DEED_AGAIN, DEED_TIME, DEED_CALL, DEED_VIEW, DEED_MOVE, DEEDS };
enum {
    FRAME_KIND = 15,
    FRAME_CONTROL = 16,
    PEER = 1,
    HEARD = 32,
    HEARD_BYTES = 512,
    KEYS = 4,
    MEMBERS = 64
};

typedef struct heard {
    uint8_t kind;
    bool by_control;
    size_t size;
    char body[HEARD_BYTES];
} heard;

typedef struct scene {
    tp_world *world;
    tp_env *env;
    tp_member_memory *store;
    troupe_membership *roll; /* the member's */
    uint64_t raises;
    troupe_node *node;
    troupe_client *client;
    tp_shard *shard;
    heard heard[HEARD]; /* ring */
    uint32_t heard_count;
    bool is_polite, owes; /* an answer to a survey or a claim */
    char owed[40];
    const tp_view *view; /* the newest of the store */
    uint32_t open;       /* calls */
} scene;

/* ---- actors ---------------------------------------------------------------------------------- */

static troupe_status count(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)payload;
    return troupe_reply_format(turn, "%llu", (unsigned long long)++*(uint64_t *)state);
}

static troupe_status rest(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    (void)payload;
    return troupe_sleep(turn, TROUPE_MILLISECONDS(5));
}

static const char *const keys[KEYS] = {"0", "1", "2", "3"};
static const char *const type_names[] = {"seat", "jar"};
static const troupe_slice hosts[] = {{"seat", 4}, {"jar", 3}};

/* Asks the next one. */
static troupe_status pass_on(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    troupe_id to = troupe_turn_self(turn);
    to.key = troupe_str(keys[(payload.size + 1) % KEYS]);
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status = troupe_ask(turn, to, payload.size < 3 ? "pass_on" : "count",
        troupe_slice_of("...", payload.size < 3 ? payload.size + 1 : 0), NULL, &answer);
    troupe_answer_release(&answer);
    return status;
}

static const troupe_method methods[] = {
    TROUPE_METHOD(count), TROUPE_METHOD(rest), TROUPE_METHOD(pass_on)};
static const troupe_type seat = {
    TROUPE_TYPE("seat"), .state_size = sizeof(uint64_t), TROUPE_METHODS(methods)};
static const troupe_type jar = {TROUPE_TYPE("jar"), .state_size = sizeof(uint64_t),
    TROUPE_METHODS(methods), .persist = TROUPE_PERSIST_ON_DEACTIVATE,
    .idle = TROUPE_MILLISECONDS(200)};
static const troupe_type *const types[] = {&seat, &jar};

/* ---- views ----------------------------------------------------------------------------------- */

static void stuck(void *user, const char *what)
{
    const scene *self = user;
    fprintf(stderr, "%s\n%s\n", what, self->world != NULL ? tp_world_log(self->world) : "");
    abort();
}

static void require(scene *self, bool holds, const char *what)
{
    if (!holds)
        stuck(self, what);
}

static void run(scene *self, uint64_t duration)
{
    uint64_t until = tp_world_now(self->world) + duration;
    while (tp_world_now(self->world) < until && tp_world_step_until(self->world, until)) {
    }
    /* The member lives. */
    if (self->roll->raise(self->roll, TROUPE_SECONDS(1), PEER, self->raises) == TROUPE_OK)
        self->raises++;
}

static void on_view(void *user, uint64_t number, troupe_slice text)
{
    scene *self = user;
    char error[256];
    tp_view_release(self->view);
    require(self,
        tp_view_parse(tp_allocator_system(), number, text, &self->view, error, sizeof error) ==
            TROUPE_OK,
        "the view of the store is none");
}

static bool store_view(scene *self, const tp_view *view)
{
    uint64_t kept[MEMBERS];
    require(self, view->member_count <= MEMBERS, "too many members");
    for (size_t i = 0; i < view->member_count; i++)
        kept[i] = view->members[i].incarnation;
    return self->roll->cas_view(self->roll, TROUPE_SECONDS(1), view->number, view->text, kept,
               view->member_count) == TROUPE_OK;
}

static void read_view(scene *self)
{
    require(self, self->roll->read_view(self->roll, TROUPE_SECONDS(1), on_view, self) == TROUPE_OK,
        "the store has no view");
}

/* The next view is one step of the newest. */
static void follow_view(scene *self, const tp_view_step *step)
{
    for (int i = 0; i < 10; i++) {
        const tp_view *next;
        require(self, tp_view_follow(tp_allocator_system(), self->view, step, &next) == TROUPE_OK,
            "there is no next view");
        bool done = store_view(self, next);
        tp_view_release(next);
        if (done)
            return;
        run(self, TROUPE_MILLISECONDS(1));
        read_view(self);
    }
    require(self, false, "the view changes all the time");
}

static void change_view(scene *self, unsigned how)
{
    static const tp_view_what whats[] = {TP_VIEW_REVOKED, TP_VIEW_BEGAN_LEAVING};
    const tp_view_member third = {.nonce = 7,
        .name = troupe_str("third"),
        .address = troupe_str("nowhere:7001"),
        .shards = 2,
        .types = hosts,
        .type_count = 2};
    const tp_view_change change = {.incarnation = PEER, .what = whats[how % 2]};
    const tp_view_step joins = {.joins = &third, .join_count = 1};
    const tp_view_step goes = {.changes = &change, .change_count = 1};
    read_view(self);
    follow_view(self, how == 2 ? &joins : &goes);
}

/* Who is left is the node; until it knows. */
static void put_out_others(scene *self)
{
    tp_view_change changes[MEMBERS];
    const tp_outpost *outpost = tp_outpost_of(self->shard);
    read_view(self);
    tp_view_step step = {.changes = changes};
    for (size_t i = 0; i < self->view->member_count && step.change_count < MEMBERS; i++)
        if (self->view->members[i].incarnation != outpost->options.incarnation)
            changes[step.change_count++] = (tp_view_change){
                .incarnation = self->view->members[i].incarnation, .what = TP_VIEW_REVOKED};
    if (step.change_count != 0)
        follow_view(self, &step);
    for (int i = 0; outpost->chart->members->member_count > 1; i++) {
        require(self, i < 100, "others stay");
        run(self, TROUPE_MILLISECONDS(100));
    }
}

/* ---- frames ---------------------------------------------------------------------------------- */

static void keep(scene *self, const tp_channel *channel, const char *at, size_t size)
{
    heard *to = &self->heard[self->heard_count++ % HEARD];
    *to = (heard){.kind = (uint8_t)at[0],
        .by_control = channel->channels->options.self.shard == TP_SHARD_CONTROL,
        .size = size - TP_FRAME_HEAD};
    memcpy(to->body, at + TP_FRAME_HEAD, to->size);
}

/* To a question what it has, so that the node's ranges settle: nothing. */
static void owe_answer(scene *self, const char *word)
{
    enum { NUMBERS = 1 + 4 * 8 };
    uint8_t what = (uint8_t)word[0];
    if (what != TP_WORD_SURVEY && what != TP_WORD_CLAIM)
        return;
    memset(self->owed, 0, sizeof self->owed);
    memcpy(self->owed, word, NUMBERS);
    self->owed[0] = what == TP_WORD_SURVEY ? TP_WORD_ANSWER : TP_WORD_SLICE;
    self->owed[NUMBERS] = 1; /* the last */
    if (what == TP_WORD_CLAIM)
        tp_put_64(self->owed + 1 + 3 * 8, UINT64_MAX); /* all are done */
    self->owes = true;
}

static const char *keep_batch(scene *self, const tp_channel *channel, const char *at)
{
    tp_batch batch;
    require(self, tp_batch_get(at, &batch), "the node sends no batch");
    const char *end = at + TP_BATCH_HEADER + batch.size;
    for (at += TP_BATCH_HEADER; at < end;) {
        bool is_long = (at[1] & TP_FRAME_LONG) != 0;
        size_t size = is_long ? TP_FRAME_HEAD_LONG + tp_get_number(at + TP_FRAME_HEAD, 4)
                              : TP_FRAME_HEAD + tp_get_number(at + 2, 2);
        if (size <= HEARD_BYTES && !is_long)
            keep(self, channel, at, size);
        if ((uint8_t)at[0] == TP_FRAME_WORD && self->is_polite)
            owe_answer(self, at + (is_long ? TP_FRAME_HEAD_LONG : TP_FRAME_HEAD));
        at += size;
    }
    return end;
}

/* All that the node has to say to the member, who has it from then on. */
static void hear(scene *self, tp_channel *channel)
{
    uint64_t late = tp_world_now(self->world) + TROUPE_SECONDS(1);
    troupe_slice bytes;
    while (tp_session_take(&channel->session, late, &bytes)) {
        const char *end = (const char *)bytes.data + bytes.size;
        for (const char *at = bytes.data; at < end;)
            at = keep_batch(self, channel, at);
        tp_session_written(&channel->session);
    }
}

/* As the channels do. */
static void hand_on(scene *self, tp_channel *channel)
{
    const tp_channels_options *options = &channel->channels->options;
    tp_session *session = &channel->session;
    tp_session_frame frame;
    tp_session_event event;
    while ((event = tp_session_next(session, &frame)) == TP_SESSION_FRAME) {
        if (frame.kind == TP_FRAME_PONG)
            continue;
        const char *fault = options->calls->frame(options->user, channel, &frame);
        require(self, fault == NULL || fault[0] != 0, "a fault has no words");
        if (fault != NULL)
            tp_session_break(session, &frame, fault);
    }
    if (event != TP_SESSION_BROKEN)
        return;
    require(self, session->reason[0] != 0, "a session breaks without a reason");
    tp_session_lost(session);
    require(self, tp_session_connected(session, session->received_to) == TROUPE_OK,
        "a session does not go on");
}

/* NULL: it was put out. */
static tp_channel *channel_of(scene *self, tp_channels *channels, uint16_t shard)
{
    tp_channel *channel = channels != NULL ? tp_channels_get(channels, PEER, shard) : NULL;
    if (channel != NULL && !channel->session.connected)
        require(self, tp_session_connected(&channel->session, 0) == TROUPE_OK, "nobody speaks");
    return channel;
}

typedef struct coming {
    scene *scene;
    unsigned kind;
    troupe_slice body;
} coming;

static void come(tp_channels *channels, uint16_t shard, const coming *what)
{
    tp_channel *channel = channel_of(what->scene, channels, shard);
    if (channel == NULL)
        return;
    tp_session *session = &channel->session;
    size_t size = tp_frame_size(what->body.size);
    char *bytes = malloc(TP_BATCH_HEADER + size);
    require(what->scene, bytes != NULL, "no memory");
    const tp_batch batch = {.size = (uint32_t)size,
        .raw = (uint32_t)size,
        .count = 1,
        .first = tp_frame_is_loose(what->kind) ? 0 : session->received + 1,
        .received_to = session->sent_to,
        .parcels_to = session->parcels + TP_SESSION_FIRST_WINDOW,
        .incarnation = PEER,
        .view = session->options.view};
    tp_batch_put(bytes, &batch);
    tp_put_bytes(
        tp_frame_put_head(bytes + TP_BATCH_HEADER, what->kind, 0, what->body.size), what->body);
    if (tp_session_feed(session, (troupe_slice){bytes, TP_BATCH_HEADER + size}) == TROUPE_OK)
        hand_on(what->scene, channel);
    free(bytes);
}

static void come_to_shard(tp_shard *shard, void *user)
{
    come(tp_outpost_of(shard)->channels, 0, user);
}

static void send_frame(scene *self, bool to_control, unsigned kind, troupe_slice body)
{
    coming what = {self, kind, body};
    tp_cluster *cluster = self->node->cluster;
    if (to_control) {
        come(cluster->channels, TP_SHARD_CONTROL, &what);
        self->env->runner_wake(self->env, &cluster->runner);
    } else {
        require(self, tp_node_visit(self->node, 0, 1, come_to_shard, &what) == TROUPE_OK,
            "the shard is not there");
    }
}

static void listen(scene *self)
{
    tp_channel *to_shard = channel_of(self, tp_outpost_of(self->shard)->channels, 0);
    tp_channel *to_control = channel_of(self, self->node->cluster->channels, TP_SHARD_CONTROL);
    if (to_shard != NULL)
        hear(self, to_shard);
    if (to_control != NULL)
        hear(self, to_control);
    if (self->owes) {
        self->owes = false;
        send_frame(self, false, TP_FRAME_WORD, (troupe_slice){self->owed, sizeof self->owed});
    }
}

static void send_again(scene *self, unsigned which, const uint8_t *changes, size_t size)
{
    if (self->heard_count == 0)
        return;
    uint32_t kept = self->heard_count < HEARD ? self->heard_count : HEARD;
    heard frame = self->heard[which % kept];
    for (; size >= 3 && frame.size != 0; changes += 3, size -= 3)
        frame.body[tp_get_number(changes, 2) % frame.size] = (char)changes[2];
    send_frame(self, frame.by_control, frame.kind, (troupe_slice){frame.body, frame.size});
}

/* ---- what else happens ----------------------------------------------------------------------- */

static void answered(void *user, const troupe_answer *answer)
{
    scene *self = user;
    (void)answer;
    self->open--;
}

static troupe_id id_of(unsigned number)
{
    return troupe_id_of(type_names[number / KEYS % 2], keys[number % KEYS]);
}

static void call(scene *self, unsigned how)
{
    const char *method = methods[(how >> 3) % 3].name;
    troupe_status status;
    if (how & 128) {
        status = troupe_client_tell(self->client, id_of(how), method, troupe_str(""), NULL);
    } else {
        status = troupe_client_ask_callback(
            self->client, id_of(how), method, troupe_str(""), NULL, answered, self);
        self->open += status == TROUPE_OK;
    }
    run(self, TROUPE_MICROSECONDS(10));
}

static void move(tp_shard *shard, void *user)
{
    troupe_id name = id_of(*(unsigned *)user);
    const tp_types *known = &shard->shared->types;
    const tp_type *type = tp_types_find(known, name.type);
    const tp_directory_id id = {.hash = tp_type_hash(known, type, name.partition, name.key),
        .type = type->number,
        .key = name.key};
    (void)!tp_outpost_move(tp_outpost_of(shard), &id, PEER);
}

static void perform(scene *self, unsigned deed, unsigned what, const uint8_t *data, size_t size)
{
    switch (deed) {
    case DEED_FRAME:
        send_frame(
            self, (what & FRAME_CONTROL) != 0, what & FRAME_KIND, troupe_slice_of(data, size));
        break;
    case DEED_AGAIN:
        send_again(self, what, data, size);
        break;
    case DEED_TIME:
        run(self, UINT64_C(1) << what % 31);
        break;
    case DEED_CALL:
        call(self, what);
        break;
    case DEED_VIEW:
        change_view(self, what % 3);
        break;
    default:
        require(self, tp_node_visit(self->node, 0, 1, move, &what) == TROUPE_OK,
            "the shard is not there");
    }
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static void found(scene *self)
{
    static const unsigned char secret[TP_VIEW_SECRET] = "outpost";
    const tp_view_member peer = {.nonce = 5,
        .name = troupe_str("peer"),
        .address = troupe_str("nowhere:7000"),
        .shards = 1,
        .types = hosts,
        .type_count = 2};
    const tp_view_step step = {.joins = &peer, .join_count = 1};
    const tp_view *first;
    require(self,
        tp_member_memory_create(tp_allocator_system(), &self->store) == TROUPE_OK &&
            tp_member_memory_open(self->store, &self->roll) == TROUPE_OK &&
            tp_view_begin(tp_allocator_system(), TROUPE_SECONDS(30), secret, &step, &first) ==
                TROUPE_OK &&
            store_view(self, first),
        "there is no cluster");
    tp_view_release(first);
    run(self, 0);
}

static void open_node(scene *self)
{
    const tp_world_options world = {
        .seed = 1, .calm = true, .hurry = 1024, .stuck = stuck, .user = self};
    self->world = tp_world_create(&world);
    self->env = self->world != NULL ? tp_world_process(self->world, "node") : NULL;
    require(self, self->env != NULL, "there is no world");
    found(self);
    const troupe_node_options options = {TROUPE_NODE_OPTIONS, .name = "node", .shards = 1,
        .memory_limit = UINT64_C(1) << 40, .allocator = tp_world_memory_of(self->env),
        .log = "warn", .cluster = "fuzz:", .cluster_name = "fuzz", .listen = "node:7000",
        .allow_clear_text = true, .join_timeout = TROUPE_SECONDS(30),
        .ask_timeout = TROUPE_SECONDS(1), .drain_timeout = TROUPE_SECONDS(10), .cache_size = 16,
        .max_asks = 256, .max_fibers = 64, .link_limit = 256, .inbox_limit = 256};
    tp_node_grounds grounds = {.env = self->env, .hostile = true};
    for (int i = 0; i < 3; i++)
        require(self, tp_member_memory_open(self->store, &grounds.membership[i]) == TROUPE_OK,
            "no memory");
    char error[512] = "";
    if (tp_node_open_at(&grounds, &options, types, 2, &self->node, error, sizeof error) !=
        TROUPE_OK)
        stuck(self, error);
    require(self, troupe_client_open(self->node, &self->client) == TROUPE_OK, "no memory");
    self->shard = self->node->shared.shards[0];
    run(self, TROUPE_MILLISECONDS(1)); /* its shard has the view */
}

/* Once more if somebody joined meanwhile: the member may have brought a candidate. */
static void ask(scene *self, troupe_id id)
{
    /* That its mailbox is full at another node is believed for 100 ms. */
    const troupe_call_options options = {TROUPE_CALL_OPTIONS, .timeout = TROUPE_SECONDS(60),
        .retry = {.attempts = 20, .backoff = TROUPE_MILLISECONDS(50)}};
    troupe_status status = TROUPE_UNKNOWN;
    for (int i = 0; status != TROUPE_OK && i < 5; i++) {
        put_out_others(self);
        uint64_t number = self->view->number;
        troupe_answer answer = TROUPE_ANSWER_INIT;
        status = troupe_client_ask(self->client, id, "count", troupe_str(""), &options, &answer);
        troupe_answer_release(&answer);
        read_view(self);
        if (self->view->number == number)
            break;
    }
    require(self, status == TROUPE_OK, "an actor does not answer");
}

static void close_scene(scene *self)
{
    for (unsigned i = 0; i < 2 * KEYS; i++)
        ask(self, id_of(i));
    troupe_client_close(self->client);
    troupe_node_close(self->node);
    require(self, self->open == 0, "a call has no end");
    require(self, tp_world_blocks_of(self->env) == 0, "memory is not given back");
    self->roll->close(self->roll);
    tp_member_memory_destroy(self->store);
    tp_view_release(self->view);
    tp_world_destroy(self->world);
    free(self);
}

/* One with another hash would be there twice. */
static void check_hashes(tp_shard *shard, void *user)
{
    TP_LIST_EACH(&shard->recency, link)
    {
        const tp_activation *actor = TP_CONTAINER(link, tp_activation, recency);
        uint64_t hash = tp_type_hash(&shard->shared->types, actor->type,
            tp_activation_partition(actor), tp_activation_key(actor));
        require(user, hash == actor->hash, "an actor has another hash than its id");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    scene *self = calloc(1, sizeof *self);
    TP_ASSERT(self != NULL);
    open_node(self);
    self->is_polite = data[0] & 1;
    listen(self);
    data++;
    size--;
    while (size >= 4) {
        unsigned deed = data[0] % DEEDS, what = data[1];
        size_t part = (size_t)(data[2] | data[3] << 8);
        part = part < size - 4 ? part : size - 4;
        perform(self, deed, what, data + 4, part);
        listen(self);
        require(self, tp_node_visit(self->node, 0, 1, check_hashes, self) == TROUPE_OK,
            "the shard is not there");
        data += 4 + part;
        size -= 4 + part;
    }
    close_scene(self);
    return 0;
}

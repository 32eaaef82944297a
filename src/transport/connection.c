/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection: opening, hello, the session's bytes, keep-alive, end.
 *
 *     opening -> hello -> speaks -> closed          any of them -> closed, with words
 *
 * Calls of the stream only take bytes in; the machines are moved by pass and flush.
 *
 * Threads: the runner's.
 */
#include "transport/inside.h"

#include "base/alloc.h"

#include <stdio.h>

/* Bytes before the hello has ended: of a stranger; of whom we have called, since its session begins
 * right behind its hello. */
#define EARLY_MAX    ((size_t)4096)
#define EARLY_MOST   ((size_t)1 << 20)
#define EARLY_ENOUGH ((size_t)1 << 16)
#define ROOM_IN      ((size_t)1 << 16) /* at least, for one read */
#define ASKS_MOST    4 /* for a sign of life, one after the other without an answer */
/* Bytes that wait in the session: no more is read, unless a batch lacks some of its own. */
#define ENOUGH_IN    ((size_t)1 << 18)

/* ---- calls of the stream --------------------------------------------------------------------- */

static void note_arrival(tp_connection *self)
{
    self->channels->has_arrivals = true;
    self->asks = 0;
}

static void on_opened(void *user)
{
    tp_connection *self = user;
    self->state = TP_CONNECTION_HELLO;
    note_arrival(self);
}

static void on_written(void *user)
{
    tp_connection *self = user;
    self->is_writing = false;
    if (self->writes_session && self->channel != NULL)
        tp_session_written(&self->channel->session);
    self->writes_session = false;
}

static void on_broken(void *user, const char *why)
{
    tp_connection *self = user;
    self->broken = why;
    self->channels->has_arrivals = true;
}

static void pause_reading(tp_connection *self)
{
    if (self->is_paused)
        return;
    self->is_paused = true;
    self->channels->options.env->net.pause(self->stream, true);
}

static bool make_early_room(tp_connection *self, size_t size)
{
    size_t most = self->is_client ? EARLY_MOST : EARLY_MAX;
    if (size > most - self->early_size) {
        self->broken = "it says too much before its hello";
        return false;
    }
    size_t room = self->early_room != 0 ? self->early_room : EARLY_MAX;
    while (room < self->early_size + size)
        room *= 2;
    if (room == self->early_room)
        return true;
    void *early =
        tp_reallocate(self->channels->options.allocator, self->early, self->early_room, room);
    if (early == NULL) {
        self->broken = "no memory";
        return false;
    }
    self->early = early;
    self->early_room = room;
    return true;
}

static void keep_early(tp_connection *self, const void *bytes, size_t size)
{
    if (!make_early_room(self, size))
        return;
    memcpy(self->early + self->early_size, bytes, size);
    self->early_size += size;
    if (self->early_size >= EARLY_ENOUGH)
        pause_reading(self);
}

static void pause_if_enough(tp_connection *self)
{
    const tp_session *session = &self->channel->session;
    if (tp_session_waiting(session) > ENOUGH_IN && !tp_session_wants_more(session))
        pause_reading(self);
}

static void take_in(tp_connection *self, const void *bytes, size_t size)
{
    tp_session *session = &self->channel->session;
    troupe_status status = tp_session_feed(session, (troupe_slice){bytes, size});
    if (status != TROUPE_OK) {
        self->broken = status == TROUPE_BUSY ? "more came than it may send" : "no memory";
        return;
    }
    pause_if_enough(self);
}

/* What TLS has in clear goes on. */
static void take_decrypted(tp_connection *self)
{
    char bytes[4096];
    size_t size;
    while (self->broken == NULL && (size = tp_tls_read(self->tls, bytes, sizeof bytes)) != 0) {
        if (self->state == TP_CONNECTION_SPEAKS)
            take_in(self, bytes, size);
        else
            keep_early(self, bytes, size);
    }
    if (self->broken == NULL)
        self->broken = tp_tls_reason(self->tls);
}

/* Right into the session, when that is where the bytes go. */
static void *on_space(void *user, size_t *ret_room)
{
    tp_connection *self = user;
    self->space = NULL;
    if (self->state == TP_CONNECTION_SPEAKS && self->tls == NULL && self->broken == NULL)
        self->space = tp_session_space(&self->channel->session, ROOM_IN, ret_room);
    return self->space;
}

static void on_arrived(void *user, const void *bytes, size_t size)
{
    tp_connection *self = user;
    note_arrival(self);
    self->heard_at = TP_NEVER; /* at the next pass */
    bool is_in_place = bytes == self->space;
    self->space = NULL;
    if (self->broken != NULL)
        return;
    if (is_in_place) {
        tp_session_fed(&self->channel->session, size);
        pause_if_enough(self);
    } else if (self->tls != NULL) {
        (void)!tp_tls_feed(self->tls, troupe_slice_of(bytes, size));
        take_decrypted(self);
    } else if (self->state == TP_CONNECTION_SPEAKS) {
        take_in(self, bytes, size);
    } else {
        keep_early(self, bytes, size);
    }
}

static const tp_stream_calls stream_calls = {
    on_opened, on_arrived, on_written, on_broken, on_space};

#define NO_TLS \
    "it wants TLS, and this node has none: set tls_certificate, tls_key and tls_authority"
#define NO_CLEAR_TEXT                                                                           \
    "it speaks clear text, and this node wants TLS: give it certificates, or allow clear text " \
    "here"

/* ---- begin ----------------------------------------------------------------------------------- */

static tp_connection *connection_create(tp_channels *channels)
{
    const troupe_allocator *allocator = channels->options.allocator;
    tp_connection *self = tp_allocate_zeroed(allocator, sizeof *self);
    tp_hello *hello = tp_allocate(allocator, sizeof *hello);
    if (self == NULL || hello == NULL) {
        tp_release(allocator, hello, hello != NULL ? sizeof *hello : 0);
        tp_release(allocator, self, self != NULL ? sizeof *self : 0);
        return NULL;
    }
    self->channels = channels;
    self->hello = hello;
    self->began = self->heard_at = channels->now;
    channels->options.env->entropy(channels->options.env, self->nonce, sizeof self->nonce);
    return self;
}

static tp_hello_options hello_options(const tp_connection *self, tp_preamble preamble)
{
    const tp_channels_options *options = &self->channels->options;
    return (tp_hello_options){.self = options->self,
        .preamble = preamble,
        .cluster = options->cluster,
        .token = options->token,
        .nonce = self->nonce};
}

troupe_status tp_connection_dial(tp_channel *channel)
{
    tp_channels *channels = channel->channels;
    const tp_channels_options *options = &channels->options;
    char address[TP_ADDRESS_MAX];
    if (!options->calls->find(options->user, channel->peer, address, sizeof address))
        return TROUPE_UNAVAILABLE;
    if (!tp_channels_make_room(channels, channel->peer, 1)) {
        channels->counts.refusals++;
        return TROUPE_BUSY;
    }
    tp_connection *self = connection_create(channels);
    if (self == NULL)
        return TROUPE_NO_MEMORY;
    self->is_client = true;
    self->channel = channel;
    (void)snprintf(self->peer, sizeof self->peer, "%s", address);
    tp_preamble preamble = {.shard = channel->shard};
    if (channels->options.tls != NULL) {
        preamble.flags = TP_PREAMBLE_TLS;
        self->tls = tp_tls_create(channels->options.tls, options->allocator, true);
        if (self->tls == NULL) {
            tp_connection_free(self);
            return TROUPE_NO_MEMORY;
        }
        tp_preamble_put(self->preamble, preamble);
        self->owes_preamble = true;
    }
    tp_hello_options hello = hello_options(self, preamble);
    hello.peer = channel->peer;
    hello.self.received = channel->session.received;
    tp_hello_init_client(self->hello, &hello);
    if (self->owes_preamble)
        tp_hello_skip_preamble(self->hello);
    troupe_status status = options->env->net.connect(
        options->env, options->runner, address, &stream_calls, self, &self->stream);
    if (status != TROUPE_OK) {
        tp_connection_free(self);
        return status;
    }
    channels->connection_count++;
    channels->counts.connects++;
    channel->dialling = self;
    return TROUPE_OK;
}

void tp_connection_accept(tp_channels *channels, tp_socket socket, tp_preamble preamble,
    const void *rest, size_t rest_size)
{
    const tp_channels_options *options = &channels->options;
    bool is_full = channels->stranger_count >= TP_CHANNELS_STRANGERS;
    bool wants_tls = (preamble.flags & TP_PREAMBLE_TLS) != 0;
    const char *fault = wants_tls ? options->tls == NULL ? NO_TLS : NULL
                        : options->tls != NULL && !options->allows_clear_text ? NO_CLEAR_TEXT
                                                                              : NULL;
    tp_connection *self = is_full || fault != NULL ? NULL : connection_create(channels);
    if (self != NULL && wants_tls) {
        self->tls = tp_tls_create(channels->options.tls, options->allocator, false);
        if (self->tls == NULL) {
            tp_connection_free(self);
            self = NULL;
        }
    }
    if (self == NULL) {
        channels->counts.refusals++;
        if (fault != NULL)
            tp_channels_complain(channels, "stranger_refused", "?", fault);
        options->env->net.drop(options->env, socket);
        return;
    }
    const tp_hello_options hello = hello_options(self, preamble);
    tp_hello_init_server(self->hello, &hello);
    self->state = TP_CONNECTION_HELLO;
    if (options->env->net.attach(options->env, options->runner, socket, &stream_calls, self,
            &self->stream) != TROUPE_OK) {
        tp_connection_free(self);
        return;
    }
    options->env->net.peer(self->stream, self->peer, sizeof self->peer);
    channels->connection_count++;
    channels->counts.accepts++;
    channels->stranger_count++;
    tp_list_push_back(&channels->strangers, &self->link);
    if (rest_size != 0)
        on_arrived(self, rest, rest_size);
}

/* ---- end ------------------------------------------------------------------------------------- */

void tp_connection_free(tp_connection *self)
{
    const troupe_allocator *allocator = self->channels->options.allocator;
    if (self->hello != NULL)
        tp_release(allocator, self->hello, sizeof *self->hello);
    tp_release(allocator, self->early, self->early_room);
    tp_tls_destroy(self->tls);
    tp_release(allocator, self, sizeof *self);
}

static void leave_channel(tp_connection *self)
{
    tp_channel *channel = self->channel;
    if (channel == NULL) {
        tp_list_remove(&self->link);
        self->channels->stranger_count--;
        return;
    }
    if (channel->dialling == self)
        channel->dialling = NULL;
    if (channel->connection != self)
        return;
    channel->connection = NULL;
    channel->since = self->channels->now;
    tp_session_lost(&channel->session);
}

void tp_connection_end(tp_connection *self, const char *why)
{
    tp_channels *channels = self->channels;
    if (self->state == TP_CONNECTION_CLOSED)
        return;
    bool spoke = self->state == TP_CONNECTION_SPEAKS;
    /* Of one that had nothing more to say it is the usual end. */
    bool matters = spoke && !tp_session_is_idle(&self->channel->session);
    self->state = TP_CONNECTION_CLOSED;
    if (why != NULL && spoke)
        channels->counts.breaks++;
    const char *tls = self->tls != NULL ? tp_tls_reason(self->tls) : NULL;
    if (why != NULL && !spoke && why == tls)
        tp_channels_complain(channels, "tls_failed", self->peer, why);
    else if (why != NULL)
        tp_channels_say(channels, matters ? TP_SAY_WARN : TP_SAY_DEBUG,
            spoke ? "connection_broken" : "connection_failed", self->peer, "%s", why);
    channels->options.env->net.close(self->stream);
    self->stream = NULL;
    leave_channel(self);
    channels->connection_count--;
    tp_list_push_back(&channels->closed, &self->link); /* whoever calls may still look at it */
}

/* ---- writing --------------------------------------------------------------------------------- */

static void write_bytes(tp_connection *self, troupe_slice bytes)
{
    self->is_writing =
        !self->channels->options.env->net.write(self->stream, bytes.data, bytes.size);
}

/* What TLS has to say. */
static void write_encrypted(tp_connection *self)
{
    troupe_slice bytes;
    while (!self->is_writing && tp_tls_take(self->tls, &bytes))
        write_bytes(self, bytes);
    if (self->broken == NULL)
        self->broken = tp_tls_reason(self->tls);
    if (self->broken != NULL)
        self->channels->has_arrivals = true;
}

/* Nothing is being written. True: the bytes may go, they were encrypted or written whole. */
static bool write_clear(tp_connection *self, troupe_slice bytes)
{
    if (self->tls == NULL) {
        write_bytes(self, bytes);
        return !self->is_writing;
    }
    if (!tp_tls_write(self->tls, bytes))
        self->broken = tp_tls_reason(self->tls);
    write_encrypted(self);
    return true;
}

/* True: all of it is with the system. */
static bool write_hello(tp_connection *self)
{
    troupe_slice bytes;
    if (self->owes_preamble) {
        self->owes_preamble = false;
        write_bytes(self, troupe_slice_of(self->preamble, sizeof self->preamble));
    }
    while (!self->is_writing && tp_hello_take(self->hello, &bytes))
        (void)write_clear(self, bytes);
    if (self->tls != NULL && !self->is_writing)
        write_encrypted(self);
    return !self->is_writing;
}

/* ---- hello ----------------------------------------------------------------------------------- */

/* A server's peer is proven: may it come in, and to which channel? */
static tp_hello_event judge(tp_connection *self)
{
    tp_channels *channels = self->channels;
    const tp_channels_options *options = &channels->options;
    const tp_hello_side *peer = &self->hello->peer;
    tp_peer_answer answer = options->calls->judge(options->user, peer);
    if (answer == TP_PEER_BEHIND) {
        options->calls->newer_view(options->user, peer->view);
        return tp_hello_refuse(self->hello, TROUPE_UNAVAILABLE,
            "this node does not know that member yet; try again soon");
    }
    if (answer == TP_PEER_STRANGE)
        return tp_hello_refuse(self->hello, TROUPE_DENIED,
            "this incarnation is no member of the cluster, or not any more");
    tp_channel *channel = tp_channels_get(channels, tp_peer_of(peer), peer->shard);
    if (channel == NULL)
        return tp_hello_refuse(self->hello, TROUPE_NO_MEMORY, "no memory for a channel");
    if (channel->shunned_until > channels->now)
        return tp_hello_refuse(self->hello, TROUPE_UNAVAILABLE,
            "what it said last makes no sense to this node; try again soon");
    /* Both dial at once: the lower one's connection stays, if it comes to be. */
    if (channel->dialling != NULL && options->self.incarnation < peer->incarnation &&
        options->self.incarnation != 0)
        return tp_hello_refuse(
            self->hello, TROUPE_UNAVAILABLE, "this node is connecting to you at this moment");
    bool takes_place = channel->connection != NULL || channel->dialling != NULL;
    if (!takes_place && !tp_channels_make_room(channels, channel->peer, 1))
        return tp_hello_refuse(self->hello, TROUPE_UNAVAILABLE, TP_CHANNELS_FULL);
    return tp_hello_accept(self->hello, channel->session.received);
}

/* The hello is over and the session's bytes begin: the channel takes this connection. */
static void settle_in(tp_connection *self)
{
    tp_channels *channels = self->channels;
    const tp_hello_side *peer = &self->hello->peer;
    tp_channel *channel = self->channel;
    if (channel == NULL) {
        channel = tp_channels_find(channels, tp_peer_of(peer), peer->shard);
        if (channel == NULL) {
            tp_connection_end(self, "its channel has gone");
            return;
        }
        tp_list_remove(&self->link);
        channels->stranger_count--;
        self->channel = channel;
    } else {
        channel->dialling = NULL;
    }
    if (channel->connection != NULL)
        tp_connection_end(channel->connection, NULL);
    if (channel->dialling != NULL)
        tp_connection_end(channel->dialling, NULL);
    if (!tp_channels_make_room(channels, channel->peer, 0)) {
        channels->counts.refusals++; /* several were judged at once */
        tp_connection_end(self, TP_CHANNELS_FULL);
        return;
    }
    uint64_t received = peer->received;
    tp_session_agree(&channel->session, peer->features, peer->max_frame);
    if (tp_session_connected(&channel->session, received) != TROUPE_OK) {
        tp_channels_say(
            channels, TP_SAY_WARN, "session_broken", self->peer, "%s", channel->session.reason);
        channel->connection = self;
        tp_connection_end(self, channel->session.reason);
        return;
    }
    channel->connection = self;
    channel->since = 0;
    channel->retry_at = channel->retry_wait = 0;
    channel->spoke_at = channels->now;
    self->state = TP_CONNECTION_SPEAKS;
    tp_release(channels->options.allocator, self->hello, sizeof *self->hello);
    self->hello = NULL;
    if (channels->options.calls->connected != NULL)
        channels->options.calls->connected(channels->options.user, channel);
}

static void refused(tp_connection *self)
{
    tp_channels *channels = self->channels;
    const tp_hello *hello = self->hello;
    channels->counts.refusals++;
    /* Views differ for a moment whenever a node comes, leaves or starts anew. */
    bool is_usual = hello->status == TROUPE_UNAVAILABLE || hello->status == TROUPE_NOT_FOUND;
    tp_channels_say(channels, is_usual ? TP_SAY_DEBUG : TP_SAY_WARN, "hello_refused", self->peer,
        "%s", hello->reason);
    if (self->is_client && hello->refused_by_peer && hello->status == TROUPE_DENIED &&
        channels->options.calls->denied != NULL)
        channels->options.calls->denied(channels->options.user, hello->reason);
    (void)write_hello(self);
    tp_connection_end(self, NULL);
}

static void hello_on(tp_connection *self)
{
    if (self->early_size == 0 || self->is_writing)
        return;
    size_t used = 0;
    tp_hello_event event = tp_hello_feed(self->hello, self->early, self->early_size, &used);
    memmove(self->early, self->early + used, self->early_size - used);
    self->early_size -= used;
    if (event == TP_HELLO_JUDGE)
        event = self->is_client ? tp_hello_accept(self->hello, self->channel->session.received)
                                : judge(self);
    if (event == TP_HELLO_REFUSED)
        refused(self);
}

static void hello_step(tp_connection *self)
{
    if (!write_hello(self))
        return;
    hello_on(self);
    if (self->state != TP_CONNECTION_HELLO || !write_hello(self))
        return;
    if (self->hello->state != TP_HELLO_AT_END)
        return;
    settle_in(self);
    if (self->state != TP_CONNECTION_SPEAKS || self->early == NULL)
        return;
    if (self->early_size != 0)
        take_in(self, self->early, self->early_size);
    tp_release(self->channels->options.allocator, self->early, self->early_room);
    self->early = NULL;
    self->early_size = self->early_room = 0;
}

/* ---- passes ---------------------------------------------------------------------------------- */

bool tp_connection_pass(tp_connection *self)
{
    tp_channels *channels = self->channels;
    bool any = self->heard_at == TP_NEVER;
    if (any)
        self->heard_at = channels->now;
    if (self->state == TP_CONNECTION_HELLO)
        hello_step(self);
    if (self->state == TP_CONNECTION_CLOSED)
        return true;
    if (self->broken != NULL) {
        /* What came before the end is handed on first. */
        if (self->state == TP_CONNECTION_SPEAKS && (any || self->channel->has_more)) {
            channels->has_arrivals = true;
            return true;
        }
        tp_connection_end(self, self->broken);
        return true;
    }
    return any;
}

void tp_connection_read_on(tp_connection *self)
{
    const tp_session *session = &self->channel->session;
    if (TP_LIKELY(!self->is_paused) || self->state != TP_CONNECTION_SPEAKS ||
        (tp_session_waiting(session) >= ENOUGH_IN / 2 && !tp_session_wants_more(session)))
        return;
    self->is_paused = false;
    self->channels->options.env->net.pause(self->stream, false);
}

static void write_session(tp_connection *self)
{
    tp_channels *channels = self->channels;
    const tp_channels_options *options = &channels->options;
    tp_session *session = &self->channel->session;
    troupe_slice bytes;
    while (!self->is_writing && self->broken == NULL) {
        if (!options->calls->may_send(options->user) ||
            !tp_session_take(session, channels->now, &bytes))
            return;
        /* Right before the write: what was encoded while the lease held must not leave later. */
        if (!options->calls->may_send(options->user)) {
            on_broken(self, "the lease ran out before a write");
            return;
        }
        self->said_at = channels->now;
        if (write_clear(self, bytes))
            tp_session_written(session);
        else
            self->writes_session = true;
    }
    if (self->tls != NULL && !self->is_writing && self->broken == NULL)
        write_encrypted(self);
}

bool tp_connection_hurry(tp_connection *self)
{
    if (self->state != TP_CONNECTION_SPEAKS || self->is_writing || self->broken != NULL)
        return false;
    uint64_t sent = self->channel->session.sent_to;
    write_session(self);
    return self->channel->session.sent_to != sent;
}

/* When a sign of life is asked for, if none comes before. Who is sent a large batch hears enough,
 * and asks so that its sender does. */
static uint64_t asks_at(const tp_connection *self)
{
    const tp_session *session = &self->channel->session;
    bool takes_batch = tp_session_waiting(session) != 0 && tp_session_wants_more(session);
    uint64_t said = self->said_at > self->asked_at ? self->said_at : self->asked_at;
    uint64_t heard = self->heard_at > self->asked_at ? self->heard_at : self->asked_at;
    return (takes_batch ? tp_sooner(said, heard) : heard) + self->channels->options.keep_alive;
}

/* Asks, and gives up when each time nothing came: a node that stood still meanwhile has asked once
 * more at most. While it does not read, the silence is its own: it asks so that it is heard. */
static uint64_t keep_alive(tp_connection *self)
{
    tp_channels *channels = self->channels;
    uint64_t ask = asks_at(self);
    if (ask > channels->now)
        return ask;
    if (self->asks >= ASKS_MOST) {
        tp_connection_end(self, "nothing was heard for too long");
        return TP_NEVER;
    }
    char *at;
    if (tp_session_put_loose(&self->channel->session, TP_FRAME_PING, 0, TP_WIRE_STAMP_BYTES, &at) ==
        TROUPE_OK) {
        tp_wire_stamp_put(at, channels->now);
        self->asks += !self->is_paused;
    }
    self->asked_at = channels->now;
    return asks_at(self);
}

uint64_t tp_connection_flush(tp_connection *self)
{
    tp_channels *channels = self->channels;
    if (self->state != TP_CONNECTION_SPEAKS) {
        uint64_t end = self->began + channels->options.hello_timeout;
        if (self->state == TP_CONNECTION_HELLO)
            hello_step(self);
        if (self->state == TP_CONNECTION_CLOSED)
            return TP_NEVER;
        if (end <= channels->now) {
            tp_connection_end(self, "it took too long to say hello");
            return TP_NEVER;
        }
        if (self->state != TP_CONNECTION_SPEAKS)
            return end;
    }
    uint64_t due = keep_alive(self);
    if (self->state == TP_CONNECTION_SPEAKS)
        write_session(self);
    if (self->state != TP_CONNECTION_SPEAKS)
        return TP_NEVER;
    return tp_sooner(due, tp_session_due(&self->channel->session));
}

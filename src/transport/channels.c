/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of channels, and what a pass does with each. One connection is connection.c.
 *
 * Threads: the runner's.
 */
#include "transport/inside.h"

#include "base/alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <xxhash.h>

#define CONNECTIONS_MAX 4096
#define HELLO_TIMEOUT   UINT64_C(5000000000)
#define KEEP_ALIVE      UINT64_C(1000000000)
#define IDLE            UINT64_C(60000000000)
#define RETRY_FIRST     UINT64_C(10000000) /* then doubled */
#define COMPLAINT_PAUSE UINT64_C(10000000000)
#define RETRY_CAP       UINT64_C(1000000000)
/* Of all channels. As many turns run in a pass: more would wait in mailboxes and fill them, though
 * who sent them takes no more than its window. */
#define PARCELS_PER_PASS 256

void tp_channels_say(
    tp_channels *channels, int level, const char *event, const char *peer, const char *format, ...)
{
    if (channels->options.log == NULL)
        return;
    char text[640];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    channels->options.log(channels->options.user, level, event, peer, text);
}

void tp_channels_complain(
    tp_channels *channels, const char *event, const char *peer, const char *text)
{
    uint64_t hash = XXH3_64bits(text, strlen(text));
    bool is_known = channels->complained_at != 0 && hash == channels->complaint &&
                    channels->now < channels->complained_at + COMPLAINT_PAUSE;
    if (!is_known) {
        channels->complaint = hash;
        channels->complained_at = channels->now != 0 ? channels->now : 1;
    }
    tp_channels_say(channels, is_known ? TP_SAY_DEBUG : TP_SAY_WARN, event, peer, "%s", text);
}

/* ---- the table ------------------------------------------------------------------------------- */

typedef struct ends {
    uint64_t peer;
    uint16_t shard;
} ends;

static uint64_t hash_of(uint64_t peer, uint16_t shard)
{
    return peer << 16 | shard;
}

static bool is_between(const void *item, const void *key)
{
    const tp_channel *channel = item;
    const ends *wanted = key;
    return channel->peer == wanted->peer && channel->shard == wanted->shard;
}

tp_channel *tp_channels_find(const tp_channels *channels, uint64_t peer, uint16_t shard)
{
    const ends wanted = {peer, shard};
    return tp_index_find(&channels->table, hash_of(peer, shard), is_between, &wanted);
}

static tp_channel *channel_create(tp_channels *channels, uint64_t peer, uint16_t shard)
{
    const tp_channels_options *options = &channels->options;
    tp_channel *channel = tp_allocate_zeroed(options->allocator, sizeof *channel);
    if (channel == NULL)
        return NULL;
    tp_session_options session = options->session;
    session.allocator = options->allocator;
    session.incarnation = options->self.incarnation;
    session.peer = peer & TP_CANDIDATE ? 0 : peer;
    session.view = options->self.view;
    tp_session_init(&channel->session, &session);
    channel->channels = channels;
    channel->peer = peer;
    channel->shard = shard;
    channel->since = channels->now != 0 ? channels->now : 1;
    channel->spoke_at = channels->now;
    if (tp_index_insert(&channels->table, hash_of(peer, shard), channel) != TROUPE_OK) {
        tp_session_deinit(&channel->session);
        tp_release(options->allocator, channel, sizeof *channel);
        return NULL;
    }
    tp_list_push_back(&channels->channels, &channel->link);
    return channel;
}

tp_channel *tp_channels_get(tp_channels *channels, uint64_t peer, uint16_t shard)
{
    tp_channel *channel = channels->latest;
    if (TP_LIKELY(channel != NULL && channel->peer == peer && channel->shard == shard))
        return channel;
    channel = tp_channels_find(channels, peer, shard);
    if (channel != NULL) {
        channels->latest = channel;
        return channel;
    }
    char address[TP_ADDRESS_MAX];
    if (!(peer & TP_CANDIDATE) &&
        !channels->options.calls->find(channels->options.user, peer, address, sizeof address))
        return NULL;
    return channel_create(channels, peer, shard);
}

static void add_counts(tp_session_counts *into, const tp_session_counts *from)
{
    into->batches_out += from->batches_out;
    into->batches_in += from->batches_in;
    into->bytes_out += from->bytes_out;
    into->bytes_in += from->bytes_in;
    into->raw_out += from->raw_out;
    into->resent += from->resent;
    into->duplicates += from->duplicates;
    into->refused += from->refused;
    into->connections += from->connections;
}

static void channel_free(tp_channel *channel)
{
    tp_channels *channels = channel->channels;
    if (channel->connection != NULL)
        tp_connection_end(channel->connection, NULL);
    if (channel->dialling != NULL)
        tp_connection_end(channel->dialling, NULL);
    if (channels->latest == channel)
        channels->latest = NULL;
    if (channels->last == channel)
        channels->last = NULL;
    tp_list_remove(&channel->link);
    tp_index_remove(&channels->table, hash_of(channel->peer, channel->shard), channel);
    add_counts(&channels->counts.sessions, &channel->session.counts);
    tp_session_deinit(&channel->session);
    tp_release(channels->options.allocator, channel, sizeof *channel);
}

void tp_channels_gone(
    tp_channels *channels, uint64_t peer, void (*over)(void *user, tp_channel *channel), void *user)
{
    tp_link *next;
    for (tp_link *link = channels->channels.head.next; link != &channels->channels.head;
         link = next) {
        tp_channel *channel = TP_CONTAINER(link, tp_channel, link);
        next = link->next;
        if (channel->peer != peer)
            continue;
        if (over != NULL)
            over(user, channel);
        channel_free(channel);
    }
}

/* ---- passes ---------------------------------------------------------------------------------- */

static void free_closed(tp_channels *channels)
{
    while (!tp_list_is_empty(&channels->closed))
        tp_connection_free(TP_CONTAINER(tp_list_pop_front(&channels->closed), tp_connection, link));
}

/* What made no sense comes again with each connection: there is not one after the other. */
static void shun(tp_channel *channel)
{
    uint64_t wait = channel->shun_wait != 0 ? channel->shun_wait : RETRY_FIRST;
    channel->shunned_until = channel->channels->now + wait;
    channel->shun_wait = wait * 2 < RETRY_CAP ? wait * 2 : RETRY_CAP;
}

/* The frames that the session has, up to as many parcels as the pass may still take in: what runs
 * of them runs before the next are. True: there was one. */
static bool hand_on(tp_channel *channel)
{
    tp_channels *channels = channel->channels;
    const tp_channels_calls *calls = channels->options.calls;
    bool any = false;
    uint64_t enough = channel->session.parcels_in + channels->parcels_left;
    channel->has_more = false;
    for (;;) {
        if (TP_UNLIKELY(channel->session.parcels_in >= enough)) {
            channel->has_more = true;
            channels->has_arrivals = true;
            return true;
        }
        tp_session_frame frame;
        switch (tp_session_next(&channel->session, &frame)) {
        case TP_SESSION_MORE:
            return any;
        case TP_SESSION_VIEW:
            if (!channel->is_held_up)
                calls->newer_view(channels->options.user, channel->session.peer_view);
            channel->is_held_up = true;
            return any;
        case TP_SESSION_BROKEN:
            shun(channel);
            if (channel->connection != NULL)
                tp_connection_end(channel->connection, channel->session.reason);
            return true;
        case TP_SESSION_FRAME:
            any = true;
            if (frame.kind == TP_FRAME_PONG)
                break; /* to have heard it is all */
            channel->spoke_at = channels->now;
            const char *fault = calls->frame(channels->options.user, channel, &frame);
            if (fault != NULL)
                tp_session_break(&channel->session, &frame, fault);
            else if (frame.number != 0)
                channel->shun_wait = 0;
        }
    }
}

static bool pass_channel(tp_channel *channel)
{
    tp_channels *channels = channel->channels;
    bool any = channel->dialling != NULL && tp_connection_pass(channel->dialling);
    if (channel->connection == NULL)
        return any;
    any |= tp_connection_pass(channel->connection);
    uint64_t before = channel->session.parcels_in;
    any |= hand_on(channel);
    uint64_t taken = channel->session.parcels_in - before;
    if (taken != 0 && taken == channels->parcels_left)
        channels->last = channel;
    channels->parcels_left -= taken;
    if (channel->connection != NULL)
        tp_connection_read_on(channel->connection);
    return any;
}

/* Each once: first the one behind that which took the last parcels of a pass, and with which the
 * others had to wait. */
static bool pass_channels(tp_channels *channels)
{
    bool any = false;
    tp_link *head = &channels->channels.head;
    tp_link *link = channels->last != NULL ? channels->last->link.next : head->next;
    channels->parcels_left = PARCELS_PER_PASS;
    for (size_t left = tp_index_count(&channels->table) + 1; left != 0; left--) {
        if (link != head)
            any |= pass_channel(TP_CONTAINER(link, tp_channel, link));
        link = link->next;
    }
    return any;
}

bool tp_channels_pass(tp_channels *channels, uint64_t now)
{
    channels->now = now;
    channels->has_arrivals = false;
    bool any = false;
    tp_link *next;
    for (tp_link *link = channels->strangers.head.next; link != &channels->strangers.head;
         link = next) {
        next = link->next;
        any |= tp_connection_pass(TP_CONTAINER(link, tp_connection, link));
    }
    any |= pass_channels(channels);
    free_closed(channels);
    return any;
}

static bool has_something_to_say(const tp_channel *channel)
{
    return channel->is_wanted || !tp_session_is_idle(&channel->session);
}

static void let_go(tp_channel *channel)
{
    channel->channels->counts.idles++;
    tp_connection_end(channel->connection, NULL);
    tp_session_trim(&channel->session);
}

static tp_channel *longest_idle(const tp_channels *channels)
{
    tp_channel *found = NULL;
    TP_LIST_EACH(&channels->channels, link)
    {
        tp_channel *channel = TP_CONTAINER(link, tp_channel, link);
        if (channel->connection == NULL || channel->dialling != NULL || channel->has_more ||
            has_something_to_say(channel) || channel->connection->heard_at == TP_NEVER)
            continue;
        if (found == NULL || channel->spoke_at < found->spoke_at)
            found = channel;
    }
    return found;
}

bool tp_channels_make_room(tp_channels *channels, uint64_t peer, uint32_t more)
{
    uint32_t known = channels->connection_count - channels->stranger_count;
    if (known + more <= channels->options.connections_max)
        return true;
    tp_channel *idle = longest_idle(channels);
    if (idle != NULL) {
        let_go(idle);
        return true;
    }
    char address[TP_ADDRESS_MAX] = "?";
    (void)channels->options.calls->find(channels->options.user, peer, address, sizeof address);
    tp_channels_complain(channels, "connections_full", address, TP_CHANNELS_FULL);
    return false;
}

/* One that should have a connection and has none. */
static uint64_t reconnect(tp_channel *channel)
{
    tp_channels *channels = channel->channels;
    if (channel->dialling != NULL || !has_something_to_say(channel))
        return TP_NEVER;
    if (channel->shunned_until > channels->now)
        return channel->shunned_until;
    if (channel->retry_at > channels->now)
        return channel->retry_at;
    uint64_t wait = channel->retry_wait != 0 ? channel->retry_wait : RETRY_FIRST;
    channel->retry_wait = wait * 2 < RETRY_CAP ? wait * 2 : RETRY_CAP;
    channel->retry_at = channels->now + wait;
    if (tp_connection_dial(channel) != TROUPE_OK)
        return channel->retry_at;
    return TP_NEVER;
}

static uint64_t close_if_idle(tp_channel *channel)
{
    tp_channels *channels = channel->channels;
    if (has_something_to_say(channel)) {
        channel->spoke_at = channels->now;
        return TP_NEVER;
    }
    uint64_t due = channel->spoke_at + channels->options.idle;
    if (due > channels->now)
        return due;
    let_go(channel);
    return TP_NEVER;
}

static uint64_t flush(tp_channel *channel)
{
    uint64_t due = TP_NEVER;
    if (channel->dialling != NULL)
        due = tp_connection_flush(channel->dialling);
    if (channel->connection == NULL)
        return tp_sooner(due, reconnect(channel));
    due = tp_sooner(due, tp_connection_flush(channel->connection));
    if (channel->connection == NULL)
        return tp_sooner(due, reconnect(channel));
    return tp_sooner(due, close_if_idle(channel));
}

bool tp_channels_hurry(tp_channel *channel)
{
    return channel->connection != NULL && channel->session.options.batch_delay == 0 &&
           tp_connection_hurry(channel->connection);
}

uint64_t tp_channels_flush(tp_channels *channels, uint64_t now)
{
    channels->now = now;
    uint64_t due = TP_NEVER;
    tp_link *next;
    for (tp_link *link = channels->strangers.head.next; link != &channels->strangers.head;
         link = next) {
        next = link->next;
        due = tp_sooner(due, tp_connection_flush(TP_CONTAINER(link, tp_connection, link)));
    }
    for (tp_link *link = channels->channels.head.next; link != &channels->channels.head;
         link = next) {
        tp_channel *channel = TP_CONTAINER(link, tp_channel, link);
        next = link->next;
        if ((channel->peer & TP_CANDIDATE) && channel->connection == NULL)
            channel_free(channel);
        else
            due = tp_sooner(due, flush(channel));
    }
    free_closed(channels);
    return due;
}

void tp_channels_accept(tp_channels *channels, tp_socket socket, tp_preamble preamble,
    const void *rest, size_t rest_size)
{
    tp_connection_accept(channels, socket, preamble, rest, rest_size);
}

bool tp_channels_has_arrivals(const tp_channels *channels)
{
    return channels->has_arrivals;
}

bool tp_channels_are_idle(const tp_channels *channels)
{
    TP_LIST_EACH(&channels->channels, link)
    {
        if (!tp_session_is_idle(&TP_CONTAINER(link, tp_channel, link)->session))
            return false;
    }
    return true;
}

void tp_channels_set_view(tp_channels *channels, uint64_t incarnation, uint64_t view)
{
    TP_ASSERT(channels->options.self.incarnation == 0 ||
              channels->options.self.incarnation == incarnation);
    channels->options.self.incarnation = incarnation;
    channels->options.self.view = view;
    TP_LIST_EACH(&channels->channels, link)
    {
        tp_channel *channel = TP_CONTAINER(link, tp_channel, link);
        tp_session_set_view(&channel->session, view);
        if (channel->is_held_up)
            channels->has_arrivals = true;
        channel->is_held_up = false;
    }
}

void tp_channels_set_tls(tp_channels *channels, tp_tls_context *context)
{
    if (context != NULL)
        tp_tls_context_retain(context);
    tp_tls_context_release(channels->options.tls);
    channels->options.tls = context;
}

void tp_channels_each(
    tp_channels *channels, void (*visit)(void *user, tp_channel *channel), void *user)
{
    TP_LIST_EACH(&channels->channels, link)
    {
        visit(user, TP_CONTAINER(link, tp_channel, link));
    }
}

tp_channels_counts tp_channels_count(const tp_channels *channels)
{
    tp_channels_counts counts = channels->counts;
    counts.connections = channels->connection_count;
    TP_LIST_EACH(&channels->channels, link)
    {
        add_counts(&counts.sessions, &TP_CONTAINER(link, tp_channel, link)->session.counts);
    }
    return counts;
}

/* ---- begin and end --------------------------------------------------------------------------- */

static void set_defaults(tp_channels_options *options)
{
    if (options->connections_max == 0)
        options->connections_max = CONNECTIONS_MAX;
    if (options->hello_timeout == 0)
        options->hello_timeout = HELLO_TIMEOUT;
    if (options->keep_alive == 0)
        options->keep_alive = KEEP_ALIVE;
    if (options->idle == 0)
        options->idle = IDLE;
}

troupe_status tp_channels_create(const tp_channels_options *options, tp_channels **ret_channels)
{
    tp_channels *channels = tp_allocate_zeroed(options->allocator, sizeof *channels);
    if (channels == NULL)
        return TROUPE_NO_MEMORY;
    channels->options = *options;
    set_defaults(&channels->options);
    tp_session_options session = tp_session_settle_options(&options->session);
    channels->options.self.max_frame = session.max_frame;
    channels->options.self.features = TP_FEATURES;
    tp_list_init(&channels->channels);
    tp_list_init(&channels->strangers);
    tp_list_init(&channels->closed);
    troupe_status status = tp_index_init(&channels->table, options->allocator, 8);
    if (status != TROUPE_OK) {
        tp_release(options->allocator, channels, sizeof *channels);
        return status;
    }
    if (options->tls != NULL)
        tp_tls_context_retain(options->tls);
    *ret_channels = channels;
    return TROUPE_OK;
}

void tp_channels_destroy(tp_channels *channels)
{
    if (channels == NULL)
        return;
    while (!tp_list_is_empty(&channels->strangers))
        tp_connection_end(
            TP_CONTAINER(tp_list_front(&channels->strangers), tp_connection, link), NULL);
    while (!tp_list_is_empty(&channels->channels))
        channel_free(TP_CONTAINER(tp_list_front(&channels->channels), tp_channel, link));
    free_closed(channels);
    tp_index_deinit(&channels->table);
    tp_tls_context_release(channels->options.tls);
    tp_release(channels->options.allocator, channels, sizeof *channels);
}

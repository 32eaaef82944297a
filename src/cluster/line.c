/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an outpost keeps of a channel beside its session: which parcels are not settled yet (a ring
 * by parcel number, as numbers are given one after the other and settled about in that order), and
 * what waits for credit. While a letter waits, words wait behind it: between the same two ends the
 * order is kept.
 *
 * Bounded, each channel for itself, so that a member that takes nothing in is in nobody's way:
 * link_limit letters or BYTES_MAX bytes, beyond which asks are BUSY (counted: busy_link), and
 * words that may be lost are lost. A tell was accepted, and waits: but from half of that on, and
 * TP_HOLD_BACK_AT at most, those who tell such an id are held back before theirs is accepted, so
 * that what comes beyond is what was under way, and one for each bit of a held_back. Tells that
 * other nodes pass on here are bounded by the windows of their channels. What the directory says,
 * and answers, are bounded by what they are about.
 * Threads: the shard's.
 */
#include "cluster/outpost_inside.h"

#include "base/alloc.h"

#define TICKETS   256                  /* parcels that may be unsettled, at first */
#define BYTES_MAX ((uint64_t)64 << 20) /* that wait */

/* A letter, an answer, or a word as bytes. */
typedef struct waiting {
    tp_fifo_node next;
    tp_outpost_letter *letter;
    tp_message *reply;
    uint64_t ticket; /* of a letter; of an answer: whose it is */
    size_t size;     /* of the word */
    uint64_t bytes;
    char word[];
} waiting;

typedef struct line {
    uint64_t *list;  /* of tickets: ring */
    uint64_t size;   /* power of two */
    uint64_t oldest; /* number of the first that may be unsettled */
    tp_fifo waits;
    uint64_t wait_bytes; /* of letters, answers and words in it */
    uint32_t wait_count;
    tp_held_back *held_back;
} line;

static line *line_of(tp_outpost *self, tp_channel *channel)
{
    if (channel->user != NULL)
        return channel->user;
    line *made = tp_allocate_zeroed(self->shard->shared->allocator, sizeof *made);
    if (made == NULL)
        return NULL;
    made->oldest = channel->session.parcels + 1;
    tp_fifo_init(&made->waits);
    channel->user = made;
    return made;
}

/* ---- tickets --------------------------------------------------------------------------------- */

__attribute__((noinline)) static bool grow(tp_outpost *self, line *noted, uint64_t number)
{
    const troupe_allocator *allocator = self->shard->shared->allocator;
    uint64_t size = noted->size != 0 ? noted->size * 2 : TICKETS;
    while (number - noted->oldest >= size)
        size *= 2;
    uint64_t *grown = tp_allocate_zeroed(allocator, size * sizeof *grown);
    if (grown == NULL)
        return false;
    for (uint64_t i = noted->oldest; noted->size != 0 && i < number; i++)
        grown[i & (size - 1)] = noted->list[i & (noted->size - 1)];
    tp_release(allocator, noted->list, noted->size * sizeof *grown);
    noted->list = grown;
    noted->size = size;
    return true;
}

/* Room for the ticket of the next parcel. */
static inline bool make_room(tp_outpost *self, line *noted, uint64_t number)
{
    return TP_LIKELY(number - noted->oldest < noted->size) || grow(self, noted, number);
}

/* 0: it has none. */
uint64_t tp_line_take(tp_channel *channel, uint64_t number)
{
    line *noted = channel->user;
    if (noted == NULL || noted->size == 0 || number < noted->oldest ||
        number - noted->oldest >= noted->size)
        return 0;
    uint64_t *at = &noted->list[number & (noted->size - 1)];
    uint64_t ticket = *at;
    *at = 0;
    uint64_t last = channel->session.parcels;
    while (noted->oldest <= last && noted->list[noted->oldest & (noted->size - 1)] == 0)
        noted->oldest++;
    return ticket;
}

/* ---- who tells too much ---------------------------------------------------------------------- */

uint32_t tp_hold_back_at(const tp_outpost *self)
{
    uint32_t half = self->shard->shared->options.link_limit / 2;
    return half < TP_HOLD_BACK_AT ? half : TP_HOLD_BACK_AT;
}

void tp_hold_back(tp_outpost *self, tp_held_back **held, uint64_t hash)
{
    tp_shard *shard = self->shard;
    if (*held == NULL) {
        *held = tp_allocate_zeroed(shard->shared->allocator, sizeof **held);
        if (*held == NULL) {
            tp_count(&shard->counters.no_memory); /* the next one tries it again */
            return;
        }
        tp_list_push_back(&self->held_backs, &(*held)->link);
    }
    TP_MARK(shard, "senders to another node are held back");
    uint64_t bit = tp_held_back_bit(hash);
    (*held)->bits[bit / 64] |= UINT64_C(1) << bit % 64;
    atomic_fetch_or_explicit(
        &shard->held_back[bit / 64], UINT64_C(1) << bit % 64, memory_order_relaxed);
    tp_crowd(shard, TP_CROWDED_AWAY, true);
}

void tp_let_on(tp_outpost *self, tp_held_back **held)
{
    uint64_t bits[TP_HELD_BACK / 64] = {0};
    if (TP_LIKELY(*held == NULL))
        return;
    tp_list_remove(&(*held)->link);
    tp_release(self->shard->shared->allocator, *held, sizeof **held);
    *held = NULL;
    TP_LIST_EACH(&self->held_backs, link)
    {
        const tp_held_back *other = TP_CONTAINER(link, tp_held_back, link);
        for (uint32_t i = 0; i < TP_HELD_BACK / 64; i++)
            bits[i] |= other->bits[i];
    }
    tp_hold_back_all(self->shard, bits);
}

/* ---- letters and words ----------------------------------------------------------------------- */

static void hurry(tp_outpost *self, tp_channel *channel)
{
    if (TP_UNLIKELY(tp_channel_hurry(channel)))
        TP_MARK(self->shard, "written in the middle of a pass");
}

static troupe_status put_message(tp_outpost *self, tp_channel *channel, line *noted,
    const tp_message *message, const tp_postmark *mark, uint64_t ticket)
{
    uint64_t number = 0;
    if (!make_room(self, noted, channel->session.parcels + 1))
        return TROUPE_NO_MEMORY;
    TROUPE_TRY(tp_translator_put(&self->translator, channel, message, mark, &number));
    noted->list[number & (noted->size - 1)] = ticket;
    tp_count(&self->shard->counters.sent_away);
    hurry(self, channel);
    return TROUPE_OK;
}

static troupe_status put_letter(
    tp_outpost *self, tp_channel *channel, line *noted, tp_outpost_letter *own, uint64_t ticket)
{
    tp_trail_room room;
    const tp_postmark mark = tp_postmark_of(&self->translator, &own->letter, &room);
    TROUPE_TRY(put_message(self, channel, noted, own->message, &mark, ticket));
    tp_pool_give(&self->shard->pool, tp_letter_open(self, &own->letter));
    return TROUPE_OK;
}

/* As much as may be waits, or that divided by `part`. */
static bool is_full(const tp_outpost *self, const line *noted, uint32_t part)
{
    uint32_t limit = self->shard->shared->options.link_limit;
    return noted->wait_count >= limit / part + (limit % part != 0) ||
           noted->wait_bytes >= BYTES_MAX / part;
}

/* `size`: of a word, which is to be written there; `bytes`: of all that waits with it. */
static waiting *wait_at_end(
    tp_outpost *self, tp_channel *channel, line *noted, size_t size, uint64_t bytes)
{
    waiting *made = tp_pool_take(&self->shard->pool, sizeof *made + size);
    if (made == NULL)
        return NULL;
    memset(made, 0, sizeof *made);
    made->size = size;
    made->bytes = bytes;
    tp_fifo_push_back(&noted->waits, &made->next);
    noted->wait_count++;
    noted->wait_bytes += bytes;
    self->waiting++;
    channel->is_wanted = true; /* or it may never say what it takes, and how many */
    return made;
}

/* Which frames the peer takes is known once it has said hello. What is large waits until then. */
static bool is_early(const tp_channel *channel, troupe_status status)
{
    return TP_UNLIKELY(status == TROUPE_TOO_LARGE) && !channel->session.agreed;
}

troupe_status tp_line_pass(tp_outpost *self, tp_channel *channel, tp_message *message,
    const tp_postmark *mark, uint64_t ticket)
{
    line *noted = line_of(self, channel);
    if (noted == NULL)
        return TROUPE_NO_MEMORY;
    if (!tp_fifo_is_empty(&noted->waits) || !tp_session_has_room(&channel->session))
        return TROUPE_BUSY;
    troupe_status status = put_message(self, channel, noted, message, mark, ticket);
    if (status != TROUPE_OK)
        return is_early(channel, status) ? TROUPE_BUSY : status;
    tp_pool_give(&self->shard->pool, message);
    return TROUPE_OK;
}

troupe_status tp_line_tell(tp_outpost *self, tp_channel *channel, const tp_message_parts *parts,
    const tp_message_head *head, const tp_postmark *mark, uint64_t ticket)
{
    line *noted = line_of(self, channel);
    uint64_t number = 0;
    if (noted == NULL || !make_room(self, noted, channel->session.parcels + 1))
        return TROUPE_NO_MEMORY;
    if (!tp_fifo_is_empty(&noted->waits) || !tp_session_has_room(&channel->session))
        return TROUPE_BUSY;
    troupe_status status = tp_translator_put_tell(channel, parts, head, mark, &number);
    if (status != TROUPE_OK)
        return is_early(channel, status) ? TROUPE_BUSY : status;
    noted->list[number & (noted->size - 1)] = ticket;
    tp_count(&self->shard->counters.sent_away);
    hurry(self, channel);
    return TROUPE_OK;
}

troupe_status tp_line_send(
    tp_outpost *self, tp_channel *channel, tp_letter *letter, uint64_t ticket)
{
    tp_outpost_letter *own = TP_CONTAINER(letter, tp_outpost_letter, letter);
    line *noted = line_of(self, channel);
    if (noted == NULL)
        return TROUPE_NO_MEMORY;
    if (tp_fifo_is_empty(&noted->waits) && tp_session_has_room(&channel->session)) {
        troupe_status status = put_letter(self, channel, noted, own, ticket);
        /* BUSY: teaching its name has taken the last room. */
        if (status != TROUPE_BUSY && !is_early(channel, status))
            return status;
    }
    if (is_full(self, noted, 1) && own->message->kind == TP_ASK) {
        TP_MARK(self->shard, "too much waits for another node");
        tp_count(&self->shard->counters.busy_link);
        return TROUPE_BUSY;
    }
    TP_MARK(self->shard, "letter waits for credit");
    waiting *made = wait_at_end(self, channel, noted, 0, letter->bytes);
    if (made == NULL)
        return TROUPE_NO_MEMORY;
    made->letter = own;
    made->ticket = ticket;
    bool is_much = noted->wait_count >= tp_hold_back_at(self) || is_full(self, noted, 2);
    if (is_much && own->message->kind == TP_TELL && letter->from == 0)
        tp_hold_back(self, &noted->held_back, letter->id.hash);
    else if (is_much && own->message->kind == TP_TELL)
        (void)tp_outpost_say_full(self, letter->origin, letter->id.hash, noted->wait_count);
    return TROUPE_OK;
}

/* False: it has to wait. */
static bool put_reply(tp_outpost *self, tp_channel *channel, uint32_t number, tp_message *reply)
{
    const tp_correspondent *to = tp_correspondents_at(&self->translator.correspondents, number);
    troupe_status status = tp_translator_put_reply(&self->translator, channel, reply, to);
    if (is_early(channel, status))
        return false;
    if (status == TROUPE_TOO_LARGE) {
        tp_message *words = tp_outpost_say_too_large(self, channel, reply);
        if (words != NULL)
            status = tp_translator_put_reply(&self->translator, channel, words, to);
        tp_pool_give(&self->shard->pool, words);
    }
    if (status != TROUPE_OK)
        tp_count(&self->shard->counters.no_memory); /* the asker's deadline ends it: UNKNOWN */
    tp_pool_give(&self->shard->pool, reply);
    hurry(self, channel);
    return true;
}

void tp_line_reply(tp_outpost *self, tp_channel *channel, uint32_t to, tp_message *reply)
{
    if (TP_LIKELY(put_reply(self, channel, to, reply)))
        return;
    line *noted = line_of(self, channel);
    size_t bytes = tp_message_bytes(reply);
    waiting *made = noted != NULL ? wait_at_end(self, channel, noted, 0, bytes) : NULL;
    if (made == NULL) {
        tp_count(&self->shard->counters.no_memory);
        tp_pool_give(&self->shard->pool, reply);
        return;
    }
    made->reply = reply;
    made->ticket = to;
}

static troupe_status put_word(tp_channel *channel, const void *bytes, size_t size)
{
    char *at;
    uint64_t number;
    TROUPE_TRY(tp_session_put(&channel->session, TP_FRAME_WORD, 0, size, &at, &number));
    memcpy(at, bytes, size);
    return TROUPE_OK;
}

/* Room for a word's bytes: in the channel's frames, or behind what waits for credit. */
static troupe_status begin_word(tp_outpost *self, tp_channel *channel, size_t size, char **ret_at)
{
    line *noted = channel->user;
    uint64_t number;
    if (noted == NULL || tp_fifo_is_empty(&noted->waits))
        return tp_session_put(&channel->session, TP_FRAME_WORD, 0, size, ret_at, &number);
    waiting *made = wait_at_end(self, channel, noted, size, size);
    if (made == NULL)
        return TROUPE_NO_MEMORY;
    *ret_at = made->word;
    return TROUPE_OK;
}

troupe_status tp_line_say(
    tp_outpost *self, tp_channel *channel, unsigned what, const tp_directory_word *word)
{
    const tp_wire_word out = {.what = (uint8_t)what, .body = {NULL, 0}};
    size_t head = tp_wire_word_size(&out);
    char *at;
    TROUPE_TRY(begin_word(self, channel, head + tp_word_size(&self->translator, word), &at));
    tp_wire_word_put(at, &out);
    tp_word_put(&self->translator, at + head, word);
    return TROUPE_OK;
}

troupe_status tp_line_give(
    tp_outpost *self, tp_channel *channel, unsigned what, const void *body, size_t body_size)
{
    const tp_wire_word out = {.what = (uint8_t)what, .body = {body, body_size}};
    char *at;
    if (channel->user != NULL && is_full(self, channel->user, 1))
        return TROUPE_BUSY;
    TROUPE_TRY(begin_word(self, channel, tp_wire_word_size(&out), &at));
    tp_wire_word_put(at, &out);
    return TROUPE_OK;
}

/* False: it waits on. */
static bool let_out(tp_outpost *self, tp_channel *channel, line *noted, waiting *first)
{
    if (first->reply != NULL)
        return put_reply(self, channel, (uint32_t)first->ticket, first->reply);
    if (first->letter == NULL)
        return put_word(channel, first->word, first->size) == TROUPE_OK;
    if (!tp_session_has_room(&channel->session))
        return false;
    troupe_status status = put_letter(self, channel, noted, first->letter, first->ticket);
    if (status != TROUPE_TOO_LARGE || is_early(channel, status))
        return status == TROUPE_OK;
    /* No frame ever holds it, and all that waits behind it would wait for ever. */
    tp_outpost_no_way(
        self, channel, tp_letter_open(self, &first->letter->letter), first->ticket, status);
    return true;
}

void tp_line_flush(void *user, tp_channel *channel)
{
    tp_outpost *self = user;
    line *noted = channel->user;
    if (noted == NULL)
        return;
    while (!tp_fifo_is_empty(&noted->waits)) {
        waiting *first = TP_CONTAINER(tp_fifo_front(&noted->waits), waiting, next);
        if (!let_out(self, channel, noted, first))
            break;
        tp_fifo_pop_front(&noted->waits);
        noted->wait_count--;
        noted->wait_bytes -= first->bytes;
        self->waiting--;
        tp_pool_give(&self->shard->pool, first);
    }
    channel->is_wanted = !tp_fifo_is_empty(&noted->waits);
    if (noted->wait_count <= tp_hold_back_at(self) / 4 && !is_full(self, noted, 8))
        tp_let_on(self, &noted->held_back);
}

/* Letters that wait are as if they were lost on their way: their tickets die with the member. */
void tp_line_drop(void *user, tp_channel *channel)
{
    tp_outpost *self = user;
    const troupe_allocator *allocator = self->shard->shared->allocator;
    line *noted = channel->user;
    if (noted == NULL)
        return;
    for (tp_fifo_node *node; (node = tp_fifo_pop_front(&noted->waits)) != NULL;) {
        waiting *gone = TP_CONTAINER(node, waiting, next);
        if (gone->letter != NULL)
            tp_pool_give(&self->shard->pool, tp_letter_open(self, &gone->letter->letter));
        tp_pool_give(&self->shard->pool, gone->reply);
        tp_pool_give(&self->shard->pool, gone);
        self->waiting--;
    }
    tp_let_on(self, &noted->held_back);
    tp_release(allocator, noted->list, noted->size * sizeof *noted->list);
    tp_release(allocator, noted, sizeof *noted);
    channel->user = NULL;
}

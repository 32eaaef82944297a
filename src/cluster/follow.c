/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cancels and probes for deadlocks between nodes: words that go after an ask, by the hash of its
 * target. Who lacks the actor passes them on to its home, and that to its host. They are neither
 * settled nor repeated, and may come too early or to nobody: the ask ends by its deadline all the
 * same. What a probe means is in shard/deadlock.c.
 *
 * Invariants: 1. What was read has been checked (shard/probe.h, 2). 2. A word passes
 * TP_PROBE_RELAYS nodes at most, so that two that know no better do not play with it for ever.
 * Threads: the shard's.
 */
#include "cluster/outpost_inside.h"

#include "shard/probe.h"

/* Both begin: hash u64, nodes that it passed u8. */
enum { HEAD = 9, CALL = 8, ASKER = 10, CANCEL = HEAD + CALL + ASKER };
enum { PROBE = HEAD + 8 + 3, EDGE = CALL + ASKER + 17 };
#define PROBE_MAX (PROBE + EDGE * TP_PROBE_HOPS + TP_PROBE_PATH)

/* ---- bytes ----------------------------------------------------------------------------------- */

static char *put_call(char *at, tp_call call, uint64_t node, uint16_t shard)
{
    at = tp_put_32(tp_put_32(at, call.slot), call.generation);
    return tp_put_16(tp_put_64(at, node), shard);
}

static tp_call get_call(tp_in *in, uint64_t *ret_node, uint16_t *ret_shard)
{
    tp_call call = {tp_in_32(in), 0};
    call.generation = tp_in_32(in);
    *ret_node = tp_in_64(in);
    *ret_shard = (uint16_t)tp_in_16(in);
    return call;
}

static char *put_head(char *at, const tp_message *message)
{
    return tp_put_8(tp_put_64(at, message->hash), message->deliveries + 1u);
}

static size_t put_cancel(const tp_outpost *self, const tp_message *cancel, char *out)
{
    uint64_t node = self->options.incarnation;
    uint32_t shard = cancel->from_shard;
    if (tp_is_away(shard))
        node = self->port.whose(&self->port, shard, &shard);
    put_call(put_head(out, cancel), cancel->from, node, (uint16_t)shard);
    return CANCEL;
}

static size_t put_probe(const tp_message *message, char *out)
{
    const tp_probe *probe = (const void *)((const char *)message + message->payload_at);
    char *at = tp_put_64(put_head(out, message), probe->search);
    at = tp_put_8(tp_put_8(tp_put_8(at, probe->round), probe->hops), probe->at);
    for (uint32_t i = 0; i < probe->hops; i++) {
        const tp_probe_edge *edge = &probe->edges[i];
        at = put_call(at, edge->call, edge->node, edge->shard);
        at = tp_put_8(tp_put_64(tp_put_64(at, edge->asked), edge->hash), edge->queued);
    }
    at = tp_put_bytes(at, (troupe_slice){probe->path, probe->path_size});
    return (size_t)(at - out);
}

static const char *get_probe(tp_in *in, tp_probe *ret_probe)
{
    tp_probe *probe = ret_probe;
    probe->search = tp_in_64(in);
    probe->round = tp_in_8(in);
    probe->hops = tp_in_8(in);
    probe->at = tp_in_8(in);
    if (probe->round == 0 || probe->round >= TP_PROBE_ROUNDS || probe->hops > TP_PROBE_HOPS ||
        probe->at >= probe->hops)
        return "a probe of it says what there is not";
    for (uint32_t i = 0; i < probe->hops; i++) {
        tp_probe_edge *edge = &probe->edges[i];
        edge->call = get_call(in, &edge->node, &edge->shard);
        edge->asked = tp_in_64(in);
        edge->hash = tp_in_64(in);
        edge->queued = tp_in_8(in) != 0;
    }
    troupe_slice path = tp_in_rest(in);
    if (!tp_in_ok(in) || path.size > TP_PROBE_PATH)
        return "a probe of it has another size than it says";
    probe->path_size = (uint32_t)path.size;
    tp_bytes_copy(probe->path, path.data, path.size);
    return NULL;
}

/* ---- out and in ------------------------------------------------------------------------------ */

bool tp_follow_send(tp_outpost *self, uint64_t node, const tp_message *message)
{
    char body[PROBE_MAX];
    if (node == 0)
        node = tp_directory_seek(self->directory, message->hash);
    const tp_view_member *member = self->chart != NULL ? tp_chart_member(self->chart, node) : NULL;
    if (member == NULL || node == self->options.incarnation ||
        message->deliveries >= TP_PROBE_RELAYS)
        return false;
    tp_channel *channel =
        tp_outpost_channel(self, node, tp_hash_shard(message->hash, member->shards));
    if (channel == NULL)
        return false;
    bool is_cancel = message->kind == TP_CANCEL;
    size_t size = is_cancel ? put_cancel(self, message, body) : put_probe(message, body);
    TP_MARK(self->shard,
        is_cancel ? "a cancel follows to another node" : "a probe follows to another node");
    return tp_line_give(self, channel, is_cancel ? TP_WORD_CANCEL : TP_WORD_PROBE, body, size) ==
           TROUPE_OK;
}

static const char *cancel_came(tp_outpost *self, tp_in *in, uint64_t hash, unsigned passed)
{
    tp_shard *shard = self->shard;
    uint64_t node;
    uint16_t there, from;
    tp_call call = get_call(in, &node, &there);
    if (!tp_in_ok(in))
        return "a cancel of it has another size than it says";
    const tp_message_parts none = {0};
    tp_message *cancel = tp_translator_find_asker(&self->translator, node, there, hash, &from)
                             ? tp_message_make(&shard->pool, &none)
                             : NULL;
    if (cancel == NULL)
        return NULL; /* without memory: its deadline ends the ask */
    cancel->kind = TP_CANCEL;
    cancel->hash = hash;
    cancel->from = call;
    cancel->from_shard = from;
    cancel->deliveries = (uint8_t)passed;
    tp_cancel_arrived(shard, cancel);
    return NULL;
}

const char *tp_follow_came(tp_outpost *self, unsigned what, troupe_slice body)
{
    tp_in in = tp_in_of(body.data, body.size);
    uint64_t hash = tp_in_64(&in);
    unsigned passed = tp_in_8(&in);
    if (tp_hash_shard(hash, self->shard->shared->shard_count) != self->shard->number)
        return "it is for another shard";
    tp_arrivals_flush(self->shard); /* what it goes after came before it */
    if (what == TP_WORD_CANCEL)
        return cancel_came(self, &in, hash, passed);
    tp_probe probe;
    const char *fault = get_probe(&in, &probe);
    tp_message *message = fault == NULL ? tp_probe_make(&self->shard->pool, &probe) : NULL;
    if (message == NULL)
        return fault;
    message->hash = hash;
    message->deliveries = (uint8_t)passed;
    tp_probe_arrived(self->shard, message);
    return NULL;
}

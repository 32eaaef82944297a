/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_put_parse: what a request of 64 bytes costs between two sessions, without a socket: put into
 * the outgoing buffer, carried over as a kernel would (one copy), taken apart, settled, and the
 * receipts back. Its limit is the same bytes with a length before them, and nothing else.
 * batching*: the same with payloads of 512 bytes of JSON, by messages and bytes a second: each
 * message a batch, all that there is, what comes within a delay, and compressed.
 *
 * Invariants: what is measured goes both ways in turn, and every payload is looked at.
 * Threads: one.
 */
#include "cluster.h"

#include "base/alloc.h"
#include "wire/session.h"

#include <stdio.h>
#include <stdlib.h>

enum { PAYLOAD = 64, ROUND = 64, KERNEL = 1 << 20, TEXTS = 64, TEXT_BYTES = 512 };

typedef struct meeting {
    tp_session sessions[2];
    char *kernel;
    uint64_t now, sum, frames;
    troupe_slice payloads[TEXTS];
    char texts[TEXTS][TEXT_BYTES];
} meeting;

static bool put_round(meeting *self, unsigned from, uint64_t *serial)
{
    tp_session *out = &self->sessions[from];
    char key[TP_BENCH_KEY];
    for (unsigned i = 0; i < ROUND; i++) {
        tp_parcel parcel;
        tp_bench_key(*serial & 0xffff, key);
        troupe_slice type = troupe_str("counter"), method = troupe_str("add");
        parcel.bits = 0;
        parcel.hops = 0;
        parcel.content = 0;
        parcel.name = tp_session_name(out, 17, type, method);
        parcel.hash = *serial;
        parcel.key = troupe_slice_of(key, sizeof key);
        parcel.payload = self->payloads[*serial % TEXTS];
        uint64_t number;
        if (parcel.name == 0 ||
            tp_session_put_parcel(out, TP_FRAME_REQUEST, &parcel, &number) != TROUPE_OK)
            return false;
        ++*serial;
    }
    return true;
}

static bool look_at(meeting *self, tp_session *in, const tp_session_frame *frame)
{
    tp_parcel parcel;
    if (frame->parcel == 0)
        return true;
    if (tp_parcel_get(frame->body, &parcel) != NULL ||
        tp_session_find_name(in, parcel.name) == NULL)
        return false;
    self->sum += parcel.hash + (unsigned char)((const char *)parcel.payload.data)[1];
    self->frames++;
    return tp_session_settle(in, frame->parcel) == TROUPE_OK;
}

static bool carry(meeting *self, unsigned from)
{
    tp_session *out = &self->sessions[from], *in = &self->sessions[1 - from];
    troupe_slice bytes;
    while (tp_session_take(out, self->now, &bytes)) {
        if (bytes.size > KERNEL)
            return false;
        memcpy(self->kernel, bytes.data, bytes.size);
        tp_session_written(out);
        tp_session_frame frame;
        tp_session_event event;
        if (tp_session_feed(in, troupe_slice_of(self->kernel, bytes.size)) != TROUPE_OK)
            return false;
        while ((event = tp_session_next(in, &frame)) == TP_SESSION_FRAME)
            if (!look_at(self, in, &frame))
                return false;
        if (event == TP_SESSION_BROKEN)
            return false;
    }
    return true;
}

static meeting *open_meeting(const tp_session_options *with, size_t payload)
{
    meeting *self = calloc(1, sizeof *self);
    if (self == NULL)
        return NULL;
    self->kernel = malloc(KERNEL);
    for (unsigned i = 0; i < TEXTS; i++) {
        size_t at = 0;
        while (at < TEXT_BYTES)
            at += (size_t)snprintf(self->texts[i] + at, TEXT_BYTES - at,
                "{\"order\":%u,\"customer\":\"c-%u\",\"items\":[%u,%u],\"paid\":true}", i * 7919u,
                i * 31u, i, i + 1u);
        self->payloads[i] = troupe_slice_of(self->texts[i], payload);
    }
    for (unsigned i = 0; i < 2; i++) {
        tp_session_options options = *with;
        options.allocator = tp_allocator_system();
        options.incarnation = 1 + i;
        options.peer = 2 - i;
        tp_session_init(&self->sessions[i], &options);
    }
    for (unsigned i = 0; i < 2; i++)
        if (tp_session_connected(&self->sessions[i], 0) != TROUPE_OK)
            return NULL;
    return self;
}

static void close_meeting(meeting *self)
{
    for (unsigned i = 0; i < 2; i++)
        tp_session_deinit(&self->sessions[i]);
    free(self->kernel);
    free(self);
}

typedef struct result {
    double ns;        /* a message; negative: it failed */
    double wire, raw; /* bytes a message, as sent and before compression */
} result;

/* What waits for company is sent at the end, when the delay has passed. */
static bool carry_rest(meeting *self, uint64_t delay)
{
    self->now += delay;
    return carry(self, 0) && carry(self, 1) && carry(self, 0);
}

static result run(tp_bench *bench, const tp_session_options *with, size_t payload)
{
    meeting *self = open_meeting(with, payload);
    result all = {.ns = 0};
    if (self == NULL)
        return (result){.ns = tp_bench_fail(bench, "no memory")};
    uint64_t start = tp_bench_now_ns(), end = start, serial = 0;
    bool good = true;
    while (good && end - start < tp_bench_run_ns(bench)) {
        for (unsigned i = 0; i < 64 && good; i++) {
            unsigned from = i % 2;
            self->now += 20000;
            good = put_round(self, from, &serial) && carry(self, from) && carry(self, 1 - from);
        }
        end = tp_bench_now_ns();
    }
    good = good && carry_rest(self, with->batch_delay);
    end = tp_bench_now_ns();
    all.ns = (double)(end - start) / (double)self->frames;
    all.wire = (double)(self->sessions[0].counts.bytes_out + self->sessions[1].counts.bytes_out) /
               (double)serial;
    all.raw = (double)(self->sessions[0].counts.raw_out + self->sessions[1].counts.raw_out) /
              (double)serial;
    if (!good)
        all.ns = tp_bench_fail(bench, "%s %s", self->sessions[0].reason, self->sessions[1].reason);
    else if (self->frames != serial)
        all.ns = tp_bench_fail(bench, "put %llu, found %llu", (unsigned long long)serial,
            (unsigned long long)self->frames);
    tp_bench_keep(self->sum);
    close_meeting(self);
    return all;
}

double tp_cluster_wire(tp_bench *bench)
{
    const tp_session_options with = {.codec = TP_CODEC_NONE};
    result all = run(bench, &with, PAYLOAD);
    if (all.ns >= 0)
        tp_bench_also(bench, "wire_bytes", "bytes", all.wire, TP_BENCH_SHOWN, 0);
    return all.ns;
}

/* Its counted rounds go one way, as tells do. */
double tp_cluster_wire_count(tp_bench *bench)
{
    enum { ROUNDS = 256 };
    meeting *self = open_meeting(&(tp_session_options){.codec = TP_CODEC_NONE}, PAYLOAD);
    uint64_t serial = 0;
    bool good = self != NULL;
    for (unsigned i = 0; i < 2 * ROUNDS && good; i++) {
        if (i == ROUNDS)
            tp_bench_count_start(bench);
        self->now += 20000;
        good = put_round(self, 0, &serial) && carry(self, 0) && carry(self, 1);
    }
    if (!good || self->frames != serial)
        return tp_bench_fail(bench, "%s", self != NULL ? self->sessions[1].reason : "no memory");
    tp_bench_count_stop(bench, (uint64_t)ROUNDS * ROUND);
    tp_bench_keep(self->sum);
    close_meeting(self);
    return (double)serial;
}

/* Of one row; the names of its further rows outlive the body. */
static double batches(tp_bench *bench, const tp_session_options *with, const char *bytes_name,
    const char *wire_name)
{
    result all = run(bench, with, TEXT_BYTES);
    if (!(all.ns >= 0))
        return all.ns;
    tp_bench_also(bench, bytes_name, "bytes/s", all.raw * 1e9 / all.ns, TP_BENCH_SHOWN, 0);
    tp_bench_also(bench, wire_name, "bytes a message", all.wire, TP_BENCH_SHOWN, 0);
    return 1e9 / all.ns;
}

double tp_cluster_batching(tp_bench *bench)
{
    return batches(bench, &(tp_session_options){0}, "batching_bytes", "batching_wire");
}

double tp_cluster_batching_none(tp_bench *bench)
{
    return batches(bench, &(tp_session_options){.batch_count = 1}, "batching_none_bytes",
        "batching_none_wire");
}

double tp_cluster_batching_delay(tp_bench *bench)
{
    return batches(bench, &(tp_session_options){.batch_delay = TROUPE_MICROSECONDS(200)},
        "batching_delay_bytes", "batching_delay_wire");
}

double tp_cluster_batching_lz4(tp_bench *bench)
{
    return batches(bench, &(tp_session_options){.codec = TP_CODEC_LZ4}, "batching_lz4_bytes",
        "batching_lz4_wire");
}

double tp_cluster_batching_zstd(tp_bench *bench)
{
    return batches(bench, &(tp_session_options){.codec = TP_CODEC_ZSTD}, "batching_zstd_bytes",
        "batching_zstd_wire");
}

/* The limit: the same key and payload behind their length, copied as often. */
double tp_cluster_wire_framing(tp_bench *bench)
{
    enum { BYTES = 20 + TP_BENCH_KEY + PAYLOAD };
    static char out[ROUND * (4 + BYTES)], kernel[sizeof out], in[sizeof out];
    char key[TP_BENCH_KEY], payload[PAYLOAD];
    memset(payload, 'x', sizeof payload);
    uint64_t start = tp_bench_now_ns(), end = start, serial = 0, sum = 0;
    while (end - start < tp_bench_run_ns(bench)) {
        for (unsigned i = 0; i < 64; i++) {
            char *at = out;
            for (unsigned k = 0; k < ROUND; k++) {
                uint32_t size = BYTES;
                tp_bench_key(serial & 0xffff, key);
                memcpy(at, &size, 4);
                memcpy(at + 4, &serial, 8);
                memcpy(at + 24, key, sizeof key);
                memcpy(at + 24 + sizeof key, payload, sizeof payload);
                at += 4 + BYTES;
                serial++;
            }
            __asm__ volatile("" ::: "memory");
            memcpy(kernel, out, sizeof out);
            __asm__ volatile("" ::: "memory");
            memcpy(in, kernel, sizeof in);
            __asm__ volatile("" ::: "memory");
            for (at = in; at < in + sizeof in;) {
                uint32_t size;
                uint64_t hash;
                memcpy(&size, at, 4);
                memcpy(&hash, at + 4, 8);
                sum += hash + (unsigned char)at[24 + sizeof key + 1];
                at += 4 + size;
            }
        }
        end = tp_bench_now_ns();
    }
    tp_bench_keep(sum);
    return (double)(end - start) / (double)serial;
}

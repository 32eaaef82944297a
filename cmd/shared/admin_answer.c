/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writing half of the admin protocol: answers. Not the reading half, which is admin_codec.c.
 * Invariants and threads: admin_codec.h.
 */
#include "shared/admin_codec.h"

#include <inttypes.h>
#include <stdlib.h>

void admin_write_begin(cmd_bytes *out, const char *id)
{
    cmd_bytes_printf(out, "{\"id\":%s,\"ok\":true", id);
}

void admin_write_end(cmd_bytes *out)
{
    cmd_bytes_text(out, "}\n");
}

void admin_write_text(cmd_bytes *out, const char *name, troupe_slice text)
{
    cmd_bytes_printf(out, ",\"%s\":", name);
    cmd_bytes_json(out, text);
}

void admin_write_number(cmd_bytes *out, const char *name, uint64_t number)
{
    if (number > INT64_MAX) {
        cmd_bytes_printf(out, ",\"%s\":null", name);
    } else {
        cmd_bytes_printf(out, ",\"%s\":%" PRIu64, name, number);
    }
}

void admin_write_bytes(cmd_bytes *out, const char *name, troupe_slice bytes)
{
    if (cmd_utf8_is_valid(bytes)) {
        admin_write_text(out, name, bytes);
        return;
    }
    cmd_bytes_printf(out, ",\"%s_base64\":\"", name);
    cmd_bytes_base64(out, bytes);
    cmd_bytes_text(out, "\"");
}

void admin_write_id(cmd_bytes *out, const char *name, troupe_id id)
{
    size_t size = troupe_id_print(id, NULL, 0);
    char *text = malloc(size + 1);
    if (text == NULL) {
        out->failed = true;
        return;
    }
    troupe_id_print(id, text, size + 1);
    admin_write_bytes(out, name, troupe_slice_of(text, size));
    free(text);
}

void admin_write_error(cmd_bytes *out, const char *id, troupe_status status,
                       troupe_outcome outcome, troupe_slice message)
{
    static const char *const outcomes[] = {
        [TROUPE_DONE] = "DONE",
        [TROUPE_NOT_DONE] = "NOT_DONE",
        [TROUPE_UNKNOWN_OUTCOME] = "UNKNOWN",
    };
    size_t known = sizeof(outcomes) / sizeof(outcomes[0]);
    if (message.size == 0) message = troupe_str(troupe_status_text(status));
    cmd_bytes_printf(out, "{\"id\":%s,\"ok\":false,\"status\":\"%s\",\"code\":%" PRId32
                     ",\"kind\":\"%s\",\"outcome\":\"%s\"", id, troupe_status_name(status),
                     status, troupe_kind_name(troupe_status_kind(status)),
                     (size_t)outcome < known ? outcomes[outcome] : "UNKNOWN");
    admin_write_text(out, "message", message);
    admin_write_end(out);
}

/* ---- the answer of an ask ---- */

/* "application/json", with or without parameters. */
static bool is_json(troupe_slice content_type)
{
    size_t size = strlen(TROUPE_JSON);
    const char *data = content_type.data;
    return content_type.size >= size && memcmp(data, TROUPE_JSON, size) == 0 &&
           (content_type.size == size || data[size] == ';' || data[size] == ' ');
}

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static troupe_slice trim(troupe_slice text)
{
    const char *data = text.data;
    size_t size = text.size;
    while (size > 0 && is_space(data[size - 1])) size--;
    while (size > 0 && is_space(*data)) {
        data++;
        size--;
    }
    return troupe_slice_of(data, size);
}

/* Adds the payload as it is, if a reader of the line can read it there: in an array it must be
 * the one element, so that nothing can break out of its place. False: nothing was added. */
static bool add_raw_json(cmd_bytes *out, troupe_slice payload)
{
    payload = trim(payload);
    size_t begin = out->size;
    if (memchr(payload.data, 0, payload.size) != NULL) return false;
    cmd_bytes_text(out, ",\"payload\":");
    size_t at = out->size;
    cmd_bytes_text(out, "[");
    cmd_bytes_add(out, payload.data, payload.size);
    cmd_bytes_text(out, "]");
    if (out->failed) return false;
    json_t *array = json_loadb(out->data + at, out->size - at, JSON_ALLOW_NUL, NULL);
    bool is_one = json_array_size(array) == 1;
    json_decref(array);
    if (!is_one) {
        out->size = begin;
        return false;
    }
    memmove(out->data + at, out->data + at + 1, payload.size);
    out->size = at + payload.size;
    /* In valid JSON a raw line end is white space between tokens. */
    for (size_t i = at; i < out->size; i++) {
        if (out->data[i] == '\n' || out->data[i] == '\r') out->data[i] = ' ';
    }
    return true;
}

static void write_payload(cmd_bytes *out, troupe_slice payload)
{
    if (cmd_utf8_is_valid(payload)) {
        admin_write_text(out, "payload_text", payload);
    } else {
        cmd_bytes_text(out, ",\"payload_base64\":\"");
        cmd_bytes_base64(out, payload);
        cmd_bytes_text(out, "\"");
    }
}

void admin_write_answer(cmd_bytes *out, const char *id, const troupe_answer *answer)
{
    if (answer->status != TROUPE_OK) {
        admin_write_error(out, id, answer->status, answer->outcome, answer->message);
        return;
    }
    troupe_slice payload = answer->payload;
    admin_write_begin(out, id);
    admin_write_text(out, "content_type", answer->content_type.size > 0
                                              ? answer->content_type : troupe_str(TROUPE_BYTES));
    if (payload.size > 0 && is_json(answer->content_type) && add_raw_json(out, payload)) {
        admin_write_end(out);
        return;
    }
    write_payload(out, payload);
    admin_write_end(out);
}

/* ---- calls ---- */

void admin_write_call(cmd_bytes *out, const admin_call *call)
{
    admin_write_text(out, "method", troupe_str(call->method));
    if (call->timeout > 0) {
        uint64_t least = TROUPE_MILLISECONDS(1);
        admin_write_number(out, "timeout_ms",
                           call->timeout / least + (call->timeout % least != 0));
    }
    if (call->once.size > 0) admin_write_bytes(out, "once", call->once);
    if (!call->has_payload) return;
    write_payload(out, call->payload);
    if (call->content_type != NULL) {
        admin_write_text(out, "content_type", troupe_str(call->content_type));
    }
}

static bool add_base64(const json_t *base64, cmd_bytes *out)
{
    size_t size = 0;
    troupe_slice from = troupe_slice_of(json_string_value(base64), json_string_length(base64));
    char *data = malloc(from.size + 1);
    bool is_good = data != NULL && cmd_base64_decode(from, data, &size);
    if (is_good) cmd_bytes_add(out, data, size);
    free(data);
    return is_good;
}

bool admin_read_payload(const json_t *root, troupe_slice line, cmd_bytes *out)
{
    /* The daemon puts the payload last, as the actor wrote it. */
    static const char begin[] = ",\"payload\":";
    const json_t *text = json_object_get(root, "payload_text");
    const json_t *base64 = json_object_get(root, "payload_base64");
    bool is_good = true;
    if (json_object_get(root, "payload") != NULL) {
        const char *at = memmem(line.data, line.size, begin, sizeof(begin) - 1);
        is_good = at != NULL;
        if (is_good) {
            at += sizeof(begin) - 1;
            cmd_bytes_add(out, at, line.size - (size_t)(at - (const char *)line.data) - 1);
        }
    } else if (base64 != NULL) {
        is_good = add_base64(base64, out);
    } else if (json_string_length(text) > 0) {
        cmd_bytes_add(out, json_string_value(text), json_string_length(text));
    }
    return is_good && !out->failed;
}

/* ---- inspection ---- */

void admin_write_actor(cmd_bytes *out, bool is_first, const char *node,
                       const troupe_actor_info *info)
{
    if (!is_first) cmd_bytes_text(out, ",");
    /* The first member has no comma before it, the writers below put one. */
    cmd_bytes_text(out, "{\"node\":");
    cmd_bytes_json(out, troupe_str(node));
    admin_write_id(out, "actor", info->id);
    admin_write_actor_figures(out, info);
    cmd_bytes_text(out, "}");
}

void admin_write_actor_figures(cmd_bytes *out, const troupe_actor_info *info)
{
    admin_write_number(out, "shard", info->shard);
    admin_write_text(out, "phase", troupe_str(info->phase));
    admin_write_number(out, "age_ns", info->age);
    admin_write_number(out, "idle_ns", info->idle);
    admin_write_number(out, "received", info->received);
    admin_write_number(out, "processed", info->processed);
    admin_write_number(out, "errors", info->errors);
    admin_write_number(out, "queued", info->queued);
    admin_write_number(out, "parked", info->parked);
    admin_write_number(out, "bytes", info->bytes);
}

void admin_write_parked(cmd_bytes *out, const troupe_parked_info *info)
{
    admin_write_id(out, "actor", info->id);
    admin_write_text(out, "method", info->method);
    admin_write_number(out, "shard", info->shard);
    admin_write_number(out, "age_ns", info->age);
    admin_write_number(out, "waiting_ns", info->waiting);
    admin_write_text(out, "reason", troupe_str(info->reason));
    if (info->target.type.size == 0) return;
    admin_write_id(out, "target", info->target);
    admin_write_text(out, "target_method", info->target_method);
}

static void write_distribution(cmd_bytes *out, const char *name, const troupe_distribution *from)
{
    cmd_bytes_printf(out, ",\"%s\":{\"count\":%" PRIu64, name, from->count);
    admin_write_number(out, "mean", from->mean);
    admin_write_number(out, "p50", from->p50);
    admin_write_number(out, "p95", from->p95);
    admin_write_number(out, "p99", from->p99);
    admin_write_number(out, "p999", from->p999);
    admin_write_number(out, "max", from->max);
    cmd_bytes_text(out, "}");
}

static void write_rates(cmd_bytes *out, const troupe_stats *stats)
{
    double hits = troupe_stats_hit_rate(stats);
    cmd_bytes_printf(out, "\"rates\":{\"turns\":%.1f,\"cpu\":%.3f,\"cache_hits\":",
                     stats->turn_rate, stats->cpu);
    if (hits < 0) {
        cmd_bytes_text(out, "null}");
    } else {
        cmd_bytes_printf(out, "%.4f}", hits);
    }
    cmd_bytes_printf(out, ",\"process\":{\"resident\":%" PRIu64, stats->resident);
    admin_write_number(out, "cpu_ns", stats->cpu_time);
    cmd_bytes_text(out, "}");
}

void admin_write_stats(cmd_bytes *out, const troupe_stats *stats)
{
    admin_write_number(out, "uptime_ns", stats->uptime);
    admin_write_number(out, "shards", stats->shards);
    cmd_bytes_text(out, ",\"now\":{\"active\":");
    cmd_bytes_printf(out, "%" PRIu64, stats->active);
    admin_write_number(out, "parked", stats->parked);
    admin_write_number(out, "pending_asks", stats->pending_asks);
    admin_write_number(out, "queued", stats->queued);
    admin_write_number(out, "bytes", stats->bytes);
    admin_write_number(out, "reserved", stats->reserved);
    admin_write_number(out, "fibers", stats->fibers);
    cmd_bytes_text(out, "},");
    write_rates(out, stats);
    cmd_bytes_text(out, ",\"counters\":{");
    const char *comma = "";
#define X(name, text)                                                     \
    cmd_bytes_printf(out, "%s\"" #name "\":%" PRIu64, comma, stats->name); \
    comma = ",";
    TROUPE_COUNTER_MAP(X)
#undef X
    cmd_bytes_text(out, "},\"times_ns\":{\"unit\":\"ns\"");
    write_distribution(out, "turn_time", &stats->turn_time);
    write_distribution(out, "ask_time", &stats->ask_time);
    write_distribution(out, "queue_time", &stats->queue_time);
    write_distribution(out, "cache_time", &stats->cache_time);
    cmd_bytes_text(out, "}");
}

static const troupe_method *method_at(const troupe_type *type, size_t i)
{
    /* An array of a module that was compiled with a larger troupe_method. */
    return (const troupe_method *)(const void *)((const char *)type->methods +
                                                 i * type->method_size);
}

void admin_write_types(cmd_bytes *out, const troupe_type *const *types, size_t count)
{
    cmd_bytes_text(out, ",\"types\":[");
    for (size_t i = 0; i < count; i++) {
        const troupe_type *type = types[i];
        cmd_bytes_text(out, i > 0 ? ",{\"type\":" : "{\"type\":");
        cmd_bytes_json(out, troupe_str(type->name));
        cmd_bytes_text(out, ",\"methods\":[");
        for (size_t k = 0; k < type->method_count; k++) {
            const troupe_method *method = method_at(type, k);
            cmd_bytes_text(out, k > 0 ? ",{\"name\":" : "{\"name\":");
            cmd_bytes_json(out, troupe_str(method->name));
            cmd_bytes_printf(out, ",\"read_only\":%s}", method->read != NULL ? "true" : "false");
        }
        cmd_bytes_printf(out, "],\"catch_all\":%s,\"persistent\":%s",
                         type->otherwise != NULL ? "true" : "false",
                         type->persist != TROUPE_PERSIST_NONE ? "true" : "false");
        admin_write_number(out, "state_bytes", type->state_size);
        cmd_bytes_text(out, "}");
    }
    cmd_bytes_text(out, "]");
}

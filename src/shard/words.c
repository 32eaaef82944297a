/* SPDX-License-Identifier: Apache-2.0 */
/* Words about calls that were not made. See words.h. */
#include "shard/words.h"

#include "base/id.h"
#include "base/text.h"
#include "shard/durable.h"
#include "shard/workers.h"

#include <stdio.h>

typedef struct names {
    tp_text text;
    uint32_t shown, left; /* that fit, that did not */
} names;

static int cut(troupe_slice name)
{
    return name.size < TP_NAME_MAX ? (int)name.size : TP_NAME_MAX;
}

/* Room is left for how many did not fit. */
static void add_name(names *self, troupe_slice name)
{
    if (self->left != 0 || self->text.size + name.size + 40 > self->text.capacity) {
        self->left++;
        return;
    }
    tp_text_printf(
        &self->text, "%s%.*s", self->shown++ == 0 ? "; there are: " : ", ", TROUPE_ARG(name));
}

static troupe_slice finish(names *self)
{
    if (self->left != 0)
        tp_text_printf(&self->text, " and %u more", self->left);
    return tp_text_slice(&self->text);
}

troupe_slice tp_no_room_words(char out[TP_WORDS_MAX], troupe_slice name)
{
    tp_text text;
    tp_text_init(&text, out, TP_WORDS_MAX);
    tp_text_printf(&text,
        "a node on its way does not know the actor type \"%.*s\", and has heard of %u that it does "
        "not host: it learns no more names",
        cut(name), (const char *)name.data, TP_FOREIGN_TOLD);
    return tp_text_slice(&text);
}

troupe_slice tp_no_type_words(char out[TP_WORDS_MAX], tp_shared *shared, troupe_slice name)
{
    const tp_foreign *foreign = &shared->foreign;
    uint64_t view = atomic_load_explicit(&foreign->view, memory_order_acquire);
    uint32_t count = atomic_load_explicit(&foreign->count, memory_order_acquire);
    names self = {0};
    tp_text_init(&self.text, out, TP_WORDS_MAX);
    tp_text_printf(&self.text, "%s actor type \"%.*s\"",
        view != 0 ? "no member of the cluster hosts an" : "this node has no", cut(name),
        (const char *)name.data);
    for (uint32_t i = 0; i < shared->types.count; i++)
        add_name(&self, shared->types.list[i].name);
    for (uint32_t i = 0; i < count; i++)
        if (tp_foreign_is_hosted(shared, i, view))
            add_name(&self, tp_type_at(shared, TP_FOREIGN_FIRST + i)->name);
    return finish(&self);
}

troupe_slice tp_no_method_words(char out[TP_WORDS_MAX], const tp_type *type, troupe_slice method)
{
    names self = {0};
    tp_text_init(&self.text, out, TP_WORDS_MAX);
    tp_text_printf(&self.text, "the type \"%.*s\" has no method \"%.*s\"", TROUPE_ARG(type->name),
        cut(method), (const char *)method.data);
    for (uint32_t i = 0; i < type->method_count; i++)
        add_name(&self, type->methods[i].name);
    return finish(&self);
}

/* What of a call is USAGE. */
static const char *usage_words(const tp_type *type, troupe_id id, troupe_slice method,
    const troupe_call_options *options)
{
    if (!tp_name_is_valid(id.type))
        return "a type's name is 1 to 128 bytes of letters, digits, '_', '.', '-'";
    if (id.key.size == 0)
        return "its key is empty";
    if (id.key.size > TP_KEY_MAX)
        return "its key is longer than 1,024 bytes";
    if (id.partition.size != 0 && !tp_name_is_valid(id.partition))
        return "a partition is 1 to 128 bytes of letters, digits, '_', '.', '-'";
    if (method.data == NULL)
        return "the method is NULL";
    if (options != NULL && options->size != sizeof *options)
        return "its options are not begun with TROUPE_CALL_OPTIONS";
    if (options != NULL && options->retry.jitter > 100)
        return "retry.jitter is above 100 per cent";
    if (options != NULL && options->once.size > TP_ROW_ONCE_MAX)
        return "a once key is 1 to 64 bytes";
    if (options != NULL && options->once.size != 0 && type != NULL && !tp_type_takes_once(type))
        return "once is for types that persist every turn";
    if (options != NULL && options->outbox)
        return "an outbox is for what a turn tells, or asks by troupe_ask_then";
    return troupe_status_text(TROUPE_USAGE);
}

/* What keeps calls of it out, if anything does now: it may have ended since. */
static troupe_slice busy_words(
    char out[TP_WORDS_MAX], tp_shared *shared, const tp_type *type, troupe_id id)
{
    uint64_t hash = tp_type_hash(&shared->types, type, id.partition, id.key);
    const tp_shard *shard = shared->shards[tp_hash_shard(hash, shared->shard_count)];
    tp_text text;
    tp_text_init(&text, out, TP_WORDS_MAX);
    switch (tp_crowding_of(shard, hash, true)) {
    case TP_CROWDED_FULL:
        if (type->number >= TP_FOREIGN_FIRST)
            return troupe_str("its mailbox is full until half is empty");
        tp_text_printf(&text,
            "its mailbox is full until half is empty (mailbox_limit is %u, mailbox_bytes %zu)",
            TP_LIVE_GET(type->is.mailbox_limit), (size_t)type->mailbox_bytes);
        return tp_text_slice(&text);
    case TP_CROWDED_HERE:
        return troupe_str("max_actors are active and none is idle; try again later, or raise it");
    case TP_CROWDED_SHORT:
        return troupe_str(TP_SHORT_WORDS);
    default:
        return troupe_str(troupe_status_text(TROUPE_BUSY));
    }
}

troupe_slice tp_refusal_words(char out[TP_REFUSAL_MAX], tp_shared *shared, troupe_id id,
    troupe_slice method, troupe_status status, const troupe_call_options *options)
{
    char name[TP_ID_MAX + 1], words[TP_WORDS_MAX];
    const tp_type *type = tp_type_known(shared, id.type);
    troupe_slice why = troupe_str(troupe_status_text(status));
    if (status == TROUPE_NO_TYPE)
        why = tp_no_type_words(words, shared, id.type);
    if (status == TROUPE_NO_METHOD && type != NULL)
        why = tp_no_method_words(words, type, method);
    if (status == TROUPE_USAGE)
        why = troupe_str(usage_words(type, id, method, options));
    if (status == TROUPE_BUSY && type != NULL && !tp_type_has_workers(type))
        why = busy_words(words, shared, type, id);
    char large[64];
    if (status == TROUPE_TOO_LARGE) {
        (void)snprintf(large, sizeof large, "its payload is beyond max_message, %llu bytes",
            (unsigned long long)shared->options.max_message);
        why = troupe_str(large);
    }
    troupe_id_print(id, name, sizeof name);
    tp_text text;
    tp_text_init(&text, out, TP_REFUSAL_MAX);
    tp_text_printf(
        &text, "%s %.*s: %.*s", name, cut(method), (const char *)method.data, TROUPE_ARG(why));
    return tp_text_slice(&text);
}

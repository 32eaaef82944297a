/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What operators do to the actors of a vault: an old snapshot becomes the state again, an actor is
 * deleted for good. Both are turns of the actor, among others, and the node may be killed in the
 * middle. What other checkers know of such an actor need not hold any more; what must is here.
 *
 * Threads: one, as world.h.
 */
#include "testkit/vault.h"

#include "base/alloc.h"
#include "node/node.h"
#include "store/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct tp_vault_errand {
    struct tp_vault_errand *next, **link;
    tp_vault *vault;
    uint16_t actor;
    bool erase;
    uint64_t issued;
    uint64_t writes; /* in the snapshot */
} errand;

static void end(errand *self)
{
    *self->link = self->next;
    if (self->next != NULL)
        self->next->link = self->link;
    free(self);
}

void tp_vault_rewinds_forget(tp_vault *vault)
{
    while (vault->errands != NULL)
        end(vault->errands);
    vault->restores_late = false;
}

static bool has_restore(const tp_vault *vault)
{
    for (const errand *self = vault->errands; self != NULL; self = self->next)
        if (!self->erase)
            return true;
    return vault->restores_late;
}

/* What it says is durable, and nothing else is there, unless a later commit has been. */
static void check_done(const errand *self, uint64_t version)
{
    tp_vault *vault = self->vault;
    tp_vault_record record;
    tp_vault_stored(vault, self->actor, &record);
    if (record.version < version)
        tp_vault_violate(vault, "P5 durable",
            "a %s of actor %u made version %llu, and %llu is stored",
            self->erase ? "delete" : "restore", self->actor, (unsigned long long)version,
            (unsigned long long)record.version);
    if (record.version != version)
        return;
    if (record.state.writes != self->writes)
        tp_vault_violate(vault, "P11 restore", "actor %u has %llu writes, and should have %llu",
            self->actor, (unsigned long long)record.state.writes, (unsigned long long)self->writes);
    for (uint32_t i = 0; self->erase && i <= TROUPE_ROW_DEAD; i++)
        if (record.rows[i] != 0 || record.wake != 0)
            tp_vault_violate(
                vault, "P11 delete", "actor %u was deleted, and has rows", self->actor);
}

static void over(void *user, const troupe_answer *answer)
{
    errand *self = user;
    tp_vault *vault = self->vault;
    int status = answer->status;
    unsigned long long version = 0;
    char text[64];
    snprintf(text, sizeof text, "%.*s", TROUPE_ARG(answer->payload));
    if (status == TROUPE_OK && sscanf(text, "%d %llu", &status, &version) != 2)
        tp_vault_violate(vault, "P3 answer", "an operator is told '%s'", text);
    tp_world_trace(vault->world, 904, ((uint64_t)status << 32) | version);
    bool erase = self->erase;
    uint64_t issued = self->issued;
    tp_vault_actor *actor = &vault->actors[self->actor];
    if (status == TROUPE_OK)
        check_done(self, version);
    else if (!erase && answer->outcome != TROUPE_NOT_DONE)
        vault->restores_late = true;
    end(self);
    if (status == TROUPE_OK && erase && !has_restore(vault))
        actor->deleted = issued;
}

/* The bytes of one of the actor's snapshots, in `op`, which is to be released. */
static bool read_snapshot(
    tp_vault *vault, uint16_t actor, uint32_t pick, troupe_store_op *op, troupe_slice *ret_bytes)
{
    troupe_store_op list = {.kind = TROUPE_STORE_LIST_SNAPSHOTS,
        .id = tp_vault_id(vault, actor),
        .limit = 100,
        .allocator = tp_allocator_system()};
    tp_vault_look(vault, &list);
    uint64_t version = 0;
    for (const troupe_store_item *item = list.items; item != NULL; item = item->next) {
        version = item->number;
        if (pick-- % 4 == 0)
            break;
    }
    troupe_store_release(&list);
    *op = (troupe_store_op){.kind = TROUPE_STORE_READ_SNAPSHOT,
        .id = list.id,
        .from = version,
        .allocator = tp_allocator_system()};
    if (version != 0)
        tp_vault_look(vault, op);
    if (version == 0 || op->status != TROUPE_OK || op->items == NULL)
        return false;
    const char *reason = "";
    if (tp_record_open(op->items->value, tp_record_seed(list.id), ret_bytes, &reason) != TROUPE_OK)
        tp_vault_violate(vault, "P11 snapshots", "one of actor %u: %s", actor, reason);
    return true;
}

void tp_vault_rewind(tp_vault *vault, uint16_t actor, bool erase, uint32_t pick)
{
    troupe_store_op op = {.items = NULL};
    troupe_slice bytes = {NULL, 0};
    if (!vault->actors[actor].rewinds ||
        (!erase && !read_snapshot(vault, actor, pick, &op, &bytes)))
        return;
    errand *self = calloc(1, sizeof *self);
    tp_vault_state *state = calloc(1, sizeof *state);
    if (self == NULL || state == NULL)
        abort();
    if (!erase)
        tp_vault_state_read(vault, actor, bytes, state);
    *self = (errand){.next = vault->errands,
        .link = &vault->errands,
        .vault = vault,
        .actor = actor,
        .erase = erase,
        .issued = tp_world_now(vault->world),
        .writes = state->writes};
    free(state);
    if (self->next != NULL)
        self->next->link = &self->next;
    vault->errands = self;
    troupe_status status = tp_node_errand_callback(vault->node, tp_vault_id(vault, actor),
        erase ? TP_ERRAND_DELETE : TP_ERRAND_RESTORE, bytes, 0, over, self);
    if (op.items != NULL)
        troupe_store_release(&op);
    if (status != TROUPE_OK)
        end(self);
}

/* Of those that may be restored: some are there, and not too many. */
void tp_vault_check_snapshots(tp_vault *vault, uint16_t actor)
{
    if (!tp_vault_restores(vault))
        return;
    tp_vault_record record;
    tp_vault_stored(vault, actor, &record);
    troupe_store_op list = {.kind = TROUPE_STORE_LIST_SNAPSHOTS,
        .id = tp_vault_id(vault, actor),
        .limit = 1000,
        .allocator = tp_allocator_system()};
    tp_vault_look(vault, &list);
    uint64_t interval = vault->node_options.prune_interval;
    uint32_t count = 0, due = 0;
    for (const troupe_store_item *item = list.items; item != NULL; item = item->next) {
        count++;
        due += item->time + 2 * interval < vault->rested;
    }
    troupe_store_release(&list);
    /* Turns make new ones until the end; those of the last interval may be there. */
    if ((record.state.writes != 0 && count == 0) || due > VAULT_SNAPSHOTS)
        tp_vault_violate(
            vault, "P11 snapshots", "actor %u has %u, %u of them old", actor, count, due);
}

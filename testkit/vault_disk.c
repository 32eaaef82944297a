/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store of a vault on a simulated disk: the provider `sqlite:` of the product, as a node has
 * it, on files that know what was synced. A life ends in one of two ways. A process that was killed
 * leaves what it wrote, synced or not, as an operating system does. With the power goes each sector
 * that was not synced, or stays, in any order: at any step of the node, in the middle of a write,
 * and while a store is opened.
 *
 * Threads: one, as world.h.
 */
#include "testkit/vault.h"

#include "base/alloc.h"
#include "providers/table.h"
#include "shard/shard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool mutant(const tp_vault *vault, uint32_t number)
{
    return (vault->options->mutants >> number) & 1;
}

static void set(tp_vault *vault, tp_sim_disk_plan plan)
{
    plan.lies = mutant(vault, TP_MUTANT_NO_SYNC);
    tp_sim_disk_set(vault->disk, &plan);
}

/* False: the power failed before it was open. */
static bool open_store(tp_vault *vault)
{
    const troupe_store_host host = tp_world_store_host(vault->world);
    char error[400] = "";
    troupe_status status =
        tp_sqlite_provider.open(&host, vault->disk_url, &vault->inner, error, sizeof error);
    if (status == TROUPE_OK)
        return true;
    if (!tp_sim_disk_is_down(vault->disk))
        tp_vault_violate(vault, "open", "the store on its disk: %s", error);
    vault->inner = NULL;
    return false;
}

void tp_vault_disk_make(tp_vault *vault, tp_prng *prng)
{
    tp_prng_seed(&vault->disk_prng, tp_prng_next(prng));
    vault->disk = tp_sim_disk_create(tp_prng_next(prng));
    if (vault->disk == NULL)
        abort();
    if (tp_prng_chance(prng, 1, 2))
        vault->disk_errors = (uint32_t)tp_prng_below(prng, vault->scenario->disk_errors + 1);
    uint32_t page = 512U << tp_prng_below(prng, 4), log = 10 + (uint32_t)tp_prng_below(prng, 200);
    snprintf(vault->disk_url, sizeof vault->disk_url,
        "sqlite:vault.db?log=%u&cache=1&page=%u&vfs=%s%s", log, page, tp_sim_disk_name(vault->disk),
        mutant(vault, TP_MUTANT_SYNC_LATE) ? "&accept=not-P5" : "");
    set(vault, (tp_sim_disk_plan){0});
    if (!open_store(vault))
        abort();
}

void tp_vault_disk_dispose(tp_vault *vault)
{
    tp_sim_disk_destroy(vault->disk);
}

void tp_vault_disk_live(tp_vault *vault, bool calm)
{
    tp_prng *prng = &vault->disk_prng;
    vault->disk_plan = (tp_sim_disk_plan){0};
    if (!calm) {
        vault->disk_plan.errors = vault->disk_errors;
        if (tp_prng_chance(prng, 1, 2))
            vault->disk_plan.crash_at = 1 + tp_prng_below(prng, 800);
        if (tp_prng_chance(prng, 1, 2))
            vault->disk_plan.delay = 1 + tp_prng_below(prng, TROUPE_MILLISECONDS(3));
        vault->disk_plan.wait = tp_vault_pass_time;
        vault->disk_plan.user = vault;
    }
    set(vault, vault->disk_plan);
}

void tp_vault_disk_break(tp_vault *vault, uint32_t pick)
{
    tp_sim_disk_plan plan = vault->disk_plan;
    plan.crash_at = 0;
    if (pick & 1)
        plan.errors = 1024;
    else
        plan.room = tp_sim_disk_bytes(vault->disk) + (pick >> 8) % 4000;
    tp_world_mark(vault->world, pick & 1 ? "the disk fails for a while" : "the disk is full");
    set(vault, plan);
}

void tp_vault_disk_heal(tp_vault *vault)
{
    set(vault, vault->disk_plan);
}

void tp_vault_disk_crash(tp_vault *vault, bool power)
{
    tp_prng *prng = &vault->disk_prng;
    bool is_open = false;
    tp_world_cancel(vault->world, &vault->outage);
    while (!is_open) {
        tp_world_mark(vault->world, power ? "the power fails" : "a process is killed");
        if (power)
            tp_sim_disk_crash(vault->disk);
        else
            tp_sim_disk_kill(vault->disk);
        if (vault->inner != NULL)
            vault->inner->close(vault->inner); /* its files are dead */
        vault->inner = NULL;
        tp_sim_disk_plan plan = {0};
        if (tp_prng_chance(prng, 1, 4))
            plan.crash_at = 1 + tp_prng_below(prng, 60);
        set(vault, plan);
        is_open = open_store(vault);
        power = true;
        if (!is_open)
            tp_world_mark(vault->world, "the power fails while a store is opened");
    }
}

/* After the last node has closed the power fails once more. */
void tp_vault_disk_check(tp_vault *vault)
{
    set(vault, (tp_sim_disk_plan){0});
    tp_sim_disk_crash(vault->disk);
    vault->inner->close(vault->inner);
    if (!open_store(vault))
        abort();
    troupe_store_op op = {
        .kind = TROUPE_STORE_HEALTH, .keep = 1, .allocator = tp_allocator_system()};
    troupe_store_op *list[] = {&op};
    vault->inner->run(vault->inner, list, 1);
    if (op.status != TROUPE_OK)
        tp_vault_violate(vault, "store", "its check says: %.*s",
            op.items != NULL ? (int)op.items->value.size : 0,
            op.items != NULL ? (const char *)op.items->value.data : "");
    troupe_store_release(&op);
}

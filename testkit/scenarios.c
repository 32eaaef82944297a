/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scenarios: which deeds are drawn, over which types, within which limits. Weights are
 * relative; a seed leaves out some acts and types of its scenario, so that rare mixtures come too.
 */
#include "testkit/town.h"
#include "testkit/vault.h"

#include <string.h>

/* clang-format off */
#define EVERY_TYPE {4, 4, 4, 4, 4, 4, 3, 3, 2}
#define USUAL_OPS                                                                                  \
    {[TP_OP_ASK] = 50, [TP_OP_TELL] = 30, [TP_OP_BURST] = 1, [TP_OP_WAIT] = 6,                     \
        [TP_OP_DEACTIVATE] = 3, [TP_OP_LOOK] = 2, [TP_OP_BLOCKING] = 2}
#define USUAL_ACTS                                                                                 \
    {[TP_ACT_WRITE] = 30, [TP_ACT_ASK] = 20, [TP_ACT_TELL] = 12, [TP_ACT_CALL] = 8,                \
        [TP_ACT_SLEEP] = 10, [TP_ACT_YIELD] = 4, [TP_ACT_BLOCK] = 3, [TP_ACT_WORK] = 3,            \
        [TP_ACT_TIMER] = 3, [TP_ACT_UNTIMER] = 1, [TP_ACT_DEFER] = 3, [TP_ACT_ALLOC] = 2,          \
        [TP_ACT_REPLY] = 2, [TP_ACT_LEAVE] = 2, [TP_ACT_FAIL] = 2, [TP_ACT_ERROR] = 1,             \
        [TP_ACT_PANIC] = 1}

static const tp_vault_scenario ledgers = {
    .ops = {[TP_VAULT_ASK] = 60, [TP_VAULT_BURST] = 4, [TP_VAULT_AGAIN] = 10, [TP_VAULT_WAIT] = 8,
        [TP_VAULT_DEACTIVATE] = 6,
        [TP_VAULT_MEDDLE] = 2},
    .kinds = {[TP_VAULT_PUT] = 30, [TP_VAULT_FAIL] = 8, [TP_VAULT_SEND] = 14, [TP_VAULT_THEN] = 14,
        [TP_VAULT_TELL] = 6, [TP_VAULT_MID] = 10, [TP_VAULT_SHOW] = 10, [TP_VAULT_PEEK] = 5},
    .types = {6, 3, 3, 2, 1, 2}, .once = 5,
    .delay_most = TROUPE_MILLISECONDS(5), .tight_actors = true};
static const tp_vault_scenario crashes = {
    .ops = {[TP_VAULT_ASK] = 60, [TP_VAULT_BURST] = 6, [TP_VAULT_AGAIN] = 10, [TP_VAULT_WAIT] = 5,
        [TP_VAULT_DEACTIVATE] = 3, [TP_VAULT_CRASH] = 6},
    .kinds = {[TP_VAULT_PUT] = 30, [TP_VAULT_FAIL] = 5, [TP_VAULT_SEND] = 14, [TP_VAULT_THEN] = 14,
        [TP_VAULT_TELL] = 6, [TP_VAULT_MID] = 10, [TP_VAULT_SHOW] = 10, [TP_VAULT_PEEK] = 3},
    .types = {6, 3, 3, 1, 1, 1}, .once = 6,
    .faults = {[TP_FAULT_SILENT] = 100, [TP_FAULT_LATE] = 60},
    .delay_most = TROUPE_MILLISECONDS(5)};
static const tp_vault_scenario stores = {
    .ops = {[TP_VAULT_ASK] = 60, [TP_VAULT_BURST] = 4, [TP_VAULT_AGAIN] = 10, [TP_VAULT_WAIT] = 5,
        [TP_VAULT_DEACTIVATE] = 5, [TP_VAULT_OUTAGE] = 4, [TP_VAULT_CRASH] = 1},
    .kinds = {[TP_VAULT_PUT] = 30, [TP_VAULT_FAIL] = 5, [TP_VAULT_SEND] = 14, [TP_VAULT_THEN] = 14,
        [TP_VAULT_TELL] = 6, [TP_VAULT_MID] = 8, [TP_VAULT_SHOW] = 8, [TP_VAULT_PEEK] = 3},
    .types = {6, 3, 3, 1, 1, 1}, .once = 6,
    .faults = {[TP_FAULT_REFUSED] = 120, [TP_FAULT_LOST] = 120, [TP_FAULT_SILENT] = 120,
        [TP_FAULT_LATE] = 120, [TP_FAULT_TWICE] = 120},
    .delay_most = TROUPE_MILLISECONDS(40), .tight_actors = true};

static const tp_vault_scenario bells = {
    .ops = {[TP_VAULT_ASK] = 60, [TP_VAULT_BURST] = 3, [TP_VAULT_AGAIN] = 5, [TP_VAULT_WAIT] = 12,
        [TP_VAULT_DEACTIVATE] = 5, [TP_VAULT_OUTAGE] = 1, [TP_VAULT_CRASH] = 4,
        [TP_VAULT_RESTORE] = 5, [TP_VAULT_DELETE] = 2},
    .kinds = {[TP_VAULT_PUT] = 20, [TP_VAULT_FAIL] = 3, [TP_VAULT_SEND] = 6, [TP_VAULT_THEN] = 6,
        [TP_VAULT_MID] = 4, [TP_VAULT_SHOW] = 4, [TP_VAULT_REMIND] = 24, [TP_VAULT_UNREMIND] = 8},
    .types = {6, 3, 3, 1, 1, 1}, .once = 4,
    .faults = {[TP_FAULT_REFUSED] = 60, [TP_FAULT_LOST] = 60, [TP_FAULT_SILENT] = 60,
        [TP_FAULT_LATE] = 60, [TP_FAULT_TWICE] = 60},
    .delay_most = TROUPE_MILLISECONDS(10), .tight_actors = true};
static const tp_vault_scenario disks = {
    .ops = {[TP_VAULT_ASK] = 60, [TP_VAULT_BURST] = 6, [TP_VAULT_AGAIN] = 10, [TP_VAULT_WAIT] = 5,
        [TP_VAULT_DEACTIVATE] = 4, [TP_VAULT_OUTAGE] = 2, [TP_VAULT_CRASH] = 4,
        [TP_VAULT_RESTORE] = 2, [TP_VAULT_DELETE] = 1},
    .kinds = {[TP_VAULT_PUT] = 30, [TP_VAULT_FAIL] = 5, [TP_VAULT_SEND] = 14, [TP_VAULT_THEN] = 14,
        [TP_VAULT_TELL] = 6, [TP_VAULT_MID] = 10, [TP_VAULT_SHOW] = 10, [TP_VAULT_PEEK] = 3,
        [TP_VAULT_REMIND] = 6, [TP_VAULT_UNREMIND] = 2},
    .types = {6, 3, 3, 1, 1, 1}, .once = 6,
    .faults = {[TP_FAULT_REFUSED] = 20},
    .delay_most = TROUPE_MILLISECONDS(2), .tight_actors = true, .disk = true, .disk_errors = 30};

static const tp_town_scenario towns = {
    .ops = {[TOWN_ASKS] = 60, [TOWN_WAIT] = 12, [TOWN_DEACTIVATE] = 4, [TOWN_START] = 5,
        [TOWN_LEAVE] = 4, [TOWN_MOVE] = 8,
        [TOWN_KILL] = 4, [TOWN_PAUSE] = 3, [TOWN_CUT] = 4, [TOWN_OUTAGE] = 2,
        [TOWN_FAULTS] = 1},
    .faults = {[TP_FAULT_REFUSED] = 60, [TP_FAULT_LOST] = 60, [TP_FAULT_SILENT] = 60,
        [TP_FAULT_LATE] = 60, [TP_FAULT_TWICE] = 60}};

static const tp_scenario scenarios[] = {
    {.name = "mixed", .about = "a little of everything", .share = 20, .ops = USUAL_OPS,
        .acts = USUAL_ACTS,
        .types = EVERY_TYPE, .actors_most = 24, .effects = 2000},
    {.name = "order", .about = "many tells between few actors, tiny mailboxes and links",
        .share = 12,
        .ops = {[TP_OP_ASK] = 20, [TP_OP_TELL] = 60, [TP_OP_BURST] = 4, [TP_OP_LOOK] = 12,
            [TP_OP_WAIT] = 2},
        .acts = {[TP_ACT_WRITE] = 30, [TP_ACT_TELL] = 40, [TP_ACT_ASK] = 6, [TP_ACT_CALL] = 6,
            [TP_ACT_SLEEP] = 4, [TP_ACT_YIELD] = 4, [TP_ACT_LEAVE] = 2},
        .types = {3, 4, 3, 4, 3, 1, 0, 0, 1}, .actors_most = 8, .effects = 2500,
        .tight_mailboxes = true,
        .tight_links = true},
    {.name = "circles",
        .about = "independent callers wait for each other, with timeouts and cancels", .share = 12,
        .ops = {[TP_OP_CIRCLE] = 40, [TP_OP_ASK] = 30, [TP_OP_TELL] = 5, [TP_OP_WAIT] = 20,
            [TP_OP_LOOK] = 1},
        .acts = {[TP_ACT_WRITE] = 20, [TP_ACT_ASK] = 40, [TP_ACT_SLEEP] = 20, [TP_ACT_YIELD] = 4,
            [TP_ACT_BLOCK] = 3, [TP_ACT_CALL] = 3},
        .types = {6, 3, 3, 1, 2, 1, 0, 0, 1}, .actors_most = 8, .effects = 2000},
    {.name = "lives", .about = "few may be active, short idle ages, states that must come back",
        .share = 14,
        .ops = {[TP_OP_ASK] = 50, [TP_OP_TELL] = 40, [TP_OP_WAIT] = 10, [TP_OP_DEACTIVATE] = 10,
            [TP_OP_LOOK] = 2, [TP_OP_BLOCKING] = 2},
        .acts = {[TP_ACT_WRITE] = 40, [TP_ACT_ASK] = 10, [TP_ACT_TELL] = 12, [TP_ACT_CALL] = 4,
            [TP_ACT_SLEEP] = 6, [TP_ACT_TIMER] = 6, [TP_ACT_UNTIMER] = 2, [TP_ACT_LEAVE] = 6,
            [TP_ACT_FAIL] = 2, [TP_ACT_ALLOC] = 2},
        .types = {2, 2, 1, 2, 8, 6, 1, 1, 3}, .actors_most = 30, .effects = 2000,
        .tight_actors = true,
        .short_idle = true},
    {.name = "limits", .about = "bursts against small limits of everything", .share = 12,
        .ops = {[TP_OP_ASK] = 40, [TP_OP_TELL] = 20, [TP_OP_BURST] = 20, [TP_OP_LOOK] = 3,
            [TP_OP_WAIT] = 5,
            [TP_OP_BLOCKING] = 2},
        .acts = USUAL_ACTS, .types = EVERY_TYPE, .actors_most = 24, .effects = 2500,
        .tight_mailboxes = true,
        .tight_links = true, .tight_asks = true, .tight_fibers = true, .tight_inbox = true,
        .short_idle = true},
    {.name = "floods", .about = "bursts over small links, shards that pause", .share = 19,
        .ops = {[TP_OP_ASK] = 10, [TP_OP_TELL] = 10, [TP_OP_BURST] = 40, [TP_OP_LOOK] = 1,
            [TP_OP_WAIT] = 4},
        .acts = {[TP_ACT_WRITE] = 30, [TP_ACT_ASK] = 20, [TP_ACT_TELL] = 20, [TP_ACT_CALL] = 30,
            [TP_ACT_SLEEP] = 3},
        .types = {3, 3, 1, 6, 1, 0, 0, 0, 0}, .actors_most = 12, .effects = 4000,
        .tight_links = true, .stormy = true},
    {.name = "memory", .about = "little memory, so that idle actors must go", .share = 8,
        .ops = USUAL_OPS, .acts = USUAL_ACTS, .types = EVERY_TYPE, .actors_most = 32,
        .effects = 2000,
        .tight_memory = true},
    {.name = "failures", .about = "panics, errors, restarts, poison", .share = 12,
        .ops = {[TP_OP_ASK] = 50, [TP_OP_TELL] = 40, [TP_OP_WAIT] = 10, [TP_OP_DEACTIVATE] = 2,
            [TP_OP_LOOK] = 1},
        .acts = {[TP_ACT_WRITE] = 40, [TP_ACT_ASK] = 12, [TP_ACT_TELL] = 6, [TP_ACT_CALL] = 8,
            [TP_ACT_SLEEP] = 8, [TP_ACT_TIMER] = 5, [TP_ACT_DEFER] = 6, [TP_ACT_REPLY] = 4,
            [TP_ACT_LEAVE] = 1, [TP_ACT_FAIL] = 10, [TP_ACT_ERROR] = 8, [TP_ACT_PANIC] = 10},
        .types = {3, 3, 3, 3, 3, 4, 8, 6, 3}, .actors_most = 14, .effects = 2000},
    {.name = "deadlines", .about = "short timeouts and cancels that race answers", .share = 14,
        .ops = USUAL_OPS,
        .acts = {[TP_ACT_WRITE] = 30, [TP_ACT_ASK] = 30, [TP_ACT_TELL] = 8, [TP_ACT_CALL] = 12,
            [TP_ACT_SLEEP] = 16, [TP_ACT_YIELD] = 4, [TP_ACT_BLOCK] = 4, [TP_ACT_WORK] = 6,
            [TP_ACT_FAIL] = 2},
        .types = EVERY_TYPE, .actors_most = 10, .effects = 2000, .deadlines = true},
    {.name = "closing", .about = "the node closes in the middle of all", .share = 10,
        .ops = USUAL_OPS,
        .acts = USUAL_ACTS, .types = EVERY_TYPE, .actors_most = 20, .effects = 2500,
        .closes = true},
    {.name = "scarce", .about = "allocations fail", .share = 8, .ops = USUAL_OPS,
        .acts = USUAL_ACTS,
        .types = EVERY_TYPE, .actors_most = 16, .effects = 2000, .memory_fails = true},
    {.name = "ledgers", .about = "actors that commit every turn, calls once, outboxes",
        .share = 3, .effects = 2000, .vault = &ledgers},
    {.name = "crashes", .about = "the same, and the node is killed again and again",
        .share = 4, .effects = 2000, .vault = &crashes},
    {.name = "stores", .about = "the same on stores that refuse, lose, are late and say nothing",
        .share = 4, .effects = 2000, .vault = &stores},
    {.name = "disks", .about = "the same on sqlite: and disks that lose what was not synced",
        .share = 4, .effects = 2000, .vault = &disks},
    {.name = "bells", .about = "reminders, restores, deletes and retention in all of that",
        .share = 8, .effects = 2000, .vault = &bells},
    {.name = "cluster", .about = "several nodes that are killed, stopped, cut off, join and leave",
        .effects = 2000, .town = &towns},
};
/* clang-format on */

uint32_t tp_scenario_count(void)
{
    return sizeof scenarios / sizeof scenarios[0];
}

const tp_scenario *tp_scenario_at(uint32_t index)
{
    return &scenarios[index];
}

const tp_scenario *tp_scenario_find(const char *name)
{
    for (uint32_t i = 0; i < tp_scenario_count(); i++)
        if (strcmp(scenarios[i].name, name) == 0)
            return &scenarios[i];
    return NULL;
}

/* One kind or the other is drawn first, so that one keeps its seeds when the other grows. */
static uint32_t share_of(uint32_t index, bool vaults)
{
    return (scenarios[index].vault != NULL) == vaults ? scenarios[index].share : 0;
}

const tp_scenario *tp_scenario_draw(uint64_t seed)
{
    uint64_t other = seed ^ UINT64_C(0x7A01715D);
    bool vaults = tp_prng_split(&other) % 5 == 0;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < tp_scenario_count(); i++)
        sum += share_of(i, vaults);
    seed ^= UINT64_C(0x5CE9A210);
    uint64_t drawn = tp_prng_split(&seed) % sum;
    uint32_t i = 0;
    while (drawn >= share_of(i, vaults))
        drawn -= share_of(i++, vaults);
    return &scenarios[i];
}

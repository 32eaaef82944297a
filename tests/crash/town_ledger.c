/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the town was asked, what it answered, and whether its store agrees; see town.h. The store
 * is read as the next node would read it: behind the closed writers of those before.
 *
 * Threads: the test's one.
 */
#include "town.h"

#include "base/alloc.h"
#include "store/record.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* ---- deeds ---------------------------------------------------------------------------------- */

town_entry *town_ledger_new(town_ledger *self, uint32_t chance)
{
    if (self->used == TOWN_SLOTS)
        return NULL;
    uint32_t slot = self->used++;
    uint32_t kind = chance % 9;
    town_entry *entry = &self->entries[self->age][slot];
    town_deed deed = {.age = self->age, .slot = slot, .once = chance >> 8 & 1};
    static const uint32_t kinds[9] = {TOWN_ADD, TOWN_ADD, TOWN_RELAY, TOWN_FAIL, TOWN_GIVE,
        TOWN_GIVE, TOWN_MOVE, TOWN_MOVE, TOWN_REMIND};
    deed.kind = kinds[kind];
    uint32_t many = deed.kind >= TOWN_GIVE ? TOWN_ACCOUNTS : TOWN_TALLIES;
    deed.from = (chance >> 9) % many;
    deed.to = (deed.from + 1 + (chance >> 13) % (many - 1)) % many;
    *entry = (town_entry){.deed = deed, .fate = TOWN_ASKED};
    return entry;
}

void town_ledger_answer(town_ledger *self, const town_answer *answer)
{
    town_entry *entry = &self->entries[answer->of.age][answer->of.slot];
    town_fate fate = entry->deed.once ? TOWN_PENDING : TOWN_UNKNOWN;
    if (answer->status == TROUPE_OK)
        fate = TOWN_DONE;
    else if ((answer->status == TOWN_REFUSES || answer->status == TROUPE_PANIC) &&
             entry->deed.kind == TOWN_FAIL)
        fate = TOWN_NOT_DONE;
    else if (answer->status == TOWN_HALF ||
             (answer->status == TROUPE_INTERRUPTED && entry->deed.once))
        fate = TOWN_INTERRUPTED;
    else if (answer->outcome == TROUPE_NOT_DONE && !entry->deed.once)
        fate = TOWN_NOT_DONE;
    assert_true(entry->fate == TOWN_ASKED);
    entry->fate = fate;
    self->counts[fate]++;
}

void town_ledger_lost(town_ledger *self)
{
    for (uint32_t slot = 0; slot < self->used; slot++) {
        town_entry *entry = &self->entries[self->age][slot];
        if (entry->fate != TOWN_ASKED)
            continue;
        entry->fate = entry->deed.once ? TOWN_PENDING : TOWN_UNKNOWN;
        self->counts[entry->fate]++;
    }
}

uint32_t town_ledger_count(const town_ledger *self, town_fate fate)
{
    uint32_t count = 0;
    for (uint32_t slot = 0; slot < self->used; slot++)
        count += self->entries[self->age][slot].fate == fate;
    return count;
}

/* ---- reading the store ---------------------------------------------------------------------- */

typedef struct view {
    town_ledger *ledger;
    troupe_store *store;
    uint32_t age;
    bool settled;
    town_tally tallies[TOWN_TALLIES];
    town_account accounts[TOWN_ACCOUNTS];
} view;

static troupe_status run(const view *self, troupe_store_op *op)
{
    op->allocator = tp_allocator_system();
    self->store->run(self->store, &op, 1);
    return op->status;
}

static troupe_store *open_store(const town_place *place)
{
    char error[512] = "";
    troupe_store *store = NULL;
    troupe_store_host host = town_host();
    troupe_status status = place->open(place->user, &host, &store, error, sizeof error);
    if (status != TROUPE_OK)
        fail_msg("%s: audit: %s: %s", place->name, troupe_status_name(status), error);
    return store;
}

/* What a former run has sent and that has not landed may not land under our eyes. */
static void fence(view *self)
{
    struct timespec moment;
    clock_gettime(CLOCK_REALTIME, &moment);
    uint64_t now = (uint64_t)moment.tv_sec * TROUPE_SECONDS(1) + (uint64_t)moment.tv_nsec;
    troupe_store_op op = {.kind = TROUPE_STORE_OPEN_WRITER, .writer = now};
    assert_int_equal(run(self, &op), TROUPE_OK);
    op.kind = TROUPE_STORE_CLOSE_OLDER;
    assert_int_equal(run(self, &op), TROUPE_OK);
    op.kind = TROUPE_STORE_CLOSE_WRITER;
    assert_int_equal(run(self, &op), TROUPE_OK);
}

static void check_rows(const troupe_store_item *item, const char *name)
{
    for (; item != NULL; item = item->next)
        if (item->kind == TROUPE_ROW_DEAD)
            fail_msg("%s: has a dead letter", name);
}

static void load(
    const view *self, bool is_account, uint32_t number, void *state, size_t size, uint64_t *version)
{
    town_name name;
    town_name_of(is_account, self->age, number, &name);
    troupe_store_op op = {.kind = TROUPE_STORE_LOAD, .id = name.id};
    assert_int_equal(run(self, &op), TROUPE_OK);
    if (op.found < *version)
        fail_msg("%s %s: version %llu was %llu before", is_account ? "account" : "tally", name.key,
            (unsigned long long)op.found, (unsigned long long)*version);
    *version = op.found;
    const troupe_store_item *item = op.items;
    while (item != NULL && item->kind != TROUPE_ROW_STATE)
        item = item->next;
    if (item != NULL) {
        troupe_slice bytes;
        const char *reason = "";
        if (tp_record_open(item->value, tp_record_seed(name.id), &bytes, &reason) != TROUPE_OK)
            fail_msg("%s: %s", name.key, reason);
        assert_int_equal(bytes.size, size);
        memcpy(state, bytes.data, size);
    }
    check_rows(op.items, name.key);
    troupe_store_release(&op);
}

/* ---- does it agree? ------------------------------------------------------------------------- */

static const char *const kind_names[] = {"add", "fail", "relay", "give", "move", "remind"};
static const char *const fate_names[] = {
    "free", "asked", "pending", "unknown", "done", "not done", "interrupted"};

static void expect(const view *self, const town_entry *entry, bool truth, const char *what,
    unsigned first, unsigned second)
{
    if (truth)
        return;
    town_show_log(self->ledger->place);
    fail_msg("%s: age %u, deed %u (%s%s, from %u to %u), answered '%s'%s: %s (%u, %u)",
        self->ledger->place->name, entry->deed.age, entry->deed.slot, kind_names[entry->deed.kind],
        entry->deed.once ? " once" : "", entry->deed.from, entry->deed.to, fate_names[entry->fate],
        self->settled ? ", settled" : "", what, first, second);
}

static void check_tally(const view *self, const town_entry *entry)
{
    const town_tally *tally = &self->tallies[entry->deed.from];
    unsigned half = tally->half[entry->deed.slot], seen = tally->seen[entry->deed.slot];
    town_fate fate = entry->fate;
    expect(self, entry, half <= 1 && seen <= 1, "it happened twice", half, seen);
    expect(self, entry, seen <= half, "its end without its begin", half, seen);
    if (fate == TOWN_DONE)
        expect(self, entry, seen == 1, "it is lost", half, seen);
    if (fate == TOWN_NOT_DONE)
        expect(self, entry, half == 0, "it happened", half, seen);
    if (fate == TOWN_INTERRUPTED)
        expect(self, entry, half == 1 && seen == 0, "it was not interrupted", half, seen);
    if (entry->deed.kind == TOWN_FAIL)
        expect(self, entry, half == 0 && seen == 0, "it failed, and happened", half, seen);
    for (uint32_t i = 0; i < TOWN_TALLIES; i++)
        if (i != entry->deed.from)
            expect(self, entry, self->tallies[i].half[entry->deed.slot] == 0, "at another", i, 0);
}

static void check_transfer(const view *self, const town_entry *entry)
{
    uint32_t slot = entry->deed.slot;
    const town_account *from = &self->accounts[entry->deed.from];
    const town_account *to = &self->accounts[entry->deed.to];
    unsigned out = from->out[slot], in = to->in[slot];
    unsigned done = from->done[slot], failed = from->failed[slot];
    bool is_move = entry->deed.kind == TOWN_MOVE, refused = is_move && town_is_refused(slot);
    expect(self, entry, out <= 1 && in <= 1, "it happened twice", out, in);
    expect(self, entry, in <= out, "it came and was not sent", out, in);
    expect(self, entry, done + failed <= 1, "it was answered twice", done, failed);
    expect(self, entry, done <= in && failed <= out, "an answer of nothing", done, failed);
    expect(self, entry, !refused || (in == 0 && done == 0), "it was refused", in, done);
    expect(self, entry, refused || failed == 0, "it was not refused", failed, 0);
    if (entry->fate == TOWN_DONE)
        expect(self, entry, out == 1, "it is lost", out, in);
    if (entry->fate == TOWN_NOT_DONE || entry->fate == TOWN_INTERRUPTED)
        expect(self, entry, out == 0, "it happened", out, in);
    if (!self->settled)
        return;
    expect(self, entry, refused || in == out, "it was sent and never came", out, in);
    expect(self, entry, !is_move || done + failed == out, "its answer never came", done, failed);
}

static void check_reminder(const view *self, const town_entry *entry)
{
    uint32_t slot = entry->deed.slot;
    const town_account *at = &self->accounts[entry->deed.from];
    unsigned set = at->set[slot], rang = at->rang[slot];
    expect(self, entry, set <= 1 && rang <= set, "it happened twice", set, rang);
    if (entry->fate == TOWN_DONE)
        expect(self, entry, set == 1, "it is lost", set, rang);
    if (entry->fate == TOWN_NOT_DONE || entry->fate == TOWN_INTERRUPTED)
        expect(self, entry, set == 0, "it happened", set, rang);
    if (self->settled)
        expect(self, entry, rang == set, "it was set and never fired", set, rang);
}

/* Nothing is made or lost: what is missing is on its way. */
static void check_money(const view *self)
{
    int64_t sum = 0, on_the_way = 0;
    for (uint32_t i = 0; i < TOWN_ACCOUNTS; i++)
        sum += self->accounts[i].balance;
    for (uint32_t slot = 0; slot < TOWN_SLOTS; slot++) {
        int64_t moves = 0;
        for (uint32_t i = 0; i < TOWN_ACCOUNTS; i++) {
            const town_account *at = &self->accounts[i];
            moves += at->out[slot] - at->in[slot] - at->failed[slot];
        }
        on_the_way += moves * town_amount(slot);
    }
    assert_int_equal(sum + on_the_way, 0);
    if (self->settled)
        assert_int_equal(sum, 0);
    for (uint32_t i = 0; i < TOWN_ACCOUNTS; i++)
        if (self->accounts[i].wrong != 0)
            fail_msg("%s: account %u: %u reminders fired for a due time that was not the next",
                self->ledger->place->name, i, self->accounts[i].wrong);
}

static void check_health(const view *self)
{
    troupe_store_op op = {.kind = TROUPE_STORE_HEALTH, .keep = 1};
    if (run(self, &op) != TROUPE_OK || op.items != NULL)
        fail_msg("%s: the store is not in health: %.*s", self->ledger->place->name,
            op.items != NULL ? (int)op.items->value.size : 1,
            op.items != NULL ? (const char *)op.items->value.data : "?");
    troupe_store_release(&op);
}

void town_ledger_audit(town_ledger *self, uint32_t age, bool settled)
{
    static view seen;
    seen = (view){.ledger = self, .age = age, .settled = settled};
    seen.store = open_store(self->place);
    fence(&seen);
    for (uint32_t i = 0; i < TOWN_TALLIES; i++)
        load(&seen, false, i, &seen.tallies[i], sizeof seen.tallies[i],
            &self->tally_versions[age][i]);
    for (uint32_t i = 0; i < TOWN_ACCOUNTS; i++)
        load(&seen, true, i, &seen.accounts[i], sizeof seen.accounts[i],
            &self->account_versions[age][i]);
    if (settled)
        check_health(&seen);
    seen.store->close(seen.store);
    for (uint32_t slot = 0; slot < TOWN_SLOTS; slot++) {
        const town_entry *entry = &self->entries[age][slot];
        if (entry->fate == TOWN_FREE)
            continue;
        if (entry->deed.kind == TOWN_REMIND)
            check_reminder(&seen, entry);
        else if (entry->deed.kind >= TOWN_GIVE)
            check_transfer(&seen, entry);
        else
            check_tally(&seen, entry);
    }
    check_money(&seen);
    self->audits++;
}

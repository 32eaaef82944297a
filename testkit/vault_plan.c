/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Draws what is done to a vault: operation i from (seed, i) alone. And says it in words.
 *
 * Threads: one, as world.h.
 */
#include "testkit/vault.h"

#include <stdio.h>
#include <stdlib.h>

static uint64_t draw_time(tp_prng *prng, uint64_t least, uint64_t most)
{
    uint64_t scale = least;
    while (scale < most && tp_prng_chance(prng, 3, 4))
        scale *= 2;
    uint64_t drawn = scale + tp_prng_below(prng, scale);
    return drawn < most ? drawn : most;
}

static uint32_t draw_weighted(tp_prng *prng, const uint8_t *weights, uint32_t count)
{
    uint32_t sum = 0, i = 0;
    for (uint32_t k = 0; k < count; k++)
        sum += weights[k];
    for (uint64_t drawn = tp_prng_below(prng, sum); drawn >= weights[i]; i++)
        drawn -= weights[i];
    return i;
}

static tp_vault_deed *make_deed(tp_vault *vault, tp_vault_kind kind, uint16_t target)
{
    if (vault->deed_count == VAULT_DEEDS)
        return NULL;
    tp_vault_deed *deed = calloc(1, sizeof *deed);
    if (deed == NULL)
        abort();
    vault->deeds[vault->deed_count++] = deed;
    deed->number = vault->deed_count;
    deed->vault = vault;
    deed->kind = kind;
    deed->target = target;
    return deed;
}

/* NULL: there are too many deeds. */
static tp_vault_deed *make_part(
    tp_vault *vault, tp_prng *prng, tp_vault_deed *deed, uint16_t target)
{
    tp_vault_deed *child = make_deed(vault, TP_VAULT_PUT, target);
    if (child == NULL)
        return NULL;
    child->amount = -deed->amount;
    child->from = deed;
    child->sender = deed->target;
    child->refuses = tp_prng_chance(prng, 1, 6);
    /* A new actor with hooks commits what it has when it waits first: a refusal is a part then, and
     * is not told again. */
    bool tells_again = !child->refuses || !tp_vault_types[vault->actors[target].type].hooks;
    /* Where others come in meanwhile, those behind it wait for its end. */
    bool lets_in =
        tp_vault_types[vault->actors[target].type].reentrancy != TROUPE_REENTRANCY_NONE;
    if (tp_prng_chance(prng, 1, lets_in ? 2 : 8) && tells_again)
        child->rests_before = draw_time(prng, TROUPE_MICROSECONDS(5), TROUPE_MILLISECONDS(50));
    child->timeout = draw_time(prng, TROUPE_MILLISECONDS(1), TROUPE_SECONDS(4));
    return child;
}

static bool sends(tp_vault_kind kind)
{
    return kind == TP_VAULT_SEND || kind == TP_VAULT_THEN;
}

static void add_parts(tp_vault *vault, tp_prng *prng, tp_vault_deed *deed)
{
    uint16_t target = (uint16_t)tp_prng_below(prng, vault->actor_count);
    if (target == deed->target) /* who asks itself waits for ever */
        target = (uint16_t)((target + 1) % vault->actor_count);
    deed->child = make_part(vault, prng, deed, target);
    if (deed->child == NULL)
        deed->kind = deed->kind == TP_VAULT_PEEK ? TP_VAULT_SHOW : TP_VAULT_PUT;
    if (!sends(deed->kind) || !tp_prng_chance(prng, 1, 4))
        return;
    deed->beside = make_part(vault, prng, deed, target);
    deed->is_behind = tp_prng_chance(prng, 1, 2);
}

static void draw_bell(tp_prng *prng, tp_vault_deed *deed)
{
    deed->bell = (uint8_t)tp_prng_below(prng, VAULT_BELLS);
    deed->in = draw_time(prng, TROUPE_MILLISECONDS(1), TROUPE_SECONDS(4));
    if (tp_prng_chance(prng, 1, 2))
        deed->period = draw_time(prng, TROUPE_MILLISECONDS(50), TROUPE_SECONDS(2));
    deed->period -= deed->period % TROUPE_MILLISECONDS(1);
}

static tp_vault_deed *draw_deed(tp_vault *vault, tp_prng *prng, uint16_t target)
{
    tp_vault_kind kind = (tp_vault_kind)draw_weighted(prng, vault->scenario->kinds, TP_VAULT_KINDS);
    bool gated = tp_vault_gated(vault, target);
    bool rings = kind == TP_VAULT_REMIND || kind == TP_VAULT_UNREMIND;
    if ((sends(kind) || rings) && !gated)
        kind = TP_VAULT_PUT;
    tp_vault_deed *deed = make_deed(vault, kind, target);
    if (deed == NULL)
        return NULL;
    deed->amount = (int64_t)tp_prng_below(prng, 1000) - 500;
    bool reads = kind == TP_VAULT_SHOW || kind == TP_VAULT_PEEK;
    deed->once = tp_prng_chance(prng, vault->scenario->once, 16) && gated && !reads;
    if (tp_prng_chance(prng, 1, 6))
        deed->rests_before = draw_time(prng, TROUPE_MICROSECONDS(5), TROUPE_MILLISECONDS(100));
    if (tp_prng_chance(prng, 1, 6) && kind == TP_VAULT_PUT)
        deed->rests_after = draw_time(prng, TROUPE_MICROSECONDS(5), TROUPE_MILLISECONDS(100));
    if (tp_prng_chance(prng, 1, 3))
        deed->timeout = draw_time(prng, TROUPE_MICROSECONDS(200), TROUPE_SECONDS(2));
    if (kind == TP_VAULT_REMIND || kind == TP_VAULT_UNREMIND)
        draw_bell(prng, deed);
    if (sends(kind) || kind == TP_VAULT_TELL || kind == TP_VAULT_MID || kind == TP_VAULT_PEEK)
        add_parts(vault, prng, deed);
    return deed;
}

static uint16_t draw_actor(const tp_vault *vault, tp_prng *prng)
{
    uint64_t most = vault->actor_count;
    if (tp_prng_chance(prng, 1, 2) && most > 2)
        most = 2;
    return (uint16_t)tp_prng_below(prng, most);
}

void tp_vault_plan(tp_vault *vault, uint32_t index, tp_vault_op *ret_op)
{
    tp_prng prng;
    uint64_t seed = vault->options->seed ^ ((uint64_t)index << 40) ^ 0x5A17;
    tp_prng_seed(&prng, tp_prng_split(&seed));
    *ret_op = (tp_vault_op){
        .kind = (tp_vault_op_kind)draw_weighted(&prng, vault->scenario->ops, TP_VAULT_OPS)};
    if (tp_prng_chance(&prng, 2, 3))
        ret_op->steps_before = (uint32_t)tp_prng_below(&prng, 30);
    ret_op->actor = draw_actor(vault, &prng);
    ret_op->pick = (uint32_t)tp_prng_next(&prng);
    ret_op->wait = draw_time(&prng, TROUPE_MICROSECONDS(50), TROUPE_MILLISECONDS(1500));
    uint32_t count = ret_op->kind == TP_VAULT_ASK ? 1 : 0;
    if (ret_op->kind == TP_VAULT_BURST)
        count = 4 + (uint32_t)tp_prng_below(&prng, 20);
    bool one = tp_prng_chance(&prng, 1, 2);
    for (uint32_t i = 0; i < count; i++) {
        uint16_t target = one ? ret_op->actor : draw_actor(vault, &prng);
        tp_vault_deed *deed = draw_deed(vault, &prng, target);
        if (deed != NULL)
            ret_op->deeds[ret_op->count++] = deed;
    }
}

/* ---- in words -------------------------------------------------------------------------------- */

static size_t say_deed(const tp_vault *vault, const tp_vault_deed *deed, char *out, size_t room)
{
    static const char *const names[TP_VAULT_KINDS] = {"puts", "puts and fails",
        "puts and sends by the outbox", "puts and asks for later", "puts and tells",
        "puts and asks and puts", "looks", "looks and asks", "puts and sets a reminder",
        "puts and cancels a reminder"};
    const tp_vault_actor *target = &vault->actors[deed->target];
    int size =
        snprintf(out, room, "#%u %s/%s%s %s", deed->number, tp_vault_types[target->type].name,
            target->key, deed->once ? " once" : "", deed->refuses ? "refuses" : names[deed->kind]);
    size_t used = size > 0 ? (size_t)size : 0;
    const uint64_t times[] = {deed->rests_before, deed->rests_after, deed->timeout};
    static const char *const words[] = {", rests before", ", rests after", ", timeout"};
    for (size_t i = 0; i < 3 && used < room; i++) {
        if (times[i] == 0)
            continue;
        size = snprintf(out + used, room - used, "%s %.3f ms", words[i], (double)times[i] / 1e6);
        used += size > 0 ? (size_t)size : 0;
    }
    if (deed->child == NULL || used + 8 >= room)
        return used < room ? used : room - 1;
    used += (size_t)snprintf(out + used, room - used, " (");
    used += say_deed(vault, deed->child, out + used, room - used);
    if (deed->beside != NULL && used < room)
        used += (size_t)snprintf(out + used, room - used, ", a plain #%u %s it",
            deed->beside->number, deed->is_behind ? "behind" : "ahead of");
    if (used + 2 < room)
        used += (size_t)snprintf(out + used, room - used, ")");
    return used;
}

void tp_vault_say(tp_vault *vault, uint32_t index, const tp_vault_op *op)
{
    static const char *const names[TP_VAULT_OPS] = {"asks", "asks many", "asks again", "waits",
        "deactivates", "the store is out", "CRASH", "meddles", "restores", "deletes"};
    if (vault->options->say == NULL)
        return;
    char text[3000];
    size_t used = (size_t)snprintf(text, sizeof text, "%u. at %.6f s: %s ", index,
        (double)tp_world_now(vault->world) / 1e9, names[op->kind]);
    for (uint32_t i = 0; i < op->count && used + 300 < sizeof text; i++) {
        if (i != 0)
            used += (size_t)snprintf(text + used, sizeof text - used, "; ");
        used += say_deed(vault, op->deeds[i], text + used, sizeof text - used);
    }
    if (op->kind == TP_VAULT_WAIT || op->kind == TP_VAULT_OUTAGE)
        snprintf(text + used, sizeof text - used, "for %.3f ms", (double)op->wait / 1e6);
    if (op->kind == TP_VAULT_DEACTIVATE)
        snprintf(text + used, sizeof text - used, "%u", op->actor);
    vault->options->say(vault->options->say_user, text);
}

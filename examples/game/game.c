/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A game that owns its loop. The node is driven: it has no threads, and each frame lets it work for
 * a few milliseconds. Sixty times a second every character gets a tick, walks a step, and greets
 * whom it meets; the world counts the greetings. Between frames the loop sleeps until the next one
 * is due, as it would wait for the display.
 *
 * Invariants: 1. Everything runs on the thread of main. 2. What does not fit into a frame's budget
 * runs in the next.
 * Threads: one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <troupe/inspect.h>

enum { CHARACTERS = 1000, FRAMES = 60, WIDTH = 64 };

#define FRAME  TROUPE_NANOSECONDS(16666667)
#define BUDGET TROUPE_MILLISECONDS(8)

/* ---- actors ---------------------------------------------------------------------------------- */

struct character {
    uint32_t place;
    uint32_t ticks;
    uint32_t greeted; /* by others */
};

static troupe_status appear(troupe_turn *turn, void *state)
{
    struct character *character = state;
    character->place = (uint32_t)(troupe_random(turn) % WIDTH);
    return TROUPE_OK;
}

/* One step left or right; then it tells the field it stands on, which knows who came last. */
static troupe_status tick(troupe_turn *turn, void *state, troupe_slice payload)
{
    struct character *character = state;
    char field[16];
    (void)payload;
    character->ticks++;
    character->place = (character->place + (troupe_random(turn) % 2 != 0 ? 1 : WIDTH - 1)) % WIDTH;
    snprintf(field, sizeof(field), "%u", character->place);
    return troupe_tell(
        turn, troupe_id_of("field", field), "step_on", troupe_turn_self(turn).key, NULL);
}

static troupe_status greet(troupe_turn *turn, void *state, troupe_slice name)
{
    struct character *character = state;
    (void)turn;
    (void)name;
    character->greeted++;
    return TROUPE_OK;
}

static troupe_status report(troupe_turn *turn, const void *state, troupe_slice payload)
{
    (void)payload;
    return troupe_reply_bytes(turn, troupe_slice_of(state, sizeof(struct character)));
}

struct field {
    uint32_t size;
    char last[16]; /* who came last */
};

static troupe_status step_on(troupe_turn *turn, void *state, troupe_slice name)
{
    struct field *field = state;
    TROUPE_REQUIRE(turn, name.size <= sizeof(field->last));
    troupe_id last = {troupe_str("character"), {NULL, 0}, {field->last, field->size}};
    if (field->size > 0)
        TROUPE_TRY(troupe_tell(turn, last, "greet", name, NULL));
    memcpy(field->last, name.data, name.size);
    field->size = (uint32_t)name.size;
    return TROUPE_OK;
}

static const troupe_method character_methods[] = {
    TROUPE_METHOD(tick), TROUPE_METHOD(greet), TROUPE_READ_METHOD(report)};
static const troupe_method field_methods[] = {TROUPE_METHOD(step_on)};
static const troupe_type character_type = {TROUPE_TYPE("character"),
    .state_size = sizeof(struct character), TROUPE_METHODS(character_methods),
    .on_activate = appear};
static const troupe_type field_type = {
    TROUPE_TYPE("field"), .state_size = sizeof(struct field), TROUPE_METHODS(field_methods)};

/* ---- the loop -------------------------------------------------------------------------------- */

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* Sleeps until `until`. */
static void wait_for(uint64_t until)
{
    struct timespec time = {(time_t)(until / 1000000000u), (long)(until % 1000000000u)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) != 0)
        continue;
}

static bool tick_all(troupe_node *node)
{
    for (unsigned i = 0; i < CHARACTERS; i++) {
        char name[16];
        troupe_status status;
        snprintf(name, sizeof(name), "%u", i);
        /* A full inbox says BUSY: let the node work it off. */
        while ((status = troupe_node_tell(node, troupe_id_of("character", name), "tick",
                    troupe_str(NULL), NULL)) == TROUPE_BUSY)
            troupe_node_poll(node, 0);
        if (status != TROUPE_OK) {
            fprintf(stderr, "character/%s: %s\n", name, troupe_status_text(status));
            return false;
        }
    }
    return true;
}

/* Lets the node work until nothing is due or the budget is spent. Returns how long it took. */
static uint64_t work(troupe_node *node, uint64_t budget)
{
    uint64_t begin = now(), spent = 0;
    while (spent < budget && troupe_node_poll(node, budget - spent) == 0)
        spent = now() - begin;
    return now() - begin;
}

static bool play(troupe_node *node)
{
    uint64_t next = now(), longest = 0, sum = 0;
    unsigned late = 0;
    for (unsigned frame = 0; frame < FRAMES; frame++) {
        if (!tick_all(node))
            return false;
        uint64_t took = work(node, BUDGET);
        sum += took;
        longest = took > longest ? took : longest;
        next += FRAME;
        if (now() > next)
            late++;
        else
            wait_for(next);
    }
    printf(
        "%d frames of %d characters: %.2f ms of actors a frame, %.2f ms at most, %u frames late\n",
        FRAMES, CHARACTERS, (double)sum / FRAMES / 1e6, (double)longest / 1e6, late);
    return true;
}

/* Every character must have had every tick, and every step onto a field where somebody was must
 * have been a greeting. */
static bool check(troupe_node *node)
{
    uint64_t ticks = 0, greeted = 0;
    work(node, TROUPE_SECONDS(10));
    for (unsigned i = 0; i < CHARACTERS; i++) {
        char name[16];
        struct character character = {0};
        troupe_answer answer = TROUPE_ANSWER_INIT;
        snprintf(name, sizeof(name), "%u", i);
        if (troupe_node_ask(node, troupe_id_of("character", name), "report", troupe_str(NULL), NULL,
                &answer) == TROUPE_OK &&
            answer.payload.size == sizeof(character))
            memcpy(&character, answer.payload.data, sizeof(character));
        troupe_answer_release(&answer);
        if (character.ticks != FRAMES)
            fprintf(stderr, "character/%s had %u ticks\n", name, character.ticks);
        ticks += character.ticks;
        greeted += character.greeted;
    }
    printf("%" PRIu64 " ticks, %" PRIu64 " greetings\n", ticks, greeted);
    return ticks == (uint64_t)CHARACTERS * FRAMES && greeted <= ticks && greeted + WIDTH >= ticks;
}

int main(void)
{
    const troupe_node_options options = {TROUPE_NODE_OPTIONS, .driven = true};
    troupe_node *node = NULL;
    if (troupe_node_open(&options, TROUPE_TYPES(&character_type, &field_type), &node) != TROUPE_OK)
        return 1;
    bool good = play(node) && check(node);
    troupe_stats stats = {.size = sizeof(stats)};
    if (troupe_node_stats(node, &stats) == TROUPE_OK)
        printf("%" PRIu64 " turns, %" PRIu64 " actors active\n", stats.turns, stats.active);
    troupe_node_close(node);
    return good ? 0 : 1;
}

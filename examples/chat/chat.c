/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chat room. Users join it, say lines, and hear what all say. Order is the point: what one user
 * says is heard in the order said, and since the room tells every member the same sequence, all
 * members hear the same conversation. The program checks both and fails otherwise.
 *
 * Invariants: 1. A user's ears hold at most HEARD_MAX lines; more are a panic, not a cut.
 * Threads: main asks from outside; room and users run on their shards.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <troupe.h>

enum {
    USERS = 4,
    LINES = 12,
    MEMBERS_MAX = 16,
    NAME_MAX_BYTES = 16,
    LINE_BYTES = 64,
    HEARD_MAX = USERS * LINES
};

static const char *const users[USERS] = {"ada", "grace", "joe", "robin"};

/* ---- the room -------------------------------------------------------------------------------- */

struct room {
    uint32_t count;
    char members[MEMBERS_MAX][NAME_MAX_BYTES];
};

static troupe_status join(troupe_turn *turn, void *state, troupe_slice payload)
{
    struct room *room = state;
    troupe_slice name = troupe_turn_caller(turn).key;
    (void)payload;
    if (name.size == 0 || name.size >= NAME_MAX_BYTES)
        return troupe_fail(
            turn, TROUPE_USAGE, "only users with a name of 1 to %d bytes join", NAME_MAX_BYTES - 1);
    if (room->count == MEMBERS_MAX)
        return troupe_fail(turn, TROUPE_APPLICATION, "the room is full");
    memcpy(room->members[room->count], name.data, name.size);
    room->members[room->count][name.size] = '\0';
    room->count++;
    return troupe_reply_format(turn, "you are number %u", room->count);
}

static troupe_status say(troupe_turn *turn, void *state, troupe_slice line)
{
    const struct room *room = state;
    troupe_slice speaker = troupe_turn_caller(turn).key;
    char text[LINE_BYTES];
    snprintf(text, sizeof(text), "%.*s: %.*s", TROUPE_ARG(speaker), TROUPE_ARG(line));
    for (uint32_t i = 0; i < room->count; i++)
        TROUPE_TRY(troupe_tell(
            turn, troupe_id_of("user", room->members[i]), "hear", troupe_str(text), NULL));
    return TROUPE_OK;
}

/* ---- users ----------------------------------------------------------------------------------- */

struct user {
    uint32_t heard;
    char lines[HEARD_MAX][LINE_BYTES];
};

static troupe_status enter(troupe_turn *turn, void *state, troupe_slice room)
{
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_id id = {troupe_str("room"), {NULL, 0}, room};
    (void)state;
    TROUPE_TRY(troupe_ask(turn, id, "join", troupe_str(NULL), NULL, &answer));
    return troupe_reply_take(turn, &answer);
}

/* Says LINES lines; other turns of others come in between. */
static troupe_status chatter(troupe_turn *turn, void *state, troupe_slice room)
{
    troupe_id id = {troupe_str("room"), {NULL, 0}, room};
    (void)state;
    for (int i = 1; i <= LINES; i++) {
        char line[32];
        snprintf(line, sizeof(line), "line %d", i);
        TROUPE_TRY(troupe_tell(turn, id, "say", troupe_str(line), NULL));
        TROUPE_TRY(troupe_yield(turn));
    }
    return TROUPE_OK;
}

static troupe_status hear(troupe_turn *turn, void *state, troupe_slice line)
{
    struct user *user = state;
    TROUPE_REQUIRE(turn, user->heard < HEARD_MAX);
    snprintf(user->lines[user->heard++], LINE_BYTES, "%.*s", TROUPE_ARG(line));
    return TROUPE_OK;
}

static troupe_status transcript(troupe_turn *turn, const void *state, troupe_slice payload)
{
    const struct user *user = state;
    (void)payload;
    return troupe_reply_bytes(
        turn, troupe_slice_of(user->lines, user->heard * sizeof(user->lines[0])));
}

static const troupe_method room_methods[] = {TROUPE_METHOD(join), TROUPE_METHOD(say)};
static const troupe_method user_methods[] = {TROUPE_METHOD(enter), TROUPE_METHOD(chatter),
    TROUPE_METHOD(hear), TROUPE_READ_METHOD(transcript)};
static const troupe_type room_type = {
    TROUPE_TYPE("room"), .state_size = sizeof(struct room), TROUPE_METHODS(room_methods)};
static const troupe_type user_type = {
    TROUPE_TYPE("user"), .state_size = sizeof(struct user), TROUPE_METHODS(user_methods)};

/* ---- the check ------------------------------------------------------------------------------- */

/* Every speaker's lines are there, numbered from 1 without a gap. */
static bool in_order_per_speaker(const char (*lines)[LINE_BYTES], size_t count)
{
    int last[USERS] = {0};
    for (size_t i = 0; i < count; i++) {
        char name[NAME_MAX_BYTES];
        int number = 0;
        if (sscanf(lines[i], "%15[^:]: line %d", name, &number) != 2)
            return false;
        for (int j = 0; j < USERS; j++) {
            if (strcmp(users[j], name) != 0)
                continue;
            if (number != last[j] + 1)
                return false;
            last[j] = number;
        }
    }
    for (int j = 0; j < USERS; j++)
        if (last[j] != LINES)
            return false;
    return true;
}

/* Waits, for ten seconds at most, until this user has heard everything. The answer is the caller's
 * to release. */
static bool hear_all(troupe_node *node, const char *name, troupe_answer *answer)
{
    for (int tries = 0; tries < 10000; tries++) {
        troupe_status status = troupe_node_ask(
            node, troupe_id_of("user", name), "transcript", troupe_str(NULL), NULL, answer);
        if (status == TROUPE_OK && answer->payload.size == HEARD_MAX * LINE_BYTES)
            return true;
        if (status != TROUPE_OK)
            fprintf(stderr, "%.*s\n", TROUPE_ARG(answer->message));
        troupe_answer_release(answer);
        if (status != TROUPE_OK)
            return false;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    fprintf(stderr, "user/%s does not hear all\n", name);
    return false;
}

static bool start(troupe_node *node)
{
    for (int i = 0; i < USERS; i++) {
        troupe_answer answer = TROUPE_ANSWER_INIT;
        troupe_id id = troupe_id_of("user", users[i]);
        troupe_status status =
            troupe_node_ask(node, id, "enter", troupe_str("lobby"), NULL, &answer);
        if (status != TROUPE_OK)
            fprintf(stderr, "user/%s: %.*s\n", users[i], TROUPE_ARG(answer.message));
        troupe_answer_release(&answer);
        if (status != TROUPE_OK)
            return false;
    }
    for (int i = 0; i < USERS; i++) {
        troupe_id id = troupe_id_of("user", users[i]);
        if (troupe_node_tell(node, id, "chatter", troupe_str("lobby"), NULL) != TROUPE_OK)
            return false;
    }
    return true;
}

static bool check(troupe_node *node)
{
    char first[HEARD_MAX][LINE_BYTES];
    bool good = true;
    for (int i = 0; good && i < USERS; i++) {
        troupe_answer answer = TROUPE_ANSWER_INIT;
        good = hear_all(node, users[i], &answer);
        if (good && i == 0) {
            memcpy(first, answer.payload.data, sizeof(first));
            for (int line = 0; line < HEARD_MAX; line++)
                printf("%s\n", first[line]);
            good = in_order_per_speaker((const char(*)[LINE_BYTES])first, HEARD_MAX);
        } else if (good) {
            good = memcmp(first, answer.payload.data, sizeof(first)) == 0;
        }
        troupe_answer_release(&answer);
    }
    return good;
}

int main(void)
{
    troupe_node *node = NULL;
    if (troupe_node_open(NULL, TROUPE_TYPES(&room_type, &user_type), &node) != TROUPE_OK)
        return 1;
    bool good = start(node) && check(node);
    troupe_node_close(node);
    printf("%d users heard %d lines each, %s\n", USERS, HEARD_MAX,
        good ? "in the same order, each speaker's as spoken" : "NOT in order");
    return good ? 0 : 1;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * troupe_gather: many asks and one wait. Each ends as if asked alone; enough is enough; deadlines,
 * cancellation, closing and the search for deadlocks reach all of them.
 */
#include "tests/promises/scene.h"

#define MANY 16

typedef struct tally {
    int32_t gathered, cancelled, served;
} tally;

/* Sleeps so many milliseconds. */
static troupe_status nap(troupe_turn *turn, void *state, troupe_slice in)
{
    tally *self = state;
    char text[16];
    snprintf(text, sizeof text, "%.*s", TROUPE_ARG(in));
    int time = atoi(text);
    if (time > 0 && troupe_sleep(turn, MS((uint64_t)time)) != TROUPE_OK) {
        self->cancelled++;
        return troupe_reply_bytes(turn, in);
    }
    if (time < 0)
        return troupe_fail(turn, TROUPE_APPLICATION + 1, "no such time");
    self->served++;
    return troupe_reply_bytes(turn, in);
}

static troupe_status show(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)in;
    const tally *self = state;
    return troupe_reply_format(turn, "%d gathered, %d cancelled, %d served", self->gathered,
        self->cancelled, self->served);
}

/* One line of a gather: "need timeout id method payload; id method payload; …", the answers are
 * listed in the reply, and when it was there. */
static troupe_status gather(troupe_turn *turn, void *state, troupe_slice in)
{
    tally *self = state;
    char text[1024], out[1024];
    troupe_request requests[MANY];
    troupe_answer answers[MANY];
    size_t count = 0, size = 0;
    unsigned need = 0, timeout = 0;
    int used = 0;
    snprintf(text, sizeof text, "%.*s", TROUPE_ARG(in));
    sscanf(text, "%u %u%n", &need, &timeout, &used);
    char *rest = NULL;
    for (char *part = strtok_r(text + used, ";", &rest); part != NULL && count < MANY;
         part = strtok_r(NULL, ";", &rest)) {
        char *words = NULL;
        const char *id = strtok_r(part, " ", &words), *method = strtok_r(NULL, " ", &words);
        const char *payload = strtok_r(NULL, " ", &words);
        requests[count++] =
            (troupe_request){id_of(id), method, troupe_str(payload != NULL ? payload : ""), NULL};
    }
    self->gathered++;
    uint64_t began = troupe_now(turn);
    troupe_status status = troupe_gather(turn, requests, count,
        &(troupe_gather_options){TROUPE_GATHER_OPTIONS, .need = need, .timeout = MS(timeout)},
        answers);
    uint64_t took = (troupe_now(turn) - began) / MS(1);
    out[0] = 0;
    for (size_t i = 0; i < count && size < sizeof out; i++) {
        size += (size_t)snprintf(out + size, sizeof out - size, "%s%s ",
            answers[i].status == TROUPE_OK ? "" : troupe_status_name(answers[i].status),
            answers[i].outcome == TROUPE_NOT_DONE ? "-" : "");
        if (answers[i].status == TROUPE_OK)
            size += (size_t)snprintf(out + size - 1, sizeof out - size, "%.*s ",
                        TROUPE_ARG(answers[i].payload)) -
                    1;
        troupe_answer_release(&answers[i]);
    }
    return troupe_reply_format(
        turn, "%s: %safter %llu", troupe_status_name(status), out, (unsigned long long)took);
}

static troupe_status misuse(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    (void)in;
    troupe_call_options retries = {TROUPE_CALL_OPTIONS, .retry = {.attempts = 2}};
    troupe_request one = {troupe_id_of("plain", "b"), "nap", troupe_str("0"), &retries};
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status first = troupe_gather(turn, &one, 1, NULL, &answer);
    troupe_answer_release(&answer);
    one.options = NULL;
    troupe_gather_options two = {TROUPE_GATHER_OPTIONS, .need = 2};
    troupe_status second = troupe_gather(turn, &one, 1, &two, &answer);
    bool has_words = answer.message.size != 0 && answer.status == TROUPE_USAGE;
    troupe_answer_release(&answer);
    troupe_status third = troupe_gather(turn, &one, 0, NULL, &answer);
    return troupe_reply_format(turn, "%s %s %s %d", troupe_status_name(first),
        troupe_status_name(second), troupe_status_name(third), has_words);
}

static troupe_status many(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    (void)in;
    static char keys[1500][8];
    static troupe_request requests[1500];
    static troupe_answer answers[1500];
    size_t good = 0, busy = 0;
    for (size_t i = 0; i < 1500; i++) {
        snprintf(keys[i], sizeof keys[i], "%zu", i);
        requests[i] =
            (troupe_request){troupe_id_of("plain", keys[i]), "nap", troupe_str("1"), NULL};
    }
    troupe_status status = troupe_gather(turn, requests, 1500, NULL, answers);
    for (size_t i = 0; i < 1500; i++) {
        good += answers[i].status == TROUPE_OK;
        busy += answers[i].status == TROUPE_BUSY;
        troupe_answer_release(&answers[i]);
    }
    return troupe_reply_format(turn, "%s %zu %zu", troupe_status_name(status), good, busy);
}

static troupe_status ask_back(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)state;
    troupe_id id;
    TROUPE_TRY(troupe_id_parse(in, &id, NULL));
    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status = troupe_ask(turn, id, "show", troupe_str(""), NULL, &answer);
    troupe_answer_release(&answer);
    return troupe_reply_format(turn, "%s", troupe_status_name(status));
}

static troupe_status gather_and_fail(troupe_turn *turn, void *state, troupe_slice in)
{
    (void)in;
    tally *self = state;
    troupe_request one = {troupe_id_of("plain", "b"), "nap", troupe_str("1"), NULL};
    troupe_answer answer = TROUPE_ANSWER_INIT;
    self->gathered += 10;
    TROUPE_TRY(troupe_gather(turn, &one, 1, NULL, &answer));
    troupe_answer_release(&answer);
    self->gathered += 100;
    return troupe_fail(turn, TROUPE_APPLICATION, "after the commit point");
}

static const troupe_method methods[] = {TROUPE_METHOD(nap), TROUPE_METHOD(show),
    TROUPE_METHOD(gather), TROUPE_METHOD(misuse), TROUPE_METHOD(many), TROUPE_METHOD(ask_back),
    TROUPE_METHOD(gather_and_fail)};
static const troupe_type plain_type = {
    TROUPE_TYPE("plain"), .state_size = sizeof(tally), TROUPE_METHODS(methods)};
static const troupe_type firm_type = {TROUPE_TYPE("firm"), .state_size = sizeof(tally),
    TROUPE_METHODS(methods), .persist = TROUPE_PERSIST_EVERY_TURN};

static void open_with(scene *at, uint32_t shards)
{
    scene_open(at,
        &(troupe_node_options){
            TROUPE_NODE_OPTIONS, .shards = shards, .max_asks = 1024, .drain_timeout = MS(50)},
        TROUPE_TYPES(&plain_type, &firm_type));
}

static void expect(
    scene *at, const char *id, const char *method, const char *payload, const char *text)
{
    call got;
    scene_ask(at, &got, id, method, payload, NULL);
    scene_await(at, &got);
    assert_heard(got.got, TROUPE_OK);
    assert_string_equal(got.got.text, text);
}

static void all_are_asked_at_once_and_waited_for_once(void **state)
{
    (void)state;
    for (uint32_t shards = 1; shards <= 3; shards++) {
        scene at;
        open_with(&at, shards);
        call got;
        scene_ask(&at, &got, "plain/a", "gather",
            "0 0 plain/b nap 10; plain/c nap 30; plain/d nap 20; plain/e nap 0", NULL);
        scene_await(&at, &got);
        int took = -1;
        assert_int_equal(sscanf(got.got.text, "OK: 10 30 20 0 after %d", &took), 1);
        assert_in_range(took, 30, 34);
        assert_int_equal(stats_of(at.node).pending_asks, 0);
        scene_close(&at);
    }
}

static void each_ends_as_if_asked_alone(void **state)
{
    (void)state;
    scene at;
    open_with(&at, 2);
    expect(&at, "plain/a", "gather",
        "0 0 plain/b nap 0; nobody/b nap 0; plain/c sing 0; plain/d nap -1; plain/e nap 0",
        "NO_TYPE: 0 NO_TYPE- NO_METHOD- APPLICATION- 0 after 0");
    expect(&at, "plain/a", "misuse", "", "USAGE USAGE OK 1");
    expect(&at, "plain/a", "many", "", "BUSY 1023 477");
    scene_close(&at);
}

static void enough_good_answers_end_it_and_the_rest_is_cancelled(void **state)
{
    (void)state;
    scene at;
    open_with(&at, 2);
    call got;
    scene_ask(&at, &got, "plain/a", "gather",
        "2 0 plain/b nap -1; plain/c nap 10; plain/d nap 500; plain/e nap 20; plain/f nap 600",
        NULL);
    scene_await(&at, &got);
    int took = -1;
    assert_int_equal(
        sscanf(got.got.text, "OK: APPLICATION- 10 CANCELLED 20 CANCELLED after %d", &took), 1);
    assert_in_range(took, 20, 24);
    scene_run(&at, MS(5));
    expect(&at, "plain/d", "show", "", "0 gathered, 1 cancelled, 0 served");
    expect(&at, "plain/f", "show", "", "0 gathered, 1 cancelled, 0 served");
    assert_int_equal(stats_of(at.node).pending_asks, 0);
    scene_close(&at);
}

static void a_deadline_ends_those_that_are_late(void **state)
{
    (void)state;
    scene at;
    open_with(&at, 2);
    call got;
    scene_ask(&at, &got, "plain/a", "gather",
        "0 15 plain/b nap 10; plain/c nap 500; plain/d nap 10", NULL);
    scene_await(&at, &got);
    int took = -1;
    assert_int_equal(sscanf(got.got.text, "TIMEOUT: 10 TIMEOUT 10 after %d", &took), 1);
    assert_in_range(took, 15, 19);
    scene_run(&at, MS(5));
    expect(&at, "plain/c", "show", "", "0 gathered, 1 cancelled, 0 served");
    scene_close(&at);
}

static void a_cancellation_reaches_all(void **state)
{
    (void)state;
    scene at;
    open_with(&at, 2);
    troupe_cancel *cancel;
    assert_ok(troupe_cancel_create(at.node, &cancel));
    call got;
    scene_ask(&at, &got, "plain/a", "gather",
        "0 0 plain/b nap 500; plain/c nap 500; plain/d nap 500",
        &(troupe_call_options){TROUPE_CALL_OPTIONS, .cancel = cancel});
    scene_run(&at, MS(5));
    troupe_cancel_fire(cancel);
    scene_await(&at, &got);
    assert_heard(got.got, TROUPE_CANCELLED);
    scene_run(&at, MS(5));
    const char *const cancelled = "0 gathered, 1 cancelled, 0 served";
    expect(&at, "plain/b", "show", "", cancelled);
    expect(&at, "plain/c", "show", "", cancelled);
    expect(&at, "plain/d", "show", "", cancelled);
    troupe_cancel_destroy(cancel);
    scene_close(&at);
}

static void a_circle_through_one_that_needs_all_is_found(void **state)
{
    (void)state;
    scene at;
    open_with(&at, 3);
    call got;
    scene_ask(&at, &got, "plain/a", "gather",
        "0 0 plain/b nap 1; plain/c ask_back plain/a; plain/d nap 1", NULL);
    scene_await(&at, &got);
    int took = -1;
    assert_int_equal(sscanf(got.got.text, "OK: 1 DEADLOCK 1 after %d", &took), 1);
    assert_in_range(took, 5, 100);
    /* Two that gather each other. */
    call left, right;
    scene_ask(&at, &left, "plain/a", "gather", "0 0 plain/x nap 2; plain/b show", NULL);
    scene_ask(&at, &right, "plain/b", "gather", "0 0 plain/a show; plain/y nap 2", NULL);
    scene_await(&at, &left);
    scene_await(&at, &right);
    bool is_left = strncmp(left.got.text, "DEADLOCK", 8) == 0;
    bool is_right = strncmp(right.got.text, "DEADLOCK", 8) == 0;
    assert_int_equal(is_left + is_right, 1);
    assert_int_equal(stats_of(at.node).deadlocks, 2);
    scene_close(&at);
}

static void one_that_goes_on_without_some_is_no_circle(void **state)
{
    (void)state;
    scene at;
    open_with(&at, 1);
    call got;
    scene_ask(&at, &got, "plain/a", "gather", "1 0 plain/c ask_back plain/a; plain/b nap 50", NULL);
    scene_await(&at, &got);
    int took = -1;
    assert_int_equal(sscanf(got.got.text, "OK: CANCELLED 50 after %d", &took), 1);
    assert_in_range(took, 50, 54);
    assert_int_equal(stats_of(at.node).deadlocks, 0);
    scene_close(&at);
}

static void what_was_before_it_is_kept(void **state)
{
    (void)state;
    scene at;
    open_with(&at, 2);
    const char *const types[] = {"plain/a", "firm/a"};
    for (int i = 0; i < 2; i++) {
        call got;
        scene_ask(&at, &got, types[i], "gather_and_fail", "", NULL);
        scene_await(&at, &got);
        assert_heard(got.got, TROUPE_APPLICATION);
        expect(&at, types[i], "show", "", "10 gathered, 0 cancelled, 0 served");
    }
    scene_close(&at);
}

static void a_node_that_closes_ends_it(void **state)
{
    (void)state;
    scene at;
    open_with(&at, 2);
    call got;
    scene_ask(&at, &got, "plain/a", "gather", "0 0 plain/b nap 5000; plain/c nap 5000", NULL);
    scene_run(&at, MS(5));
    scene_close(&at);
    assert_int_equal(atomic_load(&got.ends), 1);
}

static void *gather_often(void *user)
{
    troupe_node *node = user;
    intptr_t good = 0;
    for (int i = 0; i < 50; i++) {
        char id[32];
        snprintf(id, sizeof id, "plain/asker-%d", i % 7);
        good += strncmp(ask(node, id, "gather",
                            "2 0 plain/b nap 0; plain/c nap 1; plain/d nap 0; firm/e nap 0")
                            .text,
                    "OK", 2) == 0;
    }
    return (void *)good;
}

static void threads_gather(void **state)
{
    (void)state;
    troupe_node *node;
    assert_ok(
        troupe_node_open(&(troupe_node_options){TROUPE_NODE_OPTIONS, .shards = 3, .log = "off"},
            TROUPE_TYPES(&plain_type, &firm_type), &node));
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, gather_often, node), 0);
    for (int i = 0; i < 4; i++) {
        void *good;
        pthread_join(threads[i], &good);
        assert_int_equal((intptr_t)good, 50);
    }
    troupe_node_close(node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_are_asked_at_once_and_waited_for_once),
        cmocka_unit_test(each_ends_as_if_asked_alone),
        cmocka_unit_test(enough_good_answers_end_it_and_the_rest_is_cancelled),
        cmocka_unit_test(a_deadline_ends_those_that_are_late),
        cmocka_unit_test(a_cancellation_reaches_all),
        cmocka_unit_test(a_circle_through_one_that_needs_all_is_found),
        cmocka_unit_test(one_that_goes_on_without_some_is_no_circle),
        cmocka_unit_test(what_was_before_it_is_kept),
        cmocka_unit_test(a_node_that_closes_ends_it),
        cmocka_unit_test(threads_gather),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

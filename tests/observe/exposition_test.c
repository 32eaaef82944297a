/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page for Prometheus as a function of a snapshot: escapes, exact buckets, seconds, and a
 * reader that wants no more. That promtool takes the page of a real node is tests/e2e/metrics_test.
 *
 * Invariants: no node, no time. Threads: one.
 */
#include "observe/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct paper {
    char text[1 << 16];
    size_t size, parts, most; /* parts that it takes */
} paper;

static troupe_status take(void *user, troupe_slice part)
{
    paper *self = user;
    if (self->parts == self->most)
        return TROUPE_CANCELLED;
    self->parts++;
    assert_true(self->size + part.size < sizeof self->text);
    memcpy(self->text + self->size, part.data, part.size);
    self->size += part.size;
    self->text[self->size] = 0;
    return TROUPE_OK;
}

static tp_metrics *snapshot(uint32_t shards)
{
    tp_metrics *self = calloc(1, sizeof *self);
    assert_non_null(self);
    self->node = "n";
    self->version = "1";
    self->shards = shards;
    self->of_shards = calloc(shards, sizeof *self->of_shards);
    assert_non_null(self->of_shards);
    return self;
}

static void drop(tp_metrics *self)
{
    free(self->of_shards);
    free(self);
}

static const char *page_of(const tp_metrics *metrics)
{
    static paper out;
    out = (paper){.most = SIZE_MAX};
    assert_int_equal(tp_exposition_write(metrics, take, &out), TROUPE_OK);
    return out.text;
}

static void assert_line(const char *page, const char *line)
{
    char wanted[256];
    snprintf(wanted, sizeof wanted, "\n%s\n", line);
    if (strstr(page, wanted) == NULL) {
        print_error("no line: %s\n", line);
        fail();
    }
}

static void a_label_is_escaped(void **state)
{
    (void)state;
    tp_metrics *metrics = snapshot(1);
    metrics->node = "a\"b\\c\nd";
    assert_line(page_of(metrics), "troupe_node_info{node=\"a\\\"b\\\\c\\nd\",version=\"1\"} 1");
    drop(metrics);
}

static void values_stand_behind_help_and_type(void **state)
{
    (void)state;
    tp_metrics *metrics = snapshot(2);
    metrics->values[TP_METRIC_OF_tells] = UINT64_MAX;
    metrics->values[TP_METRIC_OF_uptime] = UINT64_C(12000000034);
    metrics->of_shards[1][TP_METRIC_OF_queued] = 3;
    const char *page = page_of(metrics);
    assert_line(page, "# HELP troupe_tells_total tells accepted\n"
                      "# TYPE troupe_tells_total counter\n"
                      "troupe_tells_total 18446744073709551615");
    assert_line(page, "troupe_uptime_seconds 12.000000034");
    assert_line(page, "troupe_queued_messages{shard=\"0\"} 0\n"
                      "troupe_queued_messages{shard=\"1\"} 3");
    drop(metrics);
}

static void each_type_has_a_line_for_each_shard(void **state)
{
    (void)state;
    tp_metrics *metrics = snapshot(2);
    troupe_slice names[] = {troupe_str("a.b"), troupe_str("c")};
    uint64_t values[4][TP_METRICS_OF_TYPES] = {0};
    metrics->types = 2;
    metrics->type_names = names;
    metrics->of_types = values;
    values[1][TP_METRIC_OF_turns] = 7;
    values[2][TP_METRIC_OF_turns] = 8;
    values[3][TP_METRIC_OF_time] = 1500000000;
    const char *page = page_of(metrics);
    assert_line(page, "troupe_turns_total{type=\"a.b\",shard=\"0\"} 0\n"
                      "troupe_turns_total{type=\"a.b\",shard=\"1\"} 7\n"
                      "troupe_turns_total{type=\"c\",shard=\"0\"} 8\n"
                      "troupe_turns_total{type=\"c\",shard=\"1\"} 0");
    assert_line(
        page, "troupe_timed_turn_seconds_total{type=\"c\",shard=\"1\"} 1.500000000");
    drop(metrics);
}

/* At each bucket's end one just below and one at it: the second is counted above. */
static void buckets_are_exact(void **state)
{
    (void)state;
    tp_metrics *metrics = snapshot(1);
    uint64_t sum = 0, count = 0;
    char line[128];
    for (unsigned power = 0; power < 64; power++) {
        uint64_t end = UINT64_C(1) << power;
        tp_histogram_record(&metrics->times[0], end - 1);
        tp_histogram_record(&metrics->times[0], end);
        sum += 2 * end - 1;
    }
    const char *page = page_of(metrics);
    for (unsigned power = 7; power <= 35; power++) {
        uint64_t end = UINT64_C(1) << power;
        count = 2 * power + 1;
        snprintf(line, sizeof line, "troupe_turn_seconds_bucket{le=\"%llu.%09llu\"} %llu",
            (unsigned long long)(end / 1000000000), (unsigned long long)(end % 1000000000),
            (unsigned long long)count);
        assert_line(page, line);
    }
    assert_line(page, "troupe_turn_seconds_bucket{le=\"+Inf\"} 128");
    assert_line(page, "troupe_turn_seconds_count 128");
    snprintf(line, sizeof line, "troupe_turn_seconds_sum %llu.%09llu",
        (unsigned long long)(sum / 1000000000), (unsigned long long)(sum % 1000000000));
    assert_line(page, line);
    assert_line(page, "troupe_ask_seconds_count 0");
    drop(metrics);
}

static void who_wants_no_more_gets_no_more(void **state)
{
    (void)state;
    tp_metrics *metrics = snapshot(1);
    static paper out;
    out = (paper){.most = 1};
    assert_int_equal(tp_exposition_write(metrics, take, &out), TROUPE_CANCELLED);
    assert_int_equal(out.parts, 1);
    drop(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_label_is_escaped),
        cmocka_unit_test(values_stand_behind_help_and_type),
        cmocka_unit_test(each_type_has_a_line_for_each_shard),
        cmocka_unit_test(buckets_are_exact),
        cmocka_unit_test(who_wants_no_more_gets_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

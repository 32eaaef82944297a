/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics as Prometheus reads them (text format 0.0.4, prometheus.io/docs/instrumenting/
 * exposition_formats). A pure function over a snapshot; who serves the page is the admin socket, or
 * a gateway.
 *
 * A page may have tens of thousands of lines, so lines are put together by hand, in a chunk that is
 * handed on when it is full.
 *
 * Invariants: 1. The lines of a metric stand together, behind its HELP and TYPE. 2. In a label
 * value `\`, `"` and line ends are escaped; the names that are put there are UTF-8.
 * Threads: none.
 */
#include "observe/metrics.h"

/* Buckets of a histogram end at 2^n ns, where its octaves end: they are exact. A time of 2^n ns
 * itself is counted above, as it was cut to whole nanoseconds. */
#define FIRST_BUCKET 7  /* 128 ns */
#define LAST_BUCKET  35 /* 34 s */

typedef struct page {
    troupe_page_write *write;
    void *user;
    troupe_status status;
    size_t used;
    char chunk[4096];
} page;

typedef struct row {
    tp_metric_scope scope;
    tp_metric_kind kind;
    tp_metric_unit unit;
    troupe_slice name;
    const char *help;
} row;

#define WORDS(text) {(text), sizeof(text) - 1}

static const row rows[] = {
#define TP_METRIC(id, scope, kind, unit, name, help) \
    {TP_METRIC_##scope, TP_METRIC_##kind, TP_METRIC_##unit, WORDS(name), help},
#include "observe/metrics.def"
#undef TP_METRIC
};

/* ---- bytes --------------------------------------------------------------------------------- */

static void hand_on(page *self)
{
    if (self->status == TROUPE_OK)
        self->status = self->write(self->user, troupe_slice_of(self->chunk, self->used));
    self->used = 0;
}

/* At most so many bytes as a chunk has. */
static inline void put(page *self, const void *data, size_t size)
{
    if (TP_UNLIKELY(size > sizeof self->chunk - self->used))
        hand_on(self);
    memcpy(self->chunk + self->used, data, size);
    self->used += size;
}

static inline void put_slice(page *self, troupe_slice text)
{
    put(self, text.data, text.size);
}

static void put_text(page *self, const char *text)
{
    put_slice(self, troupe_str(text));
}

static void put_label(page *self, const char *name, troupe_slice value)
{
    const char *from = value.data;
    put_text(self, name);
    put(self, "=\"", 2);
    for (size_t i = 0; i < value.size; i++) {
        if (from[i] == '\n')
            put(self, "\\n", 2);
        else if (from[i] == '\\' || from[i] == '"')
            put(self, (const char[2]){'\\', from[i]}, 2);
        else
            put(self, &from[i], 1);
    }
    put(self, "\"", 1);
}

static void put_number(page *self, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    put(self, digits + at, sizeof digits - at);
}

static void put_seconds(page *self, uint64_t ns)
{
    char fraction[10] = ".000000000";
    put_number(self, ns / 1000000000);
    ns %= 1000000000;
    for (size_t i = sizeof fraction - 1; i > 0; i--) {
        fraction[i] = (char)('0' + ns % 10);
        ns /= 10;
    }
    put(self, fraction, sizeof fraction);
}

/* " 12" and the line's end. */
static void put_value(page *self, tp_metric_unit unit, uint64_t value)
{
    put(self, " ", 1);
    if (unit == TP_METRIC_SECONDS)
        put_seconds(self, value);
    else
        put_number(self, value);
    put(self, "\n", 1);
}

/* ---- metrics ------------------------------------------------------------------------------- */

static void put_head(page *self, const row *of)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    put_text(self, "# HELP ");
    put_slice(self, of->name);
    put_text(self, " ");
    put_text(self, of->help);
    put_text(self, "\n# TYPE ");
    put_slice(self, of->name);
    put_text(self, " ");
    put_text(self, kinds[of->kind]);
    put_text(self, "\n");
}

static void put_bucket(page *self, const row *of, unsigned power, uint64_t count)
{
    put_slice(self, of->name);
    put_text(self, "_bucket{le=\"");
    if (power > LAST_BUCKET)
        put_text(self, "+Inf");
    else
        put_seconds(self, UINT64_C(1) << power);
    put_text(self, "\"}");
    put_value(self, TP_METRIC_NONE, count);
}

static void put_histogram(page *self, const row *of, const tp_histogram *times)
{
    uint64_t count = 0;
    uint32_t cell = 0;
    for (unsigned power = FIRST_BUCKET; power <= LAST_BUCKET + 1; power++) {
        uint32_t end = power > LAST_BUCKET ? TP_HISTOGRAM_CELLS
                                           : tp_histogram_cell(UINT64_C(1) << power);
        for (; cell < end; cell++)
            count += tp_cell_get(&times->cells[cell]);
        put_bucket(self, of, power, count);
    }
    put_slice(self, of->name);
    put_text(self, "_sum");
    put_value(self, TP_METRIC_SECONDS, tp_histogram_sum(times));
    put_slice(self, of->name);
    put_text(self, "_count");
    put_value(self, TP_METRIC_NONE, count);
}

static void put_info(page *self, const row *of, const tp_metrics *metrics)
{
    put_slice(self, of->name);
    put_text(self, "{");
    put_label(self, "node", troupe_str(metrics->node));
    put_text(self, ",");
    put_label(self, "version", troupe_str(metrics->version));
    put_text(self, "}");
    put_value(self, TP_METRIC_NONE, 1);
}

static void put_of_shards(page *self, const row *of, const tp_metrics *metrics, size_t at)
{
    for (uint32_t i = 0; i < metrics->shards; i++) {
        put_slice(self, of->name);
        put_text(self, "{shard=\"");
        put_number(self, i);
        put_text(self, "\"}");
        put_value(self, of->unit, metrics->of_shards[i][at]);
    }
}

static void put_of_types(page *self, const row *of, const tp_metrics *metrics, size_t at)
{
    for (uint32_t i = 0; i < metrics->types; i++) {
        for (uint32_t k = 0; k < metrics->shards; k++) {
            put_slice(self, of->name);
            put(self, "{type=\"", 7);
            put_slice(self, metrics->type_names[i]); /* of letters, digits, '_', '.', '-' */
            put(self, "\",shard=\"", 9);
            put_number(self, k);
            put(self, "\"}", 2);
            put_value(self, of->unit, metrics->of_types[(size_t)i * metrics->shards + k][at]);
        }
    }
}

troupe_status tp_exposition_write(
    const tp_metrics *metrics, troupe_page_write *write, void *user)
{
    page self;
    self.write = write;
    self.user = user;
    self.status = TROUPE_OK;
    self.used = 0;
    size_t histogram = 0;
    for (size_t i = 0; i < TP_METRIC_COUNT && self.status == TROUPE_OK; i++) {
        const row *of = &rows[i];
        put_head(&self, of);
        if (of->scope == TP_METRIC_INFO) {
            put_info(&self, of, metrics);
        } else if (of->kind == TP_METRIC_HISTOGRAM) {
            put_histogram(&self, of, &metrics->times[histogram++]);
        } else if (of->scope == TP_METRIC_SHARD) {
            put_of_shards(&self, of, metrics, i);
        } else if (of->scope == TP_METRIC_TYPE) {
            put_of_types(&self, of, metrics, i);
        } else {
            put_slice(&self, of->name);
            put_value(&self, of->unit, metrics->values[i]);
        }
    }
    hand_on(&self);
    return self.status;
}

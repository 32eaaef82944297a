/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scrape: how long the page of metrics takes of a node with 1,000 types on 8 shards, all of which
 * have counted something. The page goes to memory; who serves it adds what serving costs.
 *
 * Threads: the body's; the node's.
 */
#include "core.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <troupe/inspect.h>

enum { TYPES = 1000, SHARDS = 8, KEYS = 16, PAGES = 15 };

static troupe_status touch(troupe_turn *turn, void *state, troupe_slice payload)
{
    (void)state;
    return troupe_reply_bytes(turn, payload);
}

static const troupe_method methods[] = {TROUPE_METHOD(touch)};

typedef struct scene {
    troupe_type types[TYPES];
    const troupe_type *list[TYPES];
    char names[TYPES][16];
    char *page;
    size_t size, room;
} scene;

static troupe_status add(void *user, troupe_slice part)
{
    scene *self = user;
    if (self->room - self->size < part.size) {
        size_t room = (self->size + part.size) * 2;
        char *grown = realloc(self->page, room);
        if (grown == NULL)
            return TROUPE_NO_MEMORY;
        self->page = grown;
        self->room = room;
    }
    memcpy(self->page + self->size, part.data, part.size);
    self->size += part.size;
    return TROUPE_OK;
}

/* Actors of each type on most shards. */
static bool warm(troupe_node *node, const scene *self)
{
    for (int i = 0; i < TYPES * KEYS; i++) {
        char key[16];
        troupe_answer answer = TROUPE_ANSWER_INIT;
        snprintf(key, sizeof key, "%d", i / TYPES);
        troupe_status status = troupe_node_ask(node,
            troupe_id_of(self->names[i % TYPES], key), "touch", troupe_str(""), NULL, &answer);
        troupe_answer_release(&answer);
        if (status != TROUPE_OK)
            return false;
    }
    return true;
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* The median of some pages, in ms. */
static double measure(tp_bench *bench, troupe_node *node, scene *self)
{
    double took[PAGES];
    for (int i = 0; i < PAGES; i++) {
        self->size = 0;
        uint64_t begin = tp_bench_now_ns();
        if (troupe_node_metrics(node, add, self) != TROUPE_OK)
            return tp_bench_fail(bench, "there is no page");
        took[i] = (double)(tp_bench_now_ns() - begin) / 1e6;
    }
    if (self->size < (size_t)TYPES * SHARDS * 40)
        return tp_bench_fail(bench, "the page is short");
    qsort(took, PAGES, sizeof took[0], compare);
    return took[PAGES / 2];
}

double tp_core_scrape(tp_bench *bench)
{
    scene *self = calloc(1, sizeof *self);
    if (self == NULL)
        return tp_bench_fail(bench, "no memory");
    for (int i = 0; i < TYPES; i++) {
        snprintf(self->names[i], sizeof self->names[i], "account-%d", i);
        self->types[i] = (troupe_type){TROUPE_TYPE(self->names[i]), TROUPE_METHODS(methods)};
        self->list[i] = &self->types[i];
    }
    const troupe_node_options options = {TROUPE_NODE_OPTIONS, .shards = SHARDS};
    double value = NAN;
    troupe_node *node = tp_core_open(bench, &options, self->list, TYPES);
    if (node != NULL)
        value = warm(node, self) ? measure(bench, node, self)
                                 : tp_bench_fail(bench, "the actors did not answer");
    troupe_node_close(node);
    free(self->page);
    free(self);
    return value;
}

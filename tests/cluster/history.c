/* SPDX-License-Identifier: Apache-2.0 */
/* Checks histories of registers. See history.h. */
#include "history.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define STEPS_MAX 20000000u

/* A moment at which a call begins or ends; a list in order of time, out of which the calls that
 * have their place are taken. */
typedef struct moment {
    uint64_t time;
    uint32_t call;
    bool is_end;
    struct moment *before, *next, *end; /* end: of a begin; NULL: open */
} moment;

typedef struct configuration {
    struct configuration *next;
    int64_t value;
    uint64_t placed[]; /* bits of calls */
} configuration;

typedef struct search {
    const history_call *calls;
    size_t count, words, ends;
    moment head, *moments;
    moment **order;  /* that have their place */
    int64_t *values; /* before each of them */
    size_t depth;
    uint64_t *placed;
    int64_t value;
    configuration **table;
    size_t mask;
    moment *furthest; /* end at which the deepest try was stuck */
    size_t deepest;
} search;

static int by_time(const void *left, const void *right)
{
    const moment *a = left, *b = right;
    if (a->time != b->time)
        return a->time < b->time ? -1 : 1;
    if (a->is_end != b->is_end) /* those that touch may have overlapped */
        return a->is_end ? 1 : -1;
    return a->call < b->call ? -1 : a->call > b->call;
}

static bool apply(const history_call *call, int64_t value, int64_t *ret_value)
{
    int64_t after = call->kind == HISTORY_ADD   ? value + call->argument
                    : call->kind == HISTORY_SET ? call->argument
                                                : value;
    if (call->end != HISTORY_OPEN && call->result != after)
        return false;
    *ret_value = after;
    return true;
}

/* 1: it is new; 0: it was tried; -1: no memory. */
static int remember(search *self, int64_t value)
{
    uint64_t hash = (uint64_t)value * 0x9E3779B97F4A7C15u;
    for (size_t i = 0; i < self->words; i++)
        hash = (hash ^ self->placed[i]) * 0xD6E8FEB86659FD93u ^ hash >> 29;
    configuration **place = &self->table[(hash ^ hash >> 32) & self->mask];
    size_t bytes = self->words * sizeof(uint64_t);
    for (configuration *known = *place; known != NULL; known = known->next)
        if (known->value == value && memcmp(known->placed, self->placed, bytes) == 0)
            return 0;
    configuration *made = malloc(sizeof *made + bytes);
    if (made == NULL)
        return -1;
    made->next = *place;
    made->value = value;
    memcpy(made->placed, self->placed, bytes);
    *place = made;
    return 1;
}

static void take_out(moment *at)
{
    at->before->next = at->next;
    if (at->next != NULL)
        at->next->before = at->before;
}

static void put_back(moment *at)
{
    at->before->next = at;
    if (at->next != NULL)
        at->next->before = at;
}

static void flip(search *self, uint32_t call)
{
    self->placed[call / 64] ^= UINT64_C(1) << (call % 64);
}

static void place(search *self, moment *begin, int64_t value)
{
    self->order[self->depth] = begin;
    self->values[self->depth++] = self->value;
    self->value = value;
    take_out(begin);
    if (begin->end != NULL) {
        take_out(begin->end);
        self->ends--;
    }
}

/* Takes the last placement back; NULL: there is none. */
static moment *displace(search *self)
{
    if (self->depth == 0)
        return NULL;
    moment *begin = self->order[--self->depth];
    self->value = self->values[self->depth];
    flip(self, begin->call);
    if (begin->end != NULL) {
        put_back(begin->end);
        self->ends++;
    }
    put_back(begin);
    return begin;
}

static history_verdict run(search *self)
{
    moment *at = self->head.next;
    for (uint32_t step = 0; step < STEPS_MAX; step++) {
        if (self->ends == 0)
            return HISTORY_GOOD;
        if (at == NULL || at->is_end) {
            if (self->furthest == NULL || self->depth > self->deepest) {
                self->deepest = self->depth;
                self->furthest = at;
            }
            moment *last = displace(self);
            if (last == NULL)
                return HISTORY_BAD;
            at = last->next;
            continue;
        }
        int64_t value;
        if (!apply(&self->calls[at->call], self->value, &value)) {
            at = at->next;
            continue;
        }
        flip(self, at->call);
        int is_new = remember(self, value);
        if (is_new < 0)
            return HISTORY_UNDECIDED;
        if (is_new == 0) {
            flip(self, at->call);
            at = at->next;
            continue;
        }
        place(self, at, value);
        at = self->head.next;
    }
    return HISTORY_UNDECIDED;
}

static bool prepare(search *self, const history_call *calls, size_t count)
{
    size_t made = 0;
    *self = (search){.calls = calls, .count = count, .words = count / 64 + 1, .mask = 0xFFFF};
    self->moments = calloc(count * 2 + 1, sizeof(moment));
    self->order = calloc(count + 1, sizeof(moment *));
    self->values = calloc(count + 1, sizeof(int64_t));
    self->placed = calloc(self->words, sizeof(uint64_t));
    self->table = calloc(self->mask + 1, sizeof(configuration *));
    if (self->moments == NULL || self->order == NULL || self->values == NULL ||
        self->placed == NULL || self->table == NULL)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        self->moments[made++] = (moment){.time = calls[i].begin, .call = i};
        if (calls[i].end == HISTORY_OPEN)
            continue;
        self->moments[made++] = (moment){.time = calls[i].end, .call = i, .is_end = true};
        self->ends++;
    }
    qsort(self->moments, made, sizeof(moment), by_time);
    moment *last = &self->head;
    moment **begins = calloc(count + 1, sizeof(moment *));
    if (begins == NULL)
        return false;
    for (size_t i = 0; i < made; i++) {
        moment *at = &self->moments[i];
        last->next = at;
        at->before = last;
        last = at;
        if (!at->is_end)
            begins[at->call] = at;
        else
            begins[at->call]->end = at;
    }
    free(begins);
    return true;
}

static void drop(search *self)
{
    for (size_t i = 0; self->table != NULL && i <= self->mask; i++)
        for (configuration *known = self->table[i], *next; known != NULL; known = next) {
            next = known->next;
            free(known);
        }
    free(self->table);
    free(self->placed);
    free(self->values);
    free(self->order);
    free(self->moments);
}

history_verdict history_check(const history_call *calls, size_t count, size_t *ret_at)
{
    search self;
    history_verdict verdict = HISTORY_UNDECIDED;
    if (prepare(&self, calls, count))
        verdict = run(&self);
    *ret_at = self.furthest != NULL ? self.furthest->call : 0;
    drop(&self);
    return verdict;
}

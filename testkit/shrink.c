/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes a failing run small: fewer operations from its end, fewer actors and shards, then single
 * operations out of its middle. Each try is a run of the same seed in a child. Operation i is drawn
 * from (seed, i) alone, so what is left stays what it was.
 *
 * Threads: one.
 */
#include "testkit/seeds_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRIES_MOST 400

typedef struct shrinking {
    const tp_subject *subject;
    uint64_t seed, mutants;
    tp_seed_page *page;
    tp_shrunk *best;
    uint8_t *skip;
    uint32_t ops; /* the prefix */
} shrinking;

/* Does it still fail like this? */
static bool try(shrinking *self, uint32_t ops, uint32_t actors, uint32_t shards)
{
    if (self->best->tries++ >= TRIES_MOST)
        return false;
    memset(self->page, 0, sizeof *self->page);
    self->page->seed = self->seed;
    pid_t child = fork();
    if (child < 0)
        return false;
    if (child == 0) {
        tp_stage_result result;
        tp_stage_options options = {.seed = self->seed,
            .mutants = self->mutants,
            .ops_most = ops,
            .skip = self->skip,
            .actors_most = actors,
            .shards_most = shards};
        tp_seed_silence();
        tp_seed_once(self->subject, &options, self->page, false, &result);
        _exit(0);
    }
    int status = 0;
    if (waitpid(child, &status, 0) != child)
        return false;
    tp_seed_fault fault;
    if (!tp_seed_fault_of(self->page, status, &fault))
        return false;
    /* A shorter run may fail in another way: that is another seed's story. */
    if (self->best->fault.checker[0] != 0 && strcmp(fault.checker, self->best->fault.checker) != 0)
        return false;
    self->best->fault = fault;
    return true;
}

static void shrink_prefix(shrinking *self)
{
    uint32_t low = 0;
    while (low + 1 < self->ops && self->best->tries < TRIES_MOST) {
        uint32_t middle = low + (self->ops - low) / 2;
        if (try(self, middle, self->best->actors, self->best->shards))
            self->ops = middle;
        else
            low = middle;
    }
}

static void shrink_house(shrinking *self)
{
    for (uint32_t shards = 1; shards <= 3; shards++) {
        if (!try(self, self->ops, 0, shards))
            continue;
        self->best->shards = shards;
        break;
    }
    for (uint32_t actors = 1; actors <= 8; actors *= 2) {
        if (!try(self, self->ops, actors, self->best->shards))
            continue;
        self->best->actors = actors;
        break;
    }
}

/* Leaves out runs of operations, long ones first. */
static void shrink_middle(shrinking *self)
{
    for (uint32_t length = self->ops / 2; length != 0; length /= 2) {
        for (uint32_t at = 0; at + length <= self->ops && self->best->tries < TRIES_MOST;
             at += length) {
            uint8_t before[4096];
            if (self->skip[at] && length == 1)
                continue;
            memcpy(before, self->skip, self->ops);
            memset(self->skip + at, 1, length);
            if (!try(self, self->ops, self->best->actors, self->best->shards))
                memcpy(self->skip, before, self->ops);
        }
    }
}

static void say_steps(shrinking *self, void (*say)(void *, const char *), void *user)
{
    memset(self->page, 0, sizeof *self->page);
    self->page->seed = self->seed;
    fflush(NULL);
    pid_t child = fork();
    if (child < 0)
        return;
    if (child == 0) {
        tp_stage_result result;
        tp_stage_options options = {.seed = self->seed,
            .mutants = self->mutants,
            .ops_most = self->ops,
            .say = say,
            .say_user = user,
            .skip = self->skip,
            .actors_most = self->best->actors,
            .shards_most = self->best->shards};
        tp_seed_silence();
        tp_seed_once(self->subject, &options, self->page, false, &result);
        _exit(0);
    }
    int status;
    (void)waitpid(child, &status, 0);
    tp_seed_fault fault;
    if (tp_seed_fault_of(self->page, status, &fault))
        self->best->fault = fault;
}

bool tp_seed_shrink(const tp_subject *subject, uint64_t seed, uint64_t mutants,
    void (*say)(void *user, const char *line), void *user, tp_shrunk *ret_shrunk)
{
    tp_shrunk best = {0};
    shrinking self = {.subject = subject, .seed = seed, .mutants = mutants, .best = &best};
    self.page = tp_seed_page_create();
    self.skip = calloc(1, 4096);
    bool fails = self.page != NULL && self.skip != NULL && try(&self, 4000, 0, 0);
    if (fails) {
        self.ops = 4000;
        if (best.fault.op != 0 && try(&self, best.fault.op + 1, 0, 0))
            self.ops = best.fault.op + 1;
        shrink_prefix(&self);
        shrink_house(&self);
        shrink_prefix(&self);
        shrink_middle(&self);
        for (uint32_t i = 0; i < self.ops; i++)
            best.ops += !self.skip[i];
        if (say != NULL)
            say_steps(&self, say, user);
        *ret_shrunk = best;
    }
    tp_seed_page_destroy(self.page);
    free(self.skip);
    return fails;
}

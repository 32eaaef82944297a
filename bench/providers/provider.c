/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a provider gives through the storage port, without a node around it: commits and loads of
 * 200 bytes of state, distinct actors, in groups. To be put beside the limit of the same store
 * (limit_durable_redis): what is lost between the two is the provider's own.
 *
 *   bench_provider MODULE URL [--group N] [--actors N] [--ms N] [--get]
 *
 * Prints one JSON line. Threads: one.
 */
#include <troupe/provider.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { STATE = 200, MOST = 4096 };

typedef struct bench {
    troupe_store *store;
    uint64_t *versions; /* by actor */
    uint64_t actors, next, writer;
    size_t group;
    troupe_store_op ops[MOST];
    char keys[MOST][32];
    char state[STATE];
} bench;

static uint64_t read_clock(void *context)
{
    struct timespec moment;
    (void)context;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    return (uint64_t)moment.tv_sec * TROUPE_SECONDS(1) + (uint64_t)moment.tv_nsec;
}

static uint64_t read_wall(void *context)
{
    struct timespec moment;
    (void)context;
    clock_gettime(CLOCK_REALTIME, &moment);
    return (uint64_t)moment.tv_sec * TROUPE_SECONDS(1) + (uint64_t)moment.tv_nsec;
}

static void print_line(void *context, int level, const char *event, const char *text)
{
    (void)context;
    fprintf(stderr, "log %d %s: %s\n", level, event, text);
}

static void *allocate(void *context, size_t size)
{
    (void)context;
    return malloc(size);
}

static void *reallocate(void *context, void *block, size_t old_size, size_t new_size)
{
    (void)context;
    (void)old_size;
    return realloc(block, new_size);
}

static void release(void *context, void *block, size_t size)
{
    (void)context;
    (void)size;
    free(block);
}

static const troupe_allocator system_allocator = {NULL, allocate, reallocate, release};

static void fail(const char *what)
{
    fprintf(stderr, "bench_provider: %s\n", what);
    exit(1);
}

/* One group, each operation of another actor. */
static void run_group(bench *self, bool get)
{
    troupe_store_op *list[MOST];
    for (size_t i = 0; i < self->group; i++) {
        uint64_t actor = (self->next + i) % self->actors;
        snprintf(self->keys[i], sizeof self->keys[i], "%llx-%llx",
            (unsigned long long)(self->writer & 0xffffffff), (unsigned long long)actor);
        self->ops[i] = (troupe_store_op){
            .kind = get ? TROUPE_STORE_LOAD : TROUPE_STORE_COMMIT,
            .id = troupe_id_of("bench", self->keys[i]),
            .writer = self->writer,
            .version = self->versions[actor],
            .commit = {.has_state = true, .state = {self->state, STATE}, .time = 1},
            .allocator = &system_allocator,
        };
        list[i] = &self->ops[i];
    }
    self->store->run(self->store, list, self->group);
    for (size_t i = 0; i < self->group; i++) {
        if (self->ops[i].status != TROUPE_OK)
            fail(troupe_status_name(self->ops[i].status));
        if (get && (self->ops[i].items == NULL || self->ops[i].items->value.size != STATE))
            fail("a state is not there");
        if (!get)
            self->versions[(self->next + i) % self->actors]++;
        troupe_store_release(&self->ops[i]);
    }
    self->next += self->group;
}

static uint64_t option(int argc, char **argv, const char *name, uint64_t otherwise)
{
    for (int i = 3; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return strtoull(argv[i + 1], NULL, 10);
    return otherwise;
}

int main(int argc, char **argv)
{
    static bench self;
    if (argc < 3)
        fail("bench_provider MODULE URL [--group N] [--actors N] [--ms N] [--get]");
    bool get = strcmp(argv[argc - 1], "--get") == 0;
    self.group = option(argc, argv, "--group", 1024);
    self.actors = option(argc, argv, "--actors", 100000);
    uint64_t time = TROUPE_MILLISECONDS(option(argc, argv, "--ms", 1000));
    void *module = dlopen(argv[1], RTLD_NOW);
    const troupe_provider *provider = module != NULL ? dlsym(module, TROUPE_PROVIDER_SYMBOL) : NULL;
    if (provider == NULL)
        fail(dlerror());
    const troupe_store_host host = {.size = sizeof host,
        .allocator = &system_allocator,
        .now = read_clock,
        .wall = read_wall,
        .log = print_line};
    char error[1024];
    if (provider->open(&host, argv[2], &self.store, error, sizeof error) != TROUPE_OK)
        fail(error);
    size_t most = self.store->group != 0 ? self.store->group : 1024;
    if (self.group == 0 || self.group > most || self.group > MOST || self.actors < self.group)
        fail("a group is at least 1, at most the provider's own, and no more than the actors");
    self.versions = calloc(self.actors, sizeof *self.versions);
    self.writer = read_wall(NULL);
    troupe_store_op writer = {.kind = TROUPE_STORE_OPEN_WRITER, .writer = self.writer};
    troupe_store_op *list[] = {&writer};
    self.store->run(self.store, list, 1);
    if (self.versions == NULL || writer.status != TROUPE_OK)
        fail("no writer");
    size_t group = self.group;
    self.group = self.actors < most ? self.actors : most;
    for (uint64_t done = 0; done < self.actors; done += self.group) /* all are there */
        run_group(&self, false);
    self.group = group;
    uint64_t begin = read_clock(NULL), done = 0, end;
    do {
        run_group(&self, get);
        done += self.group;
        end = read_clock(NULL);
    } while (end - begin < time);
    self.store->close(self.store);
    free(self.versions);
    printf("{\"name\":\"%s_%s\",\"value\":%.6g,\"unit\":\"ops/s\",\"group\":%zu}\n",
        get ? "load" : "commit", provider->scheme, (double)done * 1e9 / (double)(end - begin),
        self.group);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads stanzas of a Debian package index and resolves their dependencies. Of each clause of
 * Depends and Pre-Depends the first alternative counts, without version and architecture. A name
 * that no package has is resolved to the first package, by name, that provides it. Of several
 * stanzas of one name the first counts.
 *
 * Invariants: 1. Every clause read is counted once: as an edge, or as repeated, or as unresolved.
 * Threads: one. Memory: text is kept in one block per stanza until the graph is made.
 */
#include "index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DPKG_STATUS "/var/lib/dpkg/status"

struct stanza {
    char *name;
    char *depends;
    char *pre_depends;
    char *provides;
    size_t order;
};

struct provider {
    char *name; /* what is provided */
    uint32_t package;
};

struct reader {
    struct stanza *stanzas;
    size_t count, capacity;
    struct provider *providers;
    size_t provider_count, provider_capacity;
    uint32_t edge_capacity;
};

static bool grow(void **array, size_t *capacity, size_t count, size_t size)
{
    if (count < *capacity)
        return true;
    size_t wanted = *capacity == 0 ? 1024 : *capacity * 2;
    void *bigger = realloc(*array, wanted * size);
    if (bigger == NULL)
        return false;
    *array = bigger;
    *capacity = wanted;
    return true;
}

static void stanza_deinit(struct stanza *stanza)
{
    free(stanza->name);
    free(stanza->depends);
    free(stanza->pre_depends);
    free(stanza->provides);
    *stanza = (struct stanza){0};
}

/* ---- stanzas --------------------------------------------------------------------------------- */

/* The field of the stanza that a line begins, or NULL if this program does not read it. */
static char **field_of(struct stanza *stanza, const char *line, const char **ret_value)
{
    static const struct {
        const char *label;
        size_t offset;
    } fields[] = {
        {"Package:", offsetof(struct stanza, name)},
        {"Depends:", offsetof(struct stanza, depends)},
        {"Pre-Depends:", offsetof(struct stanza, pre_depends)},
        {"Provides:", offsetof(struct stanza, provides)},
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        size_t length = strlen(fields[i].label);
        if (strncmp(line, fields[i].label, length) != 0)
            continue;
        *ret_value = line + length + strspn(line + length, " \t");
        return (char **)((char *)stanza + fields[i].offset);
    }
    return NULL;
}

static bool append(char **text, const char *more)
{
    size_t old = *text != NULL ? strlen(*text) : 0, size = strlen(more);
    char *bigger = realloc(*text, old + size + 1);
    if (bigger == NULL)
        return false;
    memcpy(bigger + old, more, size + 1);
    *text = bigger;
    return true;
}

/* Takes what `stanza` owns. */
static bool keep(struct reader *reader, struct stanza *stanza)
{
    if (stanza->name == NULL || stanza->name[0] == '\0') {
        stanza_deinit(stanza);
        return true;
    }
    if (!grow((void **)&reader->stanzas, &reader->capacity, reader->count, sizeof(struct stanza)))
        return false;
    stanza->order = reader->count;
    reader->stanzas[reader->count++] = *stanza;
    *stanza = (struct stanza){0};
    return true;
}

static bool read_stanzas(struct reader *reader, FILE *file)
{
    struct stanza stanza = {0};
    char *line = NULL, **field = NULL;
    size_t size = 0;
    bool good = true;
    while (good) {
        ssize_t length = getline(&line, &size, file);
        if (length < 0)
            break;
        while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
            line[--length] = '\0';
        const char *value = line;
        if (length == 0) {
            good = keep(reader, &stanza);
            field = NULL;
        } else if (line[0] != ' ' && line[0] != '\t') {
            field = field_of(&stanza, line, &value);
            if (field != NULL && *field != NULL)
                field = NULL; /* a field twice: the first counts */
        }
        if (good && field != NULL)
            good = append(field, value);
    }
    good = good && !ferror(file) && keep(reader, &stanza);
    stanza_deinit(&stanza);
    free(line);
    return good;
}

static int compare_stanzas(const void *left, const void *right)
{
    const struct stanza *a = left, *b = right;
    int order = strcmp(a->name, b->name);
    if (order != 0)
        return order;
    return a->order < b->order ? -1 : a->order > b->order;
}

static void sort_stanzas(struct reader *reader)
{
    if (reader->count == 0)
        return;
    qsort(reader->stanzas, reader->count, sizeof(struct stanza), compare_stanzas);
    size_t kept = 1;
    for (size_t i = 1; i < reader->count; i++) {
        if (strcmp(reader->stanzas[i].name, reader->stanzas[kept - 1].name) == 0) {
            stanza_deinit(&reader->stanzas[i]);
        } else {
            reader->stanzas[kept++] = reader->stanzas[i];
        }
    }
    reader->count = kept;
}

/* ---- names in clauses ------------------------------------------------------------------------ */

/* Cuts the next clause off `*text`, ends its first alternative's bare name with NUL and returns it;
 * NULL: no more. The text is destroyed on the way. */
static char *next_name(char **text)
{
    for (;;) {
        if (*text == NULL || **text == '\0')
            return NULL;
        char *name = *text + strspn(*text, " \t");
        char *end = strchr(name, ',');
        *text = end != NULL ? end + 1 : NULL;
        if (end != NULL)
            *end = '\0';
        name[strcspn(name, " \t(|:[<")] = '\0';
        if (*name != '\0')
            return name;
    }
}

static int compare_providers(const void *left, const void *right)
{
    const struct provider *a = left, *b = right;
    int order = strcmp(a->name, b->name);
    if (order != 0)
        return order;
    return a->package < b->package ? -1 : a->package > b->package;
}

static bool read_providers(struct reader *reader)
{
    for (size_t i = 0; i < reader->count; i++) {
        char *rest = reader->stanzas[i].provides, *name;
        while ((name = next_name(&rest)) != NULL) {
            if (!grow((void **)&reader->providers, &reader->provider_capacity,
                    reader->provider_count, sizeof(struct provider)))
                return false;
            reader->providers[reader->provider_count++] = (struct provider){name, (uint32_t)i};
        }
    }
    if (reader->provider_count > 0)
        qsort(
            reader->providers, reader->provider_count, sizeof(struct provider), compare_providers);
    return true;
}

static int compare_name_with_package(const void *name, const void *package)
{
    return strcmp(name, *(char *const *)package);
}

/* The first provider by name: the list is sorted by both. */
static bool find_provider(const struct reader *reader, const char *name, uint32_t *ret_package)
{
    size_t low = 0, high = reader->provider_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(reader->providers[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == reader->provider_count || strcmp(reader->providers[low].name, name) != 0)
        return false;
    *ret_package = reader->providers[low].package;
    return true;
}

/* ---- the graph ------------------------------------------------------------------------------- */

/* Counts it, and keeps the name if it is one of the first that differ. */
static void note_unresolved(struct package_index *index, const char *name)
{
    index->unresolved++;
    for (size_t i = 0; i < sizeof(index->unresolved_names) / sizeof(index->unresolved_names[0]);
         i++) {
        char *kept = index->unresolved_names[i];
        if (kept[0] == 0) {
            snprintf(kept, sizeof(index->unresolved_names[0]), "%s", name);
            return;
        }
        if (strncmp(kept, name, sizeof(index->unresolved_names[0]) - 1) == 0)
            return;
    }
}

static bool resolve(struct package_index *index, const struct reader *reader, const char *name,
    uint32_t *ret_package)
{
    char **found =
        bsearch(name, index->names, index->count, sizeof(char *), compare_name_with_package);
    if (found != NULL) {
        *ret_package = (uint32_t)(found - index->names);
        return true;
    }
    if (find_provider(reader, name, ret_package)) {
        index->virtual_ones++;
        return true;
    }
    note_unresolved(index, name);
    return false;
}

static bool add_clauses(
    struct package_index *index, struct reader *reader, uint32_t package, char *text)
{
    char *name;
    while ((name = next_name(&text)) != NULL) {
        uint32_t target;
        index->dependencies++;
        if (!resolve(index, reader, name, &target))
            continue;
        bool known = target == package;
        for (uint32_t i = index->begin[package]; !known && i < index->edges; i++)
            known = index->targets[i] == target;
        if (known) {
            index->repeated++;
            continue;
        }
        size_t capacity = reader->edge_capacity;
        if (!grow((void **)&index->targets, &capacity, index->edges, sizeof(uint32_t)))
            return false;
        reader->edge_capacity = (uint32_t)capacity;
        index->targets[index->edges++] = target;
        index->dependents[target]++;
    }
    return true;
}

static bool allocate_graph(struct package_index *index, uint32_t count)
{
    index->names = calloc(count, sizeof(*index->names));
    index->begin = calloc((size_t)count + 1, sizeof(*index->begin));
    index->dependents = calloc(count, sizeof(*index->dependents));
    if (index->names == NULL || index->begin == NULL || index->dependents == NULL)
        return false;
    index->count = count;
    return true;
}

static bool make_graph(struct package_index *index, struct reader *reader)
{
    if (!allocate_graph(index, (uint32_t)reader->count))
        return false;
    for (uint32_t i = 0; i < index->count; i++) {
        index->names[i] = reader->stanzas[i].name;
        reader->stanzas[i].name = NULL;
    }
    for (uint32_t i = 0; i < index->count; i++) {
        index->begin[i] = index->edges;
        if (!add_clauses(index, reader, i, reader->stanzas[i].pre_depends) ||
            !add_clauses(index, reader, i, reader->stanzas[i].depends))
            return false;
    }
    index->begin[index->count] = index->edges;
    return true;
}

/* ---- where it comes from --------------------------------------------------------------------- */

static bool read_source(struct reader *reader, const char *file, struct package_index *index)
{
    bool good = false;
    if (file == NULL) {
        FILE *pipe = popen("apt-cache dumpavail 2>/dev/null", "r");
        if (pipe != NULL) {
            good = read_stanzas(reader, pipe);
            pclose(pipe);
        }
        if (!good || reader->count > 0) {
            snprintf(index->source, sizeof(index->source), "apt-cache dumpavail");
            return good;
        }
        file = DPKG_STATUS;
    }
    snprintf(index->source, sizeof(index->source), "%s", file);
    FILE *stream = fopen(file, "re");
    if (stream == NULL)
        return false;
    good = read_stanzas(reader, stream);
    fclose(stream);
    return good;
}

bool index_read(struct package_index *index, const char *file, char *error, size_t error_size)
{
    struct reader reader = {0};
    *index = (struct package_index){0};
    bool good = read_source(&reader, file, index);
    if (!good) {
        snprintf(error, error_size, "%s cannot be read; name a package index by --index FILE",
            index->source);
    } else if (reader.count == 0) {
        snprintf(error, error_size, "%s has no packages; name a package index by --index FILE",
            index->source);
        good = false;
    } else {
        sort_stanzas(&reader);
        good = read_providers(&reader) && make_graph(index, &reader);
        if (!good)
            snprintf(error, error_size, "out of memory");
    }
    for (size_t i = 0; i < reader.count; i++)
        stanza_deinit(&reader.stanzas[i]);
    free(reader.stanzas);
    free(reader.providers);
    if (!good)
        index_deinit(index);
    return good;
}

void index_deinit(struct package_index *index)
{
    for (uint32_t i = 0; index->names != NULL && i < index->count; i++)
        free(index->names[i]);
    free(index->names);
    free(index->begin);
    free(index->targets);
    free(index->dependents);
    *index = (struct package_index){0};
}

/* ---- a part of it ---------------------------------------------------------------------------- */

/* Marks everything that `package` depends on, itself included; returns how many were new. */
static uint32_t mark_closure(
    const struct package_index *index, uint32_t package, bool *marked, uint32_t *stack)
{
    uint32_t height = 0, found = 0;
    if (!marked[package])
        stack[height++] = package;
    marked[package] = true;
    while (height > 0) {
        uint32_t one = stack[--height];
        found++;
        for (uint32_t i = index->begin[one]; i < index->begin[one + 1]; i++) {
            if (marked[index->targets[i]])
                continue;
            marked[index->targets[i]] = true;
            stack[height++] = index->targets[i];
        }
    }
    return found;
}

static bool copy_marked(const struct package_index *whole, const bool *marked, uint32_t *number_of,
    struct package_index *part)
{
    for (uint32_t i = 0, next = 0; i < whole->count; i++) {
        if (!marked[i])
            continue;
        number_of[i] = next;
        part->names[next] = strdup(whole->names[i]);
        if (part->names[next++] == NULL)
            return false;
    }
    for (uint32_t i = 0; i < whole->count; i++) {
        if (!marked[i])
            continue;
        part->begin[number_of[i]] = part->edges;
        for (uint32_t j = whole->begin[i]; j < whole->begin[i + 1]; j++) {
            uint32_t target = number_of[whole->targets[j]];
            part->targets[part->edges++] = target;
            part->dependents[target]++;
        }
    }
    part->begin[part->count] = part->edges;
    return true;
}

bool index_part(const struct package_index *whole, uint32_t wanted, struct package_index *ret_part)
{
    struct package_index part = {0};
    bool *marked = calloc(whole->count, sizeof(*marked));
    uint32_t *work = calloc(whole->count, sizeof(*work)), count = 0;
    bool good = marked != NULL && work != NULL;
    /* Steps of a prime spread the choice over the alphabet. */
    for (uint64_t i = 0; good && i < whole->count && count < wanted; i++)
        count += mark_closure(whole, (uint32_t)(i * 7919 % whole->count), marked, work);
    if (good) {
        part.targets = calloc((size_t)whole->edges + 1, sizeof(*part.targets));
        good = part.targets != NULL && allocate_graph(&part, count) &&
               copy_marked(whole, marked, work, &part);
    }
    free(marked);
    free(work);
    if (!good) {
        index_deinit(&part);
        return false;
    }
    snprintf(part.source, sizeof(part.source), "part of %.240s", whole->source);
    part.dependencies = part.edges;
    *ret_part = part;
    return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Holds docs/openapi.yaml against the server's table of routes: each route is in the file with just
 * its methods, the file has no other, each answer in it has something to try, and that leads to the
 * route that it stands below. served_test.sh asks a node for all of them; it gets the list from
 *   openapi_test list          METHOD STATUS NODE PATH CURL-ARGUMENT..., one a line
 *
 * Invariants: none of its own. Threads: one.
 */
#include "gateway/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <yaml.h>

static const struct {
    const char *path;
    tp_route_kind kind;
    unsigned verbs;
} routes[] = {
#define ROUTE(name, path, verbs, token) {path, TP_ROUTE_##name, verbs},
    TP_ROUTE_MAP(ROUTE)
#undef ROUTE
};

enum { ROUTES = sizeof routes / sizeof routes[0] };

static yaml_document_t document;

static void load(void)
{
    char path[4096];
    yaml_parser_t parser;
    const char *source = getenv("TROUPE_SOURCE");
    snprintf(path, sizeof path, "%s/docs/openapi.yaml", source != NULL ? source : ".");
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_true(yaml_parser_initialize(&parser));
    yaml_parser_set_input_file(&parser, file);
    if (!yaml_parser_load(&parser, &document))
        fail_msg("%s:%zu: %s", path, parser.problem_mark.line + 1, parser.problem);
    yaml_parser_delete(&parser);
    fclose(file);
}

static const char *text_of(const yaml_node_t *node)
{
    return node != NULL && node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value
                                                          : "";
}

static yaml_node_t *member(const yaml_node_t *map, const char *name)
{
    if (map == NULL || map->type != YAML_MAPPING_NODE)
        return NULL;
    for (yaml_node_pair_t *pair = map->data.mapping.pairs.start; pair < map->data.mapping.pairs.top;
         pair++)
        if (strcmp(text_of(yaml_document_get_node(&document, pair->key)), name) == 0)
            return yaml_document_get_node(&document, pair->value);
    return NULL;
}

static yaml_node_t *paths(void)
{
    yaml_node_t *found = member(yaml_document_get_root_node(&document), "paths");
    assert_non_null(found);
    return found;
}

typedef void visit(const char *key, yaml_node_t *value, void *user);

static void each(const yaml_node_t *map, visit *run, void *user)
{
    assert_non_null(map);
    assert_int_equal(map->type, YAML_MAPPING_NODE);
    for (yaml_node_pair_t *pair = map->data.mapping.pairs.start; pair < map->data.mapping.pairs.top;
         pair++)
        run(text_of(yaml_document_get_node(&document, pair->key)),
            yaml_document_get_node(&document, pair->value), user);
}

static int route_of(const char *path)
{
    for (int i = 0; i < ROUTES; i++)
        if (strcmp(routes[i].path, path) == 0)
            return i;
    return -1;
}

/* "get" is GET. */
static unsigned verb_of(const char *key)
{
    char name[16] = "";
    for (size_t i = 0; key[i] != 0 && i + 1 < sizeof name; i++)
        name[i] = (char)(key[i] - (key[i] >= 'a' && key[i] <= 'z' ? 32 : 0));
    return tp_verb_of(name);
}

/* ---- the table and the file ------------------------------------------------------------------ */

static void add_verb(const char *key, yaml_node_t *value, void *user)
{
    (void)value;
    *(unsigned *)user |= verb_of(key);
}

static void each_route_is_in_the_file_with_its_methods(void **state)
{
    (void)state;
    for (int i = 0; i < ROUTES; i++) {
        const yaml_node_t *item = member(paths(), routes[i].path);
        unsigned verbs = 0;
        if (item == NULL)
            fail_msg("docs/openapi.yaml has no %s", routes[i].path);
        each(item, add_verb, &verbs);
        /* Whoever answers GET without a body answers HEAD as well. */
        if (verbs != (routes[i].verbs & ~(unsigned)TP_VERB_HEAD))
            fail_msg("%s has other methods in docs/openapi.yaml than the server: %x and %x",
                routes[i].path, verbs, routes[i].verbs);
    }
}

static void check_path(const char *path, yaml_node_t *item, void *user)
{
    (void)item;
    (void)user;
    if (route_of(path) < 0)
        fail_msg("the server has no %s, which is in docs/openapi.yaml", path);
}

static void the_file_has_no_other_paths(void **state)
{
    (void)state;
    each(paths(), check_path, NULL);
    assert_int_equal(
        strncmp(text_of(member(yaml_document_get_root_node(&document), "openapi")), "3.1.", 4), 0);
}

/* ---- what is to be tried -----------------------------------------------------------------------
 */

typedef struct place {
    const char *path, *method, *status;
    void (*take)(const struct place *place, const char *what);
} place;

static void see_answer(const char *status, yaml_node_t *answer, void *user)
{
    place *at = user;
    const yaml_node_t *tries = member(answer, "x-try");
    at->status = status;
    if (text_of(member(answer, "description"))[0] == 0)
        fail_msg("%s %s %s has no description", at->method, at->path, status);
    if (tries == NULL || tries->type != YAML_SEQUENCE_NODE ||
        tries->data.sequence.items.start == tries->data.sequence.items.top)
        fail_msg("%s %s %s has no x-try", at->method, at->path, status);
    for (yaml_node_item_t *item = tries->data.sequence.items.start;
         item < tries->data.sequence.items.top; item++)
        at->take(at, text_of(yaml_document_get_node(&document, *item)));
}

static void see_method(const char *method, yaml_node_t *operation, void *user)
{
    place *at = user;
    if (verb_of(method) == 0)
        return;
    at->method = method;
    each(member(operation, "responses"), see_answer, at);
}

static void see_path(const char *path, yaml_node_t *item, void *user)
{
    place *at = user;
    at->path = path;
    each(item, see_method, at);
}

static void check_try(const place *at, const char *what)
{
    const char *path = what + strcspn(what, " ");
    path += *path == ' ';
    tp_route route = {.name = ""};
    const char *reason = "";
    troupe_slice asked = troupe_slice_of(path, strcspn(path, " ?"));
    troupe_status status = tp_route_parse(asked, &route, &reason);
    int row = route_of(at->path);
    bool is_refused = status == TROUPE_USAGE && strcmp(at->status, "400") == 0;
    if (row < 0 || !(is_refused || (status == TROUPE_OK && route.kind == routes[row].kind)))
        fail_msg("x-try of %s %s %s: %s leads elsewhere: %s", at->method, at->path, at->status,
            what, reason != NULL ? reason : "");
}

static void what_is_tried_leads_to_the_route_that_it_stands_below(void **state)
{
    (void)state;
    place at = {.take = check_try};
    each(paths(), see_path, &at);
}

static void print_try(const place *at, const char *what)
{
    char method[16];
    size_t size = strlen(at->method);
    for (size_t i = 0; i <= size && i < sizeof method; i++)
        method[i] = (char)(at->method[i] - (at->method[i] != 0 ? 32 : 0));
    printf("%s %s %s\n", method, at->status, what);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_route_is_in_the_file_with_its_methods),
        cmocka_unit_test(the_file_has_no_other_paths),
        cmocka_unit_test(what_is_tried_leads_to_the_route_that_it_stands_below),
    };
    load();
    place at = {.take = print_try};
    if (argc > 1 && strcmp(argv[1], "list") == 0)
        each(paths(), see_path, &at);
    int failed = argc > 1 ? 0 : cmocka_run_group_tests(tests, NULL, NULL);
    yaml_document_delete(&document);
    return failed;
}

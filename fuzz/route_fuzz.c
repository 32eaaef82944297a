/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds the gateway's reading of paths and header fields with anything. The first byte chooses
 * which; what parses as a call is an id that the node takes, without what no escape may bring in.
 * libFuzzer calls it.
 * Invariants: none of its own. Threads: one.
 */
#include "base/text.h"
#include "gateway/route.h"

#include <stdlib.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void require_name(troupe_slice name)
{
    const unsigned char *p = name.data;
    require(name.size != 0 && tp_text_is_utf8(name));
    require(!troupe_slice_equal(name, troupe_str(".")));
    require(!troupe_slice_equal(name, troupe_str("..")));
    for (size_t i = 0; i < name.size; i++) {
        require(p[i] >= 0x20 && p[i] != 0x7F && memchr("/\\#?", p[i], 4) == NULL);
    }
}

static void try_path(troupe_slice path)
{
    static tp_route route;
    const char *reason = NULL;
    troupe_id again;
    char text[TP_ID_MAX + 1];
    troupe_status status = tp_route_parse(path, &route, &reason);
    if (status != TROUPE_OK) {
        require((status == TROUPE_USAGE || status == TROUPE_NOT_FOUND) && reason != NULL);
        return;
    }
    if (route.id.key.size == 0)
        return;
    require(!route.is_open);
    require_name(route.id.key);
    if (route.name[0] != 0)
        require_name(troupe_str(route.name));
    bool has_name = route.kind != TP_ROUTE_SAVE && route.kind != TP_ROUTE_LOOKUP &&
                    route.kind != TP_ROUTE_UPDATES;
    require(has_name == (route.name[0] != 0));
    require(strlen(route.name) <= TP_NAME_MAX);
    size_t size = troupe_id_print(route.id, text, sizeof text);
    require(size < sizeof text);
    require(troupe_id_parse(troupe_slice_of(text, size), &again, NULL) == TROUPE_OK);
    require(troupe_id_equal(again, route.id));
}

static void try_token(const char *field)
{
    bool is_bearer = strncasecmp(field, "bearer ", 7) == 0;
    const char *rest = is_bearer ? field + 7 + strspn(field + 7, " ") : "";
    require(tp_route_token_is(field, false, "token") == (strcmp(field, "token") == 0));
    require(tp_route_token_is(field, true, "token") == (strcmp(rest, "token") == 0));
    require(!tp_route_token_is(field, false, "") && !tp_route_token_is(field, true, ""));
}

/* What is local begins as a name or address of this machine, and has nothing but a port behind. */
static void try_host(const char *field)
{
    if (!tp_route_host_is_local(field))
        return;
    size_t size = 0;
    if (strncmp(field, "[::1]", 5) == 0)
        size = 5;
    else if (strncasecmp(field, "localhost", 9) == 0)
        size = 9;
    else if (strncmp(field, "127.", 4) == 0)
        size = strspn(field, "0123456789.");
    require(size != 0 && (field[size] == 0 || field[size] == ':'));
}

static void try_tag(const char *field)
{
    bool is_known = tp_route_tag_is_known(field, "\"17\"");
    require(!is_known || strchr(field, '*') != NULL || strstr(field, "\"17\"") != NULL);
}

static void try_value(const char *field)
{
    char out[64];
    if (!tp_route_value(field, out, sizeof out))
        return;
    require(strlen(out) < sizeof out && tp_text_is_utf8(troupe_str(out)));
    for (const char *at = out; *at != 0; at++)
        require((unsigned char)*at >= 0x20 && *at != 0x7F);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char field[4096];
    if (size == 0)
        return 0;
    uint8_t which = data[0] % 5;
    data++;
    size--;
    if (which == 0) {
        try_path(troupe_slice_of(data, size));
        return 0;
    }
    if (size >= sizeof field)
        return 0;
    memcpy(field, data, size);
    field[size] = 0;
    if (which == 1)
        try_token(field);
    else if (which == 2)
        try_host(field);
    else if (which == 3)
        try_tag(field);
    else
        try_value(field);
    return 0;
}

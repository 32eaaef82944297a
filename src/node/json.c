/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON helpers of <troupe.h>: one member of a payload at a time, by jansson. For methods that
 * look at a few members; who reads many parses once with a library of his choice.
 */
#include "schema/schema.h"

#include <jansson.h>

/* The member, or NULL with the status. The caller releases `*ret_root`. */
static troupe_status find(
    troupe_slice json, const char *name, json_t **ret_root, json_t **ret_member)
{
    if (json.data == NULL || !tp_json_is_shallow(json, TP_JSON_DEPTH))
        return TROUPE_USAGE;
    json_t *root = json_loadb(json.data, json.size, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(root)) {
        json_decref(root);
        return TROUPE_USAGE;
    }
    json_t *member = json_object_get(root, name);
    if (member == NULL) {
        json_decref(root);
        return TROUPE_NOT_FOUND;
    }
    *ret_root = root;
    *ret_member = member;
    return TROUPE_OK;
}

troupe_status troupe_json_integer(troupe_slice json, const char *name, int64_t *ret_value)
{
    json_t *root, *member;
    TROUPE_TRY(find(json, name, &root, &member));
    troupe_status status = json_is_integer(member) ? TROUPE_OK : TROUPE_USAGE;
    if (status == TROUPE_OK)
        *ret_value = (int64_t)json_integer_value(member);
    json_decref(root);
    return status;
}

troupe_status troupe_json_number(troupe_slice json, const char *name, double *ret_value)
{
    json_t *root, *member;
    TROUPE_TRY(find(json, name, &root, &member));
    troupe_status status = json_is_number(member) ? TROUPE_OK : TROUPE_USAGE;
    if (status == TROUPE_OK)
        *ret_value = json_number_value(member);
    json_decref(root);
    return status;
}

troupe_status troupe_json_boolean(troupe_slice json, const char *name, bool *ret_value)
{
    json_t *root, *member;
    TROUPE_TRY(find(json, name, &root, &member));
    troupe_status status = json_is_boolean(member) ? TROUPE_OK : TROUPE_USAGE;
    if (status == TROUPE_OK)
        *ret_value = json_is_true(member);
    json_decref(root);
    return status;
}

troupe_status troupe_json_string(
    troupe_turn *turn, troupe_slice json, const char *name, troupe_slice *ret_value)
{
    json_t *root, *member;
    TROUPE_TRY(find(json, name, &root, &member));
    if (!json_is_string(member)) {
        json_decref(root);
        return TROUPE_USAGE;
    }
    size_t size = json_string_length(member);
    if (size > 1u << 20) { /* an arena's worth: a panic here would leak the parsed object */
        json_decref(root);
        return TROUPE_TOO_LARGE;
    }
    char held[512];
    char *copy = held;
    if (size < sizeof held) {
        memcpy(held, json_string_value(member), size + 1);
        json_decref(root);
        copy = troupe_turn_alloc(turn, size + 1);
        memcpy(copy, held, size + 1);
    } else {
        troupe_status status = troupe_defer(turn, (void (*)(void *))json_delete, root);
        if (status != TROUPE_OK) { /* else it lasts as long as the turn */
            json_decref(root);
            return status;
        }
        copy = (char *)(uintptr_t)json_string_value(member);
    }
    *ret_value = (troupe_slice){copy, size};
    return TROUPE_OK;
}

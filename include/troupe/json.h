/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading one member of a JSON payload. <troupe.h> includes it. Structs that are described by a
 * table are read whole: <troupe/schema.h>.
 */
#ifndef TROUPE_JSON_H
#define TROUPE_JSON_H

#include "troupe.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One member of a JSON object. NOT_FOUND: no such member. USAGE: not a JSON object, one that is
 * nested more than 66 deep, or the member has another type. Strings are copied into the turn's
 * arena and end with NUL. */
TROUPE_API TROUPE_CHECK troupe_status troupe_json_integer(
    troupe_slice json, const char *name, int64_t *ret_value);
TROUPE_API TROUPE_CHECK troupe_status troupe_json_number(
    troupe_slice json, const char *name, double *ret_value);
TROUPE_API TROUPE_CHECK troupe_status troupe_json_boolean(
    troupe_slice json, const char *name, bool *ret_value);
TROUPE_API TROUPE_CHECK troupe_status troupe_json_string(
    troupe_turn *turn, troupe_slice json, const char *name, troupe_slice *ret_value);

#ifdef __cplusplus
}
#endif

#endif

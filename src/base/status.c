/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names, texts, kinds and outcomes of statuses, all from TROUPE_STATUS_MAP. Anybody calls it.
 *
 * Invariants: every status of the map has an entry here, by construction.
 * Threads: pure.
 */
#include <troupe/status.h>

typedef struct status_entry {
    troupe_status code;
    troupe_kind kind;
    troupe_outcome outcome;
    const char *name;
    const char *text;
} status_entry;

static const status_entry entries[] = {
#define ENTRY(name, code, kind, outcome, text)                                                     \
    [code] = {(code), TROUPE_KIND_##kind, TROUPE_##outcome, #name, (text)},
    TROUPE_STATUS_MAP(ENTRY)
#undef ENTRY
};

static const status_entry application = {
    TROUPE_APPLICATION, TROUPE_KIND_FAILED, TROUPE_UNKNOWN_OUTCOME, "APPLICATION",
    "the application's own code: see its documents"};

static const status_entry nobodys = {
    -1, TROUPE_KIND_BUG, TROUPE_UNKNOWN_OUTCOME, "?",
    "not a status: it was made up or misread; mend the program"};

static const char *const kind_names[] = {
    [TROUPE_KIND_OK] = "OK",
    [TROUPE_KIND_BUSY] = "BUSY",
    [TROUPE_KIND_TIMEOUT] = "TIMEOUT",
    [TROUPE_KIND_CANCELLED] = "CANCELLED",
    [TROUPE_KIND_UNAVAILABLE] = "UNAVAILABLE",
    [TROUPE_KIND_UNKNOWN] = "UNKNOWN",
    [TROUPE_KIND_EXPIRED] = "EXPIRED",
    [TROUPE_KIND_DEADLOCK] = "DEADLOCK",
    [TROUPE_KIND_TOO_LARGE] = "TOO_LARGE",
    [TROUPE_KIND_ABSENT] = "ABSENT",
    [TROUPE_KIND_CONFLICT] = "CONFLICT",
    [TROUPE_KIND_DENIED] = "DENIED",
    [TROUPE_KIND_USAGE] = "USAGE",
    [TROUPE_KIND_CLOSED] = "CLOSED",
    [TROUPE_KIND_CORRUPT] = "CORRUPT",
    [TROUPE_KIND_BUG] = "BUG",
    [TROUPE_KIND_FAILED] = "FAILED",
};

_Static_assert(sizeof(kind_names) / sizeof(kind_names[0]) == TROUPE_KIND_COUNT,
               "every kind has a name");

static const status_entry *find_entry(troupe_status status)
{
    if (status >= TROUPE_APPLICATION) {
        return &application;
    }
    if (status < 0 || (size_t)status >= sizeof(entries) / sizeof(entries[0]) ||
        entries[status].name == NULL) {
        return &nobodys;
    }
    return &entries[status];
}

const char *troupe_status_name(troupe_status status)
{
    return find_entry(status)->name;
}

const char *troupe_status_text(troupe_status status)
{
    return find_entry(status)->text;
}

troupe_kind troupe_status_kind(troupe_status status)
{
    return find_entry(status)->kind;
}

troupe_outcome troupe_status_outcome(troupe_status status)
{
    return find_entry(status)->outcome;
}

const char *troupe_kind_name(troupe_kind kind)
{
    return (unsigned)kind < TROUPE_KIND_COUNT ? kind_names[kind] : "?";
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The membership port: what a provider of a cluster's *view* and *lease registers* implements, over
 * any store that can compare and set. `file:` is in the library; others are modules that are found
 * by the scheme of their URL (`etcd://…` loads libtroupe_etcd.so) and say TROUPE_MEMBERSHIP once,
 * besides TROUPE_PROVIDER if they store state too. Consensus is the store's; a provider adds none,
 * uses no clock of the store's, and no leases of the store's.
 *
 * Words. *View*: one document, text up to TROUPE_VIEW_MAX bytes, with a number that only grows by
 * one. *Register*: for each incarnation of a node a count that its holder raises by one, or the
 * word *revoked*. A register that was never raised has count 0, whether the store holds it or not.
 *
 * A provider is six blocking functions. Each ends within `timeout` ns, give or take a scheduler's
 * whim: the callers count their leases by it. A handle is used by one thread at a time; Troupe
 * opens one for the lease, one for the views and one to watch, on the same URL, so a provider needs
 * no lock and one connection.
 *
 * Invariants (PROTOCOLS: leases and views)
 * 1. Views are changed from v to v+1 only, each number once; a reader sees the newest that was told
 *    OK to anyone (linearizable, no replica that lags).
 * 2. A raise is done only if the register holds exactly `count`, a revocation too; a revoked
 *    register is never raised again, nor revoked a second time.
 * 3. OK and CONFLICT are said only of what the store has answered. UNAVAILABLE: it was not done,
 * and will not be. UNKNOWN: it may have been done, or may land yet. A provider never repeats a
 * change by itself, for the second answer would not be that of the first.
 * 4. What was told OK survives a crash of the store; a provider that cannot promise that with the
 *    settings it finds refuses to open unless the URL says so (`?accept=not-P5`).
 */
#ifndef TROUPE_MEMBERSHIP_H
#define TROUPE_MEMBERSHIP_H

#include "troupe.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TROUPE_VIEW_MAX ((size_t)1 << 20) /* bytes of a view's text */

/* One lease register, as read. */
typedef struct troupe_register {
    uint64_t incarnation;
    uint64_t count;
    bool revoked;
    /* The provider knows for sure that the process which held it has ended, so that nobody need
     * wait for its lease. False where it cannot know. */
    bool ended;
} troupe_register;

/* [in read_registers, in read_view] Called for what was found; what it is shown is the provider's.
 */
typedef void troupe_on_register(void *user, const troupe_register *found);
typedef void troupe_on_view(void *user, uint64_t number, troupe_slice text);

/* An open handle: the first member of the provider's own struct. */
typedef struct troupe_membership troupe_membership;
struct troupe_membership {
    size_t size;          /* sizeof(troupe_membership) it was compiled with */
    const char *promises; /* one line for the log: what it gives with the settings found */
    bool immediate;  /* nothing of it ever waits, `watch` neither: pause before you ask again */
    char error[256]; /* of the last call that was not OK, CONFLICT or TIMEOUT: what is wrong */

    /* Calls `on_view` once with the newest view, or not at all if there never was one.
     * UNAVAILABLE, NO_MEMORY, CORRUPT: the store holds what is no view of this provider's. */
    troupe_status (*read_view)(
        troupe_membership *self, uint64_t timeout, troupe_on_view *on_view, void *user);

    /* Stores `text` as view `number` if view `number` - 1 is the newest (1: if there is none).
     * `kept`: the incarnations whose registers are needed from now on; the provider may drop all
     * others, now or later, for good. CONFLICT: another view is the newest. TOO_LARGE, UNAVAILABLE,
     * NO_MEMORY: not done. UNKNOWN. */
    troupe_status (*cas_view)(troupe_membership *self, uint64_t timeout, uint64_t number,
        troupe_slice text, const uint64_t *kept, size_t kept_count);

    /* Sets the register from `count` to `count` + 1. With count 0 it is made. CONFLICT: it holds
     * another count, or is revoked, or is not there (count > 0). UNAVAILABLE, NO_MEMORY, UNKNOWN.
     * The handle that raised an incarnation first is its holder's: closing it says that this
     * process has no effects any more (`ended`). */
    troupe_status (*raise)(
        troupe_membership *self, uint64_t timeout, uint64_t incarnation, uint64_t count);

    /* Sets the register from `count` to revoked; with count 0 it is made so. CONFLICT: it holds
     * another count, or was revoked before, or is not there (count > 0). UNAVAILABLE, NO_MEMORY,
     * UNKNOWN. */
    troupe_status (*revoke)(
        troupe_membership *self, uint64_t timeout, uint64_t incarnation, uint64_t count);

    /* Calls `on_register` for each register, in any order, as they were at one moment of the call
     * or each at some moment of it. `ret_run`: names the store's run, for stores that may forget
     * the last changes when they start anew: another number than before means that for one ttl
     * nobody may be revoked. 0: this store does not forget. UNAVAILABLE, NO_MEMORY, CORRUPT. */
    troupe_status (*read_registers)(troupe_membership *self, uint64_t timeout,
        troupe_on_register *on_register, void *user, uint64_t *ret_run);

    /* Returns OK once the newest view has another number than `number` (0: none was seen), TIMEOUT
     * if that did not happen. May return OK too early, never too late by more than a second. A
     * provider that tells of holders that have `ended` returns OK for that, too, if it hears of it.
     * UNAVAILABLE: it cannot be watched now. */
    troupe_status (*watch)(troupe_membership *self, uint64_t timeout, uint64_t number);

    /* [any thread] A call under way should end soon, with UNAVAILABLE or UNKNOWN, and later ones at
     * once. May be NULL. */
    void (*hurry)(troupe_membership *self);
    void (*close)(troupe_membership *self);
};

/* What Troupe lends a provider. */
typedef struct troupe_membership_host {
    size_t size;
    const troupe_allocator *allocator;
    void *context;
    uint64_t (*now)(void *context); /* monotonic, ns */
    /* One line into the node's log; level as in <troupe/log.h>. May be NULL. */
    void (*log)(void *context, int level, const char *event, const char *text);
} troupe_membership_host;

typedef struct troupe_membership_provider {
    size_t size;
    uint32_t api_number; /* TROUPE_API_NUMBER it was compiled with */
    const char *scheme;  /* "etcd" */
    /* Connects, or makes sure that it can; creates what is missing. `cluster`: the cluster's name,
     * of letters, digits, `-`, `_` and `.`; clusters of different names may share one store. On
     * failure `error` says what is wrong and what to do. USAGE: the URL, or a setting of the store
     * that would break a promise and is not accepted in the URL. UNAVAILABLE: nobody there.
     * NO_MEMORY. */
    troupe_status (*open)(const troupe_membership_host *host, const char *url, const char *cluster,
        troupe_membership **ret_membership, char *error, size_t error_size);
} troupe_membership_provider;

#define TROUPE_MEMBERSHIP_SYMBOL "troupe_membership_entry"

/* TROUPE_MEMBERSHIP("etcd", open_etcd) */
#define TROUPE_MEMBERSHIP(scheme_name, open_function)                           \
    TROUPE_API extern const troupe_membership_provider troupe_membership_entry; \
    const troupe_membership_provider troupe_membership_entry = {                \
        sizeof(troupe_membership_provider), TROUPE_API_NUMBER, (scheme_name), (open_function)}

#ifdef __cplusplus
}
#endif

#endif

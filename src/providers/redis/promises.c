/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a Redis server promises with the settings that it has, and what is wrong with it. Redis
 * keeps what it answered OK to through a crash of the machine only with appendonly yes, appendfsync
 * always and no-appendfsync-on-rewrite no; and an evicted key is a lost actor. Called by store.c at
 * each connection: a server may come back with other settings than it went with.
 *
 * Invariants: what cannot be read is not promised.
 * Threads: the store's.
 */
#include "providers/redis/redis.h"

#include <stdio.h>
#include <string.h>

/* The settings that P5 rests on, and why. */
static const struct {
    const char *name, *needed, *why;
} settings[] = {
    {"appendonly", "yes", "without it a restart forgets"},
    {"appendfsync", "always", "else a crash of the machine forgets what was answered last"},
    {"no-appendfsync-on-rewrite", "no", "else nothing is synced while the file is rewritten"},
    {"maxmemory-policy", "noeviction", "else actors vanish when memory is short"},
};

/* Value of `name:` in the text of INFO; false: it has none. */
static bool find_info(const redisReply *info, const char *name, char *out, size_t size)
{
    size_t length = strlen(name);
    for (const char *at = info->str; at != NULL; at = strchr(at, '\n')) {
        if (*at == '\n')
            at++;
        if (strncmp(at, name, length) != 0 || at[length] != ':')
            continue;
        at += length + 1;
        size_t end = strcspn(at, "\r\n");
        snprintf(out, size, "%.*s", (int)end, at);
        return true;
    }
    return false;
}

static bool info_is(const redisReply *info, const char *name, const char *value)
{
    char found[64];
    return find_info(info, name, found, sizeof found) && strcmp(found, value) == 0;
}

typedef enum setting { SETTING_GOOD, SETTING_BAD, SETTING_HIDDEN, SETTING_NO_ANSWER } setting;

static setting read_setting(tp_redis_link *link, size_t index, char *out, size_t size)
{
    redisReply *reply =
        tp_redis_link_ask(link, 3, (const char *const[]){"CONFIG", "GET", settings[index].name});
    if (reply == NULL)
        return SETTING_NO_ANSWER;
    setting found = SETTING_HIDDEN;
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
        reply->element[1]->type == REDIS_REPLY_STRING) {
        snprintf(out, size, "%s", reply->element[1]->str);
        found = strcmp(out, settings[index].needed) == 0 ? SETTING_GOOD : SETTING_BAD;
    } else if (reply->type == REDIS_REPLY_ERROR) {
        snprintf(out, size, "%s", reply->str);
    }
    tp_redis_link_release(link, reply);
    return found;
}

/* Is this a server that we can work with at all? */
static troupe_status judge_server(tp_redis_link *link, const redisReply *info, char *version)
{
    char *error = link->error;
    size_t size = sizeof link->error;
    version[0] = '\0';
    if (info->type == REDIS_REPLY_ERROR) {
        snprintf(error, size, "%s: give the user in the URL, who needs all commands on the prefix",
            info->str);
        return strncmp(info->str, "LOADING", 7) == 0 ? TROUPE_UNAVAILABLE : TROUPE_USAGE;
    }
    if (info->type != REDIS_REPLY_STRING || !find_info(info, "redis_version", version, 32)) {
        snprintf(error, size, "it does not say INFO as Redis does");
        return TROUPE_USAGE;
    }
    if (version[1] == '.' && version[0] < '5') {
        snprintf(error, size, "it is Redis %s: 5.0 or later is needed", version);
        return TROUPE_USAGE;
    }
    if (info_is(info, "redis_mode", "cluster")) {
        snprintf(error, size,
            "it is a Redis Cluster, which is not supported: a commit touches keys of several "
            "slots; use one server");
        return TROUPE_USAGE;
    }
    if (info_is(info, "role", "slave")) {
        snprintf(error, size, "it is a replica: name its master");
        return TROUPE_USAGE;
    }
    if (info_is(info, "loading", "1")) {
        snprintf(error, size, "it still loads its data");
        return TROUPE_UNAVAILABLE;
    }
    return TROUPE_OK;
}

static troupe_status judge_settings(
    tp_redis_link *link, const char *version, tp_redis_promises *ret_promises)
{
    char value[128], wrong[TP_REDIS_TEXT] = "";
    for (size_t i = 0; i < sizeof settings / sizeof settings[0] && wrong[0] == '\0'; i++) {
        setting found = read_setting(link, i, value, sizeof value);
        if (found == SETTING_NO_ANSWER)
            return TROUPE_UNAVAILABLE;
        if (found == SETTING_BAD)
            snprintf(wrong, sizeof wrong, "%s is %s, not %s (%s)", settings[i].name, value,
                settings[i].needed, settings[i].why);
        else if (found == SETTING_HIDDEN)
            snprintf(wrong, sizeof wrong, "the setting %s is not known, for CONFIG GET is refused",
                settings[i].name);
    }
    if (wrong[0] != '\0' && !link->url->accept_not_p5) {
        snprintf(link->error, sizeof link->error,
            "%s: set appendonly yes, appendfsync always, no-appendfsync-on-rewrite no and "
            "maxmemory-policy noeviction, and let the user read them; or accept in the URL that a "
            "crash may forget what was committed: ?accept=not-P5",
            wrong);
        return TROUPE_USAGE;
    }
    ret_promises->durable = wrong[0] == '\0';
    snprintf(ret_promises->text, sizeof ret_promises->text,
        "redis %s: atomic commits; %s%s; one server: a fail-over of Redis itself is not covered",
        version,
        ret_promises->durable ? "durable (P5): appendonly, appendfsync always, noeviction"
                              : "NOT durable (not P5, as accepted): ",
        wrong);
    return TROUPE_OK;
}

troupe_status tp_redis_promises_read(tp_redis_link *link, tp_redis_promises *ret_promises)
{
    char version[32];
    redisReply *info = tp_redis_link_ask(link, 1, (const char *const[]){"INFO"});
    if (info == NULL)
        return TROUPE_UNAVAILABLE;
    troupe_status status = judge_server(link, info, version);
    tp_redis_link_release(link, info);
    return status == TROUPE_OK ? judge_settings(link, version, ret_promises) : status;
}

troupe_status tp_redis_health_read(const redisReply *info, char *out, size_t size)
{
    char text[64];
    out[0] = '\0';
    if (info->type != REDIS_REPLY_STRING)
        snprintf(out, size, "INFO is not answered");
    else if (info_is(info, "loading", "1"))
        snprintf(out, size, "Redis still loads its data");
    else if (info_is(info, "role", "slave"))
        snprintf(out, size, "Redis has become a replica: it takes no commits");
    else if (find_info(info, "aof_last_write_status", text, sizeof text) && strcmp(text, "ok") != 0)
        snprintf(out, size, "Redis cannot write its append-only file: look at its disk");
    else if (find_info(info, "rdb_last_bgsave_status", text, sizeof text) &&
             strcmp(text, "ok") != 0)
        snprintf(out, size, "Redis cannot write its snapshot: look at its disk");
    return out[0] == '\0' ? TROUPE_OK : TROUPE_UNAVAILABLE;
}

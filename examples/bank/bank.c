/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transfers between a thousand accounts from several outside threads at once, and a count of the
 * money at the end: it fails when a cent was lost or made. Half of the transfers are among ten
 * accounts, so that they meet. The accounts are kept by the storage that the first argument names;
 * without one in a file that is gone afterwards.
 *
 *   example_bank [sqlite:FILE | redis://… | postgres://… | memory:]
 *
 * Invariants: 1. Every client counts each of its transfers once, as sent, refused or broken. 2.
 * What a storage held before is part of the sum before and after. Threads: main, and CLIENTS
 * threads with a client each; they share nothing but the node.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <troupe/inspect.h>
#include <unistd.h>

#include "bank.h"

enum { ACCOUNTS = 1000, BUSY_ACCOUNTS = 10, CLIENTS = 4, TRANSFERS = 1000, OPENING = 1000 };

struct customer {
    pthread_t thread;
    troupe_node *node;
    unsigned seed;
    uint32_t sent, refused, broken;
};

static troupe_status call(troupe_client *client, troupe_id id, const char *method, const char *json,
    troupe_answer *answer)
{
    troupe_call_options options = {
        TROUPE_CALL_OPTIONS, .content_type = TROUPE_JSON, .retry = {.attempts = 100}};
    return troupe_client_ask(client, id, method, troupe_str(json), &options, answer);
}

/* One transfer between two accounts of the first `among`. */
static void pay_once(struct customer *customer, troupe_client *client, unsigned among)
{
    char name[16], json[64];
    unsigned from = (unsigned)rand_r(&customer->seed) % among;
    unsigned to = (from + 1 + (unsigned)rand_r(&customer->seed) % (among - 1)) % among;
    unsigned cents = 1 + (unsigned)rand_r(&customer->seed) % OPENING;
    snprintf(name, sizeof(name), "%u", from);
    snprintf(json, sizeof(json), "{\"to\": \"%u\", \"cents\": %u}", to, cents);

    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status = call(client, troupe_id_of("account", name), "transfer", json, &answer);
    if (status == TROUPE_OK) {
        customer->sent++;
    } else if (status == BANK_TOO_POOR) {
        customer->refused++;
    } else {
        customer->broken++;
        fprintf(
            stderr, "%s: %s: %.*s\n", json, troupe_status_name(status), TROUPE_ARG(answer.message));
    }
    troupe_answer_release(&answer);
}

static void *be_customer(void *argument)
{
    struct customer *customer = argument;
    troupe_client *client = NULL;
    if (troupe_client_open(customer->node, &client) != TROUPE_OK) {
        customer->broken = TRANSFERS;
        return NULL;
    }
    for (int i = 0; i < TRANSFERS; i++)
        pay_once(customer, client, i % 2 != 0 ? BUSY_ACCOUNTS : ACCOUNTS);
    troupe_client_close(client);
    return NULL;
}

static bool open_accounts(troupe_client *client)
{
    char name[16], json[32];
    snprintf(json, sizeof(json), "{\"cents\": %d}", OPENING);
    for (int i = 0; i < ACCOUNTS; i++) {
        troupe_answer answer = TROUPE_ANSWER_INIT;
        snprintf(name, sizeof(name), "%d", i);
        troupe_status status =
            call(client, troupe_id_of("account", name), "deposit", json, &answer);
        if (status != TROUPE_OK)
            fprintf(stderr, "account/%s: %.*s\n", name, TROUPE_ARG(answer.message));
        troupe_answer_release(&answer);
        if (status != TROUPE_OK)
            return false;
    }
    return true;
}

static bool read_account(
    troupe_client *client, int i, int64_t *ret_balance, int64_t *ret_on_the_way)
{
    char name[16];
    troupe_answer answer = TROUPE_ANSWER_INIT;
    snprintf(name, sizeof(name), "%d", i);
    troupe_status status = call(client, troupe_id_of("account", name), "show", "{}", &answer);
    if (status == TROUPE_OK)
        status = troupe_json_integer(answer.payload, "balance", ret_balance);
    if (status == TROUPE_OK)
        status = troupe_json_integer(answer.payload, "on_the_way", ret_on_the_way);
    troupe_answer_release(&answer);
    return status == TROUPE_OK;
}

/* Once no money is on its way any more. */
static bool count_money(troupe_client *client, int64_t *ret_sum)
{
    int64_t sum = 0;
    for (int i = 0; i < ACCOUNTS; i++) {
        int64_t balance = 0, on_the_way = 1;
        for (int tries = 0; on_the_way != 0; tries++) {
            if (tries == 10000 || !read_account(client, i, &balance, &on_the_way))
                return false;
            if (on_the_way != 0)
                usleep(1000);
        }
        if (balance < 0) {
            fprintf(stderr, "account/%d has a balance of %" PRId64 "\n", i, balance);
            return false;
        }
        sum += balance;
    }
    *ret_sum = sum;
    return true;
}

/* Returns the number of transfers that ended neither sent nor refused. */
static uint32_t run_customers(troupe_node *node)
{
    struct customer customers[CLIENTS];
    uint32_t sent = 0, refused = 0, broken = 0;
    unsigned started = 0;
    for (; started < CLIENTS; started++) {
        customers[started] = (struct customer){.node = node, .seed = started + 1};
        if (pthread_create(&customers[started].thread, NULL, be_customer, &customers[started]) != 0)
            break;
    }
    for (unsigned i = 0; i < started; i++) {
        pthread_join(customers[i].thread, NULL);
        sent += customers[i].sent;
        refused += customers[i].refused;
        broken += customers[i].broken;
    }
    broken += (CLIENTS - started) * TRANSFERS;
    printf(
        "%u transfers sent, %u refused for too low a balance, %u broken\n", sent, refused, broken);
    return broken;
}

/* Pays money in, sends it round, and counts it. */
static bool do_business(troupe_node *node)
{
    troupe_client *client = NULL;
    int64_t before = 0, after = -1;
    uint32_t broken = 1;
    bool good = troupe_client_open(node, &client) == TROUPE_OK && count_money(client, &before) &&
                open_accounts(client);
    if (good) {
        before += (int64_t)ACCOUNTS * OPENING;
        broken = run_customers(node);
        good = count_money(client, &after);
    }
    troupe_stats stats = {.size = sizeof(stats)};
    if (troupe_node_stats(node, &stats) == TROUPE_OK)
        printf("%" PRIu64 " turns, %" PRIu64 " commits in %" PRIu64 " groups\n", stats.turns,
            stats.commits, stats.store_groups);
    troupe_client_close(client);
    if (!good || broken > 0 || after != before) {
        printf("the sum is %" PRId64 " cents, not %" PRId64 ": WRONG\n", after, before);
        return false;
    }
    printf("the sum is %" PRId64 " cents, as at the beginning: exact\n", after);
    return true;
}

int main(int count, char **arguments)
{
    troupe_node *node = NULL;
    char folder[] = "/tmp/troupe-bank-XXXXXX";
    char url[64], command[64], error[256];
    const char *storage = url;
    if (count > 1) {
        storage = arguments[1];
    } else if (mkdtemp(folder) != NULL) {
        snprintf(url, sizeof(url), "sqlite:%s/bank.db", folder);
    } else {
        perror(folder);
        return 1;
    }
    troupe_node_options options = {TROUPE_NODE_OPTIONS, .storage = storage};
    bool good = troupe_node_open_explained(&options, TROUPE_TYPES(&bank_account_type), &node, error,
                    sizeof(error)) == TROUPE_OK;
    if (good)
        good = do_business(node);
    else
        fprintf(stderr, "%s\n", error);
    troupe_node_close(node);
    if (storage == url) {
        snprintf(command, sizeof(command), "rm -r '%s'", folder);
        good = system(command) == 0 && good;
    }
    return good ? 0 : 1;
}

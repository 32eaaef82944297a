/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transfers between a thousand accounts from several outside threads at once, and a count of the
 * money at the end: it fails when a cent was lost or made. Half of the transfers are among ten
 * accounts, so that they meet.
 *
 * Invariants: 1. Every client counts each of its transfers once, as paid, refused or broken.
 * Threads: main, and CLIENTS threads with a client each; they share nothing but the node.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <troupe/inspect.h>

#include "bank.h"

enum { ACCOUNTS = 1000, BUSY_ACCOUNTS = 10, CLIENTS = 4, TRANSFERS = 5000, OPENING = 1000 };

struct customer {
    pthread_t thread;
    troupe_node *node;
    unsigned seed;
    uint32_t paid, refused, broken;
};

static troupe_status call(troupe_client *client, troupe_id id, const char *method, const char *json,
    troupe_answer *answer)
{
    troupe_call_options options = {
        TROUPE_CALL_OPTIONS, .content_type = TROUPE_JSON, .retry = {.attempts = 100}};
    return troupe_client_ask(client, id, method, troupe_str(json), &options, answer);
}

/* One transfer between two accounts of the first `among`. */
static void pay_once(
    struct customer *customer, troupe_client *client, troupe_id teller, unsigned among)
{
    char json[128];
    unsigned from = (unsigned)rand_r(&customer->seed) % among;
    unsigned to = (from + 1 + (unsigned)rand_r(&customer->seed) % (among - 1)) % among;
    unsigned cents = 1 + (unsigned)rand_r(&customer->seed) % OPENING;
    snprintf(
        json, sizeof(json), "{\"from\": \"%u\", \"to\": \"%u\", \"cents\": %u}", from, to, cents);

    troupe_answer answer = TROUPE_ANSWER_INIT;
    troupe_status status = call(client, teller, "pay", json, &answer);
    if (status == TROUPE_OK) {
        customer->paid++;
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
    char name[16];
    snprintf(name, sizeof(name), "%u", customer->seed);
    troupe_id teller = troupe_id_of("teller", name);
    if (troupe_client_open(customer->node, &client) != TROUPE_OK) {
        customer->broken = TRANSFERS;
        return NULL;
    }
    for (int i = 0; i < TRANSFERS; i++)
        pay_once(customer, client, teller, i % 2 != 0 ? BUSY_ACCOUNTS : ACCOUNTS);
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

static bool count_money(troupe_client *client, int64_t *ret_sum)
{
    char name[16];
    int64_t sum = 0;
    for (int i = 0; i < ACCOUNTS; i++) {
        troupe_answer answer = TROUPE_ANSWER_INIT;
        int64_t balance = 0, in_doubt = 0;
        snprintf(name, sizeof(name), "%d", i);
        troupe_status status = call(client, troupe_id_of("account", name), "show", "{}", &answer);
        if (status == TROUPE_OK)
            status = troupe_json_integer(answer.payload, "balance", &balance);
        if (status == TROUPE_OK)
            status = troupe_json_integer(answer.payload, "in_doubt", &in_doubt);
        troupe_answer_release(&answer);
        if (status != TROUPE_OK)
            return false;
        if (balance < 0) {
            fprintf(stderr, "account/%s has a balance of %" PRId64 "\n", name, balance);
            return false;
        }
        sum += balance + in_doubt;
    }
    *ret_sum = sum;
    return true;
}

/* Returns the number of transfers that ended neither paid nor refused. */
static uint32_t run_customers(troupe_node *node)
{
    struct customer customers[CLIENTS];
    uint32_t paid = 0, refused = 0, broken = 0;
    unsigned started = 0;
    for (; started < CLIENTS; started++) {
        customers[started] = (struct customer){.node = node, .seed = started + 1};
        if (pthread_create(&customers[started].thread, NULL, be_customer, &customers[started]) != 0)
            break;
    }
    for (unsigned i = 0; i < started; i++) {
        pthread_join(customers[i].thread, NULL);
        paid += customers[i].paid;
        refused += customers[i].refused;
        broken += customers[i].broken;
    }
    broken += (CLIENTS - started) * TRANSFERS;
    printf(
        "%u transfers paid, %u refused for too low a balance, %u broken\n", paid, refused, broken);
    return broken;
}

int main(void)
{
    troupe_node *node = NULL;
    troupe_client *client = NULL;
    char error[256];
    int64_t sum = -1;
    uint32_t broken = 1;
    if (troupe_node_open_explained(NULL, TROUPE_TYPES(&bank_account_type, &bank_teller_type), &node,
            error, sizeof(error)) != TROUPE_OK) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    bool good = troupe_client_open(node, &client) == TROUPE_OK && open_accounts(client);
    if (good) {
        broken = run_customers(node);
        good = count_money(client, &sum);
    }
    troupe_stats stats = {.size = sizeof(stats)};
    if (troupe_node_stats(node, &stats) == TROUPE_OK)
        printf("%" PRIu64 " asks, %" PRIu64 " deadlocks found and mended\n", stats.asks,
            stats.deadlocks);
    troupe_client_close(client);
    troupe_node_close(node);
    if (!good || broken > 0 || sum != (int64_t)ACCOUNTS * OPENING) {
        printf("the sum is %" PRId64 " cents, not %d: WRONG\n", sum, ACCOUNTS * OPENING);
        return 1;
    }
    printf("the sum is %" PRId64 " cents, as at the beginning: exact\n", sum);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds arbitrary bytes to the configuration reader, and what it makes of them to the options. Not
 * for libyaml's own faults, though it would find them. Run by tools with fuzz/corpus/config.
 *
 * Invariants: an error has words; an accepted value is in range and prints as what reads the same.
 * Threads: one.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "node/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* A value that was taken, written and read again is the same. */
static void check_value(const troupe_node_options *options, const char *name)
{
    char text[64];
    char again[64];
    char error[256];
    troupe_node_options copy = *options;
    size_t length = troupe_options_get(options, name, text, sizeof(text));
    require(length > 0 || tp_option_is_text(tp_option_find(name)));
    if (length < sizeof(text)) {
        require(troupe_options_set(&copy, name, text, error, sizeof(error)) == TROUPE_OK);
        (void)troupe_options_get(&copy, name, again, sizeof(again));
        require(strcmp(text, again) == 0);
    }
}

static troupe_status on_entry(void *user, const troupe_config_entry *entry, char *error,
                              size_t error_size)
{
    troupe_node_options *options = user;
    require(entry->line > 0 && entry->column > 0 && entry->key[0] != '\0');
    troupe_status status = troupe_options_set(options, entry->key, entry->value, error, error_size);
    if (status != TROUPE_OK) {
        require(error[0] != '\0');
        return TROUPE_OK; /* on to the next */
    }
    const tp_option *option = tp_option_find(entry->key);
    require(option != NULL);
    if (tp_option_is_text(option)) {
        /* The pointer ends with the call: checked here, and not kept. */
        check_value(options, entry->key);
        memset((char *)options + option->offset, 0, sizeof(const char *));
        return TROUPE_OK;
    }
    check_value(options, entry->key);
    return TROUPE_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char error[256] = "";
    troupe_node_options options = {TROUPE_NODE_OPTIONS};
    troupe_status status =
        troupe_config_parse(troupe_slice_of(data, size), on_entry, &options, error, sizeof(error));
    require(status == TROUPE_OK || error[0] != '\0');
    troupe_node_options resolved;
    error[0] = '\0';
    status = tp_options_resolve(&options, &resolved, error, sizeof(error));
    require(status == TROUPE_OK || error[0] != '\0');
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Explains the daemon out of the lists of flags, options and settings: on the terminal, and as the
 * manual page. Invariants: 1. man/trouped.8 is its output (tests/e2e compares). Threads: one.
 */
#include "shared/daemon_flags.h"
#include "shared/troff.h"
#include "trouped/options.h"

#include <stdio.h>

static const char *const settings[] = {
#define X(name, option) name,
    CMD_SETTING_MAP(X)
#undef X
};

static const struct {
    int code;
    const char *meaning;
} exits[] = {{0, "stopped as asked"},
             {1, "failed: a module that cannot be loaded, a socket at which another node answers, "
                 "no memory"},
             {2, "the command line or the file is wrong"}};

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static const char about[] =
    "trouped loads modules of actor types, runs a node that hosts them, and listens on a Unix "
    "socket for troupe(1). When it is ready it prints one line: what it serves, where, and an "
    "example call.";
static const char order[] =
    "Each option can also be set by the environment variable TROUPE_ and its name in capitals, or "
    "by a line NAME: VALUE of the file. Flags go before the environment, the environment before "
    "the file. Those marked * take effect at a reload, others need a restart.";
static const char file[] =
    "The file may also name modules: [a.so, b.so], socket: PATH, remote: HOST:PORT, remote_token: "
    "FILE, and settings of types: types: { account: { idle: 5m, mailbox_limit: 1000 } }. These are "
    "flags, too (--types.account.idle 5m), and in the environment "
    "TROUPE_TYPES='account.idle=5m; account.turn_batch=8'. Settings of types:";
static const char references[] =
    "In texts ${file:PATH} stands for what is in the file, and ${env:NAME} for a variable of the "
    "environment: so are secrets kept out of command lines and configuration files. A relative "
    "PATH begins at the folder of the file it is in, else where trouped runs.";
static const char cluster[] =
    "With --cluster the node belongs to a cluster: file:FOLDER for nodes of one machine, else the "
    "URL of a store. If it is put out of the cluster while it runs (it was stopped, or cut off, "
    "for longer than its lease), the process becomes a new trouped with the same command line, and "
    "says so in the log.";

static const struct {
    const char *names, *meaning;
} signals[] = {
    {"SIGTERM, SIGINT", "end what was accepted, refuse what is new, save, stop; a second one "
                        "cancels what is under way"},
    {"SIGHUP", "read flags, environment, file, certificates and token again: what can change takes "
               "effect at once, of what cannot the log says that it needs a restart; if anything "
               "is wrong it says what and where, and nothing changes. troupe config --reload does "
               "the same, and tells"}};

static const struct {
    const char *names, *meaning;
} variables[] = {
    {"TROUPE_NAME_OF_OPTION", "an option of the node, in capitals: TROUPE_MAX_ACTORS, TROUPE_LOG"},
    {"TROUPE_TYPES", "settings of types, joined by ;"},
    {"TROUPE_SOCKET, TROUPE_CONFIG, TROUPE_REMOTE, TROUPE_REMOTE_TOKEN", "as the flags"},
    {"NOTIFY_SOCKET", "set by systemd for Type=notify and Type=notify-reload: gets READY=1, "
                      "RELOADING=1 and STOPPING=1"},
    {"WATCHDOG_USEC, WATCHDOG_PID",
     "set by systemd for WatchdogSec=: WATCHDOG=1 goes to NOTIFY_SOCKET twice in this time, as "
     "long as the loop that answers at the socket turns. A turn of an actor that never ends is no "
     "reason: it is in the log"}};

/* ---- on the terminal ---- */

static const char *flag_text(size_t i, char *out, size_t size)
{
    snprintf(out, size, "--%s%s%s", daemon_flags[i].name, daemon_flags[i].value != NULL ? " " : "",
             daemon_flags[i].value != NULL ? daemon_flags[i].value : "");
    return out;
}

static const char *mark(const troupe_option_info *info)
{
    return info->reload != TROUPE_RELOAD_RESTART ? " *" : "";
}

static bool is_for_others(const troupe_option_info *info)
{
    return strcmp(info->name, "driven") == 0; /* of programs that embed a node */
}

static void print_option(void *user, const troupe_option_info *info)
{
    (void)user;
    if (is_for_others(info)) return;
    printf("  --%-24s %s (%s)%s\n", info->name, info->help, info->standard, mark(info));
}

static void print_wrapped(const char *text)
{
    size_t column = 0;
    while (*text != 0) {
        size_t length = strcspn(text, " ");
        if (column > 0 && column + 1 + length > 98) {
            putchar('\n');
            column = 0;
        }
        if (column > 0) putchar(' ');
        printf("%.*s", (int)length, text);
        column += length + (column > 0);
        text += length;
        while (*text == ' ') text++;
    }
    putchar('\n');
}

void daemon_options_print_help(void)
{
    char text[80];
    printf("trouped serves actors: it loads modules of actor types and runs a node.\n\n"
           "  trouped --load ./libshop.so\n"
           "  trouped --config node-1.yaml --load ./libshop.so --max_actors 100_000\n\n"
           "Options:\n");
    for (size_t i = 0; i < DAEMON_FLAG_COUNT; i++) {
        printf("  %-26s %s\n", flag_text(i, text, sizeof(text)), daemon_flags[i].meaning);
    }
    printf("\nOptions of the node, with their defaults.\n");
    print_wrapped(order);
    printf("\n");
    troupe_options_each(print_option, NULL);
    printf("\n");
    print_wrapped(file);
    for (size_t i = 0; i < COUNT(settings); i++) {
        printf("%s%s", settings[i], i + 1 < COUNT(settings) ? ", " : ".\n\n");
    }
    print_wrapped(references);
    printf("\n");
    for (size_t i = 0; i < COUNT(signals); i++) {
        snprintf(text, sizeof(text), "%s:", signals[i].names);
        printf("%s ", text);
        print_wrapped(signals[i].meaning);
    }
    printf("\nExit codes:\n");
    for (size_t i = 0; i < COUNT(exits); i++) printf("  %d  %s\n", exits[i].code, exits[i].meaning);
}

/* ---- the manual page ---- */

static void print_option_item(void *user, const troupe_option_info *info)
{
    char term[100];
    char meaning[600];
    (void)user;
    if (is_for_others(info)) return;
    snprintf(term, sizeof(term), "--%s %s", info->name, troupe_option_kind_name(info->kind));
    snprintf(meaning, sizeof(meaning), "%s (%s%s%s%s%s)%s", info->help,
             info->standard[0] != 0 ? info->standard : "empty", info->least != NULL ? "; " : "",
             info->least != NULL ? info->least : "", info->least != NULL ? " to " : "",
             info->most != NULL ? info->most : "", mark(info));
    cmd_troff_item(term, meaning);
}

static void print_section(const char *name, const char *text)
{
    printf(".SH %s\n", name);
    cmd_troff_text(text);
}

void daemon_options_print_manual(void)
{
    char text[80];
    printf(".\\\" Made by trouped --man; do not edit.\n.TH TROUPED 8 \"\" \"Troupe %s\"\n"
           ".SH NAME\ntrouped \\- serve virtual actors\n"
           ".SH SYNOPSIS\n.B trouped\n\\-\\-load\n.I FILE\n[OPTIONS]\n", TROUPE_VERSION);
    print_section("DESCRIPTION", about);
    puts(".SH OPTIONS");
    for (size_t i = 0; i < DAEMON_FLAG_COUNT; i++) {
        cmd_troff_item(flag_text(i, text, sizeof(text)), daemon_flags[i].meaning);
    }
    print_section("OPTIONS OF THE NODE", order);
    troupe_options_each(print_option_item, NULL);
    print_section("FILE", file);
    for (size_t i = 0; i < COUNT(settings); i++) {
        snprintf(text, sizeof(text), "%s%s", settings[i], i + 1 < COUNT(settings) ? "," : ".");
        cmd_troff_text(text);
    }
    puts(".PP");
    cmd_troff_text(references);
    print_section("CLUSTER", cluster);
    puts(".SH SIGNALS");
    for (size_t i = 0; i < COUNT(signals); i++) {
        cmd_troff_item(signals[i].names, signals[i].meaning);
    }
    puts(".SH EXIT STATUS");
    for (size_t i = 0; i < COUNT(exits); i++) {
        snprintf(text, sizeof(text), "%d", exits[i].code);
        cmd_troff_item(text, exits[i].meaning);
    }
    puts(".SH ENVIRONMENT");
    for (size_t i = 0; i < COUNT(variables); i++) {
        cmd_troff_item(variables[i].names, variables[i].meaning);
    }
    puts(".SH SEE ALSO\n.BR troupe (1)");
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line tool: reads what was typed by the lists of commands.h and runs one command. The
 * commands are in calls.c, look.c, config.c, local.c, help.c.
 * Invariants: 1. Nothing is sent before the whole command line was understood. Threads: one.
 */
#include "troupe/commands.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <troupe/config.h>

const cli_command cli_commands[] = {
#define X(name, arguments, fewest, most, options, summary, details, examples) \
    {#name, cli_run_##name, arguments, fewest, most, options, summary, details, examples},
    CLI_COMMAND_MAP(X)
#undef X
};
#define COMMAND_COUNT (sizeof(cli_commands) / sizeof(cli_commands[0]))
const int cli_command_count = COMMAND_COUNT;

static const struct {
    const char *name, *value, *meaning;
} options[] = {
#define X(name, text, value, meaning) {text, value, meaning},
    CLI_OPTION_MAP(X)
#undef X
};

const char *cli_option_name(cli_option option)
{
    return options[option].name;
}

const char *cli_option_value(cli_option option)
{
    return options[option].value;
}

const char *cli_option_meaning(cli_option option)
{
    return options[option].meaning;
}

const cli_command *cli_command_find(const char *name)
{
    for (int i = 0; i < cli_command_count; i++) {
        if (strcmp(name, cli_commands[i].name) == 0) return &cli_commands[i];
    }
    return NULL;
}

cli_exit cli_fail(cli_exit code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fflush(stdout);
    fputs("troupe: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return code;
}

static cli_exit no_command(const char *name)
{
    const char *names[COMMAND_COUNT];
    for (int i = 0; i < cli_command_count; i++) names[i] = cli_commands[i].name;
    const char *nearest = troupe_nearest_name(name, names, COMMAND_COUNT);
    if (nearest != NULL) {
        return cli_fail(CLI_USAGE, "there is no command \"%s\": did you mean \"%s\"?", name,
                        nearest);
    }
    return cli_fail(CLI_USAGE, "there is no command \"%s\": see troupe help", name);
}

static cli_exit no_option(const cli_command *command, const char *word)
{
    const char *names[CLI_OPTION_COUNT];
    size_t count = 0;
    char wanted[64];
    snprintf(wanted, sizeof(wanted), "%.*s", (int)strcspn(word, "="), word);
    for (int i = 0; i < CLI_OPTION_COUNT; i++) {
        if ((command->options >> i & 1) != 0) names[count++] = options[i].name;
    }
    const char *nearest = troupe_nearest_name(wanted, names, count);
    if (nearest != NULL) {
        return cli_fail(CLI_USAGE, "%s takes no option --%s: did you mean --%s?", command->name,
                        wanted, nearest);
    }
    return cli_fail(CLI_USAGE, "%s takes no option --%s: see troupe help %s", command->name, wanted,
                    command->name);
}

/* The option that a word after -- names, up to its =; CLI_OPTION_COUNT: none. */
static cli_option find_option(const char *word)
{
    size_t length = strcspn(word, "=");
    for (int i = 0; i < CLI_OPTION_COUNT; i++) {
        if (strlen(options[i].name) == length && memcmp(options[i].name, word, length) == 0) {
            return (cli_option)i;
        }
    }
    return CLI_OPTION_COUNT;
}

/* Reads one option at argv[*at], and its value. Whether the command takes it is checked later. */
static cli_exit read_option(cli_context *context, char **argv, int *at, const char **ret_unknown)
{
    const char *word = argv[*at] + 2;
    const char *equals = strchr(word, '=');
    cli_option option = strcmp(argv[*at], "-h") == 0 ? CLI_OPTION_HELP : find_option(word);
    if (option == CLI_OPTION_COUNT) {
        if (*ret_unknown == NULL) *ret_unknown = word;
        return CLI_OK;
    }
    if (options[option].value == NULL) {
        if (equals != NULL) return cli_fail(CLI_USAGE, "--%s takes no value", options[option].name);
        context->values[option] = "";
        return CLI_OK;
    }
    const char *value = equals != NULL ? equals + 1 : argv[*at + 1];
    if (value == NULL) {
        return cli_fail(CLI_USAGE, "--%s needs a value: --%s %s", options[option].name,
                        options[option].name, options[option].value);
    }
    if (equals == NULL) ++*at;
    context->values[option] = value;
    return CLI_OK;
}

static cli_exit add_argument(cli_context *context, const char *word)
{
    const cli_command *command = context->command;
    int room = (int)(sizeof(context->arguments) / sizeof(context->arguments[0]));
    if (context->argument_count == room || context->argument_count == command->most) {
        return cli_fail(CLI_USAGE, "%s takes no further argument \"%.60s\": troupe %s%s%s",
                        command->name, word, command->name, command->arguments[0] != 0 ? " " : "",
                        command->arguments);
    }
    context->arguments[context->argument_count++] = word;
    return CLI_OK;
}

/* Walks over the words; the first one that is no option is the command. */
static cli_exit read_words(cli_context *context, char **argv, const char **ret_unknown)
{
    bool has_options = true;
    cli_exit code = CLI_OK;
    for (int i = 1; argv[i] != NULL && code == CLI_OK; i++) {
        bool is_option = has_options && ((argv[i][0] == '-' && argv[i][1] == '-') ||
                                         strcmp(argv[i], "-h") == 0);
        if (is_option && argv[i][2] == 0 && argv[i][1] == '-') {
            has_options = false;
        } else if (is_option) {
            code = read_option(context, argv, &i, ret_unknown);
        } else if (context->command == NULL) {
            context->command = cli_command_find(argv[i]);
            if (context->command == NULL) return no_command(argv[i]);
            if (context->command->options == CLI_TAKES_ALL) {
                context->rest = &argv[i];
                return CLI_OK;
            }
        } else {
            code = add_argument(context, argv[i]);
        }
    }
    return code;
}

/* Durations are written as in the options of a node. */
static bool read_duration(const char *text, uint64_t *ret_duration)
{
    troupe_node_options parsed = {TROUPE_NODE_OPTIONS};
    char error[256];
    if (troupe_options_set(&parsed, "ask_timeout", text, error, sizeof(error)) != TROUPE_OK) {
        return false;
    }
    *ret_duration = parsed.ask_timeout;
    return parsed.ask_timeout >= TROUPE_MILLISECONDS(1) && parsed.ask_timeout <= TROUPE_HOURS(24);
}

static cli_exit check(cli_context *context, const char *unknown)
{
    const cli_command *command = context->command;
    if (command->options == CLI_TAKES_ALL) return CLI_OK;
    if (unknown != NULL) return no_option(command, unknown);
    if (cli_has(context, CLI_OPTION_CONNECT) && (command->options & CLI_TAKES(CONNECT)) == 0) {
        return cli_fail(CLI_USAGE, "%s is not for the network: it needs the node's admin socket, "
                        "on its machine", command->name);
    }
    for (int i = 0; i < CLI_OPTION_COUNT; i++) {
        if (context->values[i] != NULL && (command->options >> i & 1) == 0) {
            return no_option(command, options[i].name);
        }
    }
    if (context->argument_count < command->fewest) {
        return cli_fail(CLI_USAGE, "%s needs more arguments: troupe %s %s", command->name,
                        command->name, command->arguments);
    }
    const char *timeout = context->values[CLI_OPTION_TIMEOUT];
    if (timeout != NULL && !read_duration(timeout, &context->timeout)) {
        return cli_fail(CLI_USAGE, "--timeout \"%s\" is no duration from 1ms to 24h: write 250ms, "
                        "5s, 1m", timeout);
    }
    return CLI_OK;
}

int main(int argc, char **argv)
{
    cli_context context = {0};
    const char *unknown = NULL;
    signal(SIGPIPE, SIG_IGN); /* a closed pipe or node is an error to be told */
    if (argc > 1 && strcmp(argv[1], "--version") == 0) argv[1] = "version";
    cli_exit code = read_words(&context, argv, &unknown);
    if (code != CLI_OK) return (int)code;

    bool wants_help = cli_has(&context, CLI_OPTION_HELP);
    if (context.command == NULL && unknown != NULL) {
        return (int)cli_fail(CLI_USAGE, "there is no option --%s: see troupe help", unknown);
    }
    if (context.command == NULL || (wants_help && context.rest == NULL)) {
        /* Asked for, it is an answer; else the command is missing. */
        cli_context about = {.command = cli_command_find("help")};
        if (context.command != NULL) about.arguments[0] = context.command->name;
        about.argument_count = context.command != NULL;
        code = about.command->run(&about);
        if (context.command == NULL && !wants_help) code = CLI_USAGE;
    } else {
        code = check(&context, unknown);
        if (code == CLI_OK) code = context.command->run(&context);
    }
    if (fflush(stdout) != 0 && code == CLI_OK) {
        code = cli_fail(CLI_FAILED, "standard output cannot be written");
    }
    return (int)code;
}

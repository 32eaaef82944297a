/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Explains the tool out of the lists of commands.h: on the terminal, as manual page, as Markdown.
 * Nothing about commands is written here.
 * Invariants: 1. man/troupe.1 and docs/cli.md are its output (tests/e2e compares). Threads: one.
 */
#include "shared/troff.h"
#include "troupe/commands.h"

#include <stdio.h>
#include <string.h>
#include <troupe.h>

#define COLUMNS 78

static const char about[] =
    "troupe looks into a running node of actors, calls its actors, and runs the simulator. The "
    "node is a trouped on this machine; they talk over a Unix socket.";
static const char places[] =
    "The socket is what --socket says; else $TROUPE_SOCKET; else "
    "$XDG_RUNTIME_DIR/troupe/node.sock; else /tmp/troupe-UID/node.sock. With --connect, or "
    "$TROUPE_CONNECT and no --socket, a node of another machine is called, that was started with "
    "--remote: by TLS if --certificate, --key and --authority are given, else in clear. Commands "
    "that change the node itself need its socket.";

static const struct {
    int code;
    const char *meaning;
} exits[] = {{CLI_OK, "it worked"},
             {CLI_FAILED, "the call failed: status, outcome and words are on standard error"},
             {CLI_USAGE, "the command line is wrong"},
             {CLI_NO_NODE, "no node answers at the socket, or the address"}};
#define EXIT_COUNT (sizeof(exits) / sizeof(exits[0]))

/* ---- on the terminal ---- */

static void print_wrapped(const char *text, int indent)
{
    int column = 0;
    while (*text != 0) {
        int length = (int)strcspn(text, " ");
        if (column > 0 && column + 1 + length > COLUMNS) {
            putchar('\n');
            column = 0;
        }
        if (column == 0) column = printf("%*s%.*s", indent, "", length, text);
        else column += printf(" %.*s", length, text);
        text += length;
        while (*text == ' ') text++;
    }
    if (column > 0) putchar('\n');
}

/* Calls `line` for each line of a text. */
static void each_line(const char *text, void (*line)(const char *text, int length))
{
    while (*text != 0) {
        size_t length = strcspn(text, "\n");
        line(text, (int)length);
        text += length;
        if (*text == '\n') text++;
    }
}

static void print_example(const char *text, int length)
{
    printf("  %.*s\n", length, text);
}

static const char *synopsis(const cli_command *command, char *out, size_t size)
{
    bool has_options = command->options != 0 && command->options != CLI_TAKES_ALL;
    snprintf(out, size, "troupe %s%s%s%s", command->name, command->arguments[0] != 0 ? " " : "",
             command->arguments, has_options ? " [OPTIONS]" : "");
    return out;
}

/* "--limit N" */
static const char *option_text(cli_option option, char *out, size_t size)
{
    const char *value = cli_option_value(option);
    snprintf(out, size, "--%s%s%s", cli_option_name(option), value != NULL ? " " : "",
             value != NULL ? value : "");
    return out;
}

static bool takes(const cli_command *command, int option)
{
    return command->options != CLI_TAKES_ALL && (command->options >> option & 1) != 0;
}

static void print_command(const cli_command *command)
{
    char text[120];
    printf("%s\n\n  %s\n", synopsis(command, text, sizeof(text)), command->summary);
    if (command->details[0] != 0) {
        putchar('\n');
        print_wrapped(command->details, 2);
    }
    bool has_options = false;
    for (int i = 0; i < CLI_OPTION_COUNT; i++) {
        if (!takes(command, i)) continue;
        if (!has_options) puts("\nOptions:");
        has_options = true;
        printf("  %-20s %s\n", option_text((cli_option)i, text, sizeof(text)),
               cli_option_meaning((cli_option)i));
    }
    puts("\nExamples:");
    each_line(command->examples, print_example);
}

static void print_all(void)
{
    char text[120];
    print_wrapped(about, 0);
    puts("\nCommands:");
    for (int i = 0; i < cli_command_count; i++) {
        const cli_command *command = &cli_commands[i];
        snprintf(text, sizeof(text), "%s %s", command->name, command->arguments);
        printf("  %-28s %s\n", text, command->summary);
    }
    puts("\nTry:");
    print_example("$ trouped --load ./libshop.so &", 31);
    each_line(cli_command_find("ask")->examples, print_example);
    print_example("$ troupe help ask", 17);
    putchar('\n');
    print_wrapped(places, 0);
    puts("\nExit codes:");
    for (size_t i = 0; i < EXIT_COUNT; i++) printf("  %d  %s\n", exits[i].code, exits[i].meaning);
}

/* ---- Markdown ---- */

static void print_plain(const char *text, int length)
{
    printf("%.*s\n", length, text);
}

static void print_markdown(void)
{
    char text[120];
    puts("# troupe, the command line tool\n\nMade by `troupe help --markdown`; do not edit.\n");
    printf("%s\n\n%s\n\n| exit code | meaning |\n|---|---|\n", about, places);
    for (size_t i = 0; i < EXIT_COUNT; i++) {
        printf("| %d | %s |\n", exits[i].code, exits[i].meaning);
    }
    for (int i = 0; i < cli_command_count; i++) {
        const cli_command *command = &cli_commands[i];
        printf("\n## troupe %s\n\n`%s`: %s.", command->name,
               synopsis(command, text, sizeof(text)), command->summary);
        printf("%s%s\n", command->details[0] != 0 ? " " : "", command->details);
        bool has_options = false;
        for (int k = 0; k < CLI_OPTION_COUNT; k++) {
            if (!takes(command, k)) continue;
            if (!has_options) puts("\n| option | meaning |\n|---|---|");
            has_options = true;
            printf("| `%s` | %s |\n", option_text((cli_option)k, text, sizeof(text)),
                   cli_option_meaning((cli_option)k));
        }
        puts("\n```");
        each_line(command->examples, print_plain);
        puts("```");
    }
}

/* ---- manual page ---- */

static void print_manual(void)
{
    char text[120];
    printf(".\\\" Made by troupe help --man; do not edit.\n.TH TROUPE 1 \"\" \"Troupe %s\"\n"
           ".SH NAME\ntroupe \\- look into a node of actors, and call them\n"
           ".SH SYNOPSIS\n.B troupe\n.I COMMAND\n[ARGUMENTS] [OPTIONS]\n.SH DESCRIPTION\n",
           TROUPE_VERSION);
    cmd_troff_text(about);
    puts(".PP");
    cmd_troff_text(places);
    puts(".SH COMMANDS");
    for (int i = 0; i < cli_command_count; i++) {
        const cli_command *command = &cli_commands[i];
        fputs(".SS ", stdout);
        cmd_troff_text(synopsis(command, text, sizeof(text)));
        cmd_troff_text(command->summary);
        if (command->details[0] != 0) puts(".PP");
        cmd_troff_text(command->details);
        for (int k = 0; k < CLI_OPTION_COUNT; k++) {
            if (!takes(command, k)) continue;
            cmd_troff_item(option_text((cli_option)k, text, sizeof(text)),
                           cli_option_meaning((cli_option)k));
        }
        puts(".PP\n.nf\n.RS");
        each_line(command->examples, cmd_troff_print);
        puts(".RE\n.fi");
    }
    puts(".SH EXIT STATUS");
    for (size_t i = 0; i < EXIT_COUNT; i++) {
        printf(".TP\n%d\n", exits[i].code);
        cmd_troff_text(exits[i].meaning);
    }
    puts(".SH SEE ALSO\n.BR trouped (8)");
}

/* ---- commands ---- */

cli_exit cli_run_help(const cli_context *context)
{
    if (cli_has(context, CLI_OPTION_MAN)) {
        print_manual();
    } else if (cli_has(context, CLI_OPTION_MARKDOWN)) {
        print_markdown();
    } else if (context->argument_count == 0) {
        print_all();
    } else {
        const cli_command *command = cli_command_find(context->arguments[0]);
        if (command == NULL) {
            return cli_fail(CLI_USAGE, "there is no command \"%s\": see troupe help",
                            context->arguments[0]);
        }
        print_command(command);
    }
    return CLI_OK;
}

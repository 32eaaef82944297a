/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shell's completion of troupe and trouped, out of the lists of commands.h, of the daemon's
 * flags and of the options of a node. Types, methods and nodes are asked of the running node, which
 * answers them at once. Nothing about commands is written here.
 * Invariants: 1. What is printed is bash, and for zsh the same by its bashcompinit. Threads: one.
 */
#include "shared/daemon_flags.h"
#include "troupe/commands.h"

#include <stdio.h>
#include <string.h>
#include <troupe/config.h>

/* ---- words ---- */

static bool is_file(const char *value)
{
    return value != NULL && (strcmp(value, "FILE") == 0 || strcmp(value, "PATH") == 0);
}

static void print_name(void *user, const troupe_option_info *info)
{
    if (strcmp(info->name, "driven") != 0) printf(" %s%s", (const char *)user, info->name);
}

static void print_file_name(void *user, const troupe_option_info *info)
{
    (void)user;
    if (info->reload == TROUPE_RELOAD_FILE) printf("|--%s", info->name);
}

static void print_bool_name(void *user, const troupe_option_info *info)
{
    (void)user;
    if (info->kind == TROUPE_OPTION_BOOL) printf("|--%s", info->name);
}

/* "--socket|--token-file": those that take a file, or any value. */
static void print_valued(bool files_only)
{
    bool is_first = true;
    for (int i = 0; i < CLI_OPTION_COUNT; i++) {
        const char *value = cli_option_value((cli_option)i);
        if (value == NULL || (files_only && !is_file(value))) continue;
        printf("%s--%s", is_first ? "" : "|", cli_option_name((cli_option)i));
        is_first = false;
    }
}

static void print_options(const cli_command *command)
{
    for (int k = 0; k < CLI_OPTION_COUNT; k++) {
        bool takes = command->options != CLI_TAKES_ALL && (command->options >> k & 1) != 0;
        if (takes) printf("--%s ", cli_option_name((cli_option)k));
    }
    fputs("--help", stdout);
}

/* "[PAYLOAD|-]" without the brackets, as the script looks at it: PAYLOAD. */
static void print_arguments(const cli_command *command)
{
    const char *at = command->arguments;
    while (*at != 0) {
        size_t length = strcspn(at, " ");
        size_t from = at[0] == '[';
        size_t to = strcspn(at, "|]");
        printf("%s%.*s", at == command->arguments ? "" : " ",
               (int)((to < length ? to : length) - from), at + from);
        at += length;
        while (*at == ' ') at++;
    }
}

/* ---- the script ---- */

static const char head[] =
    "# Completion of troupe and trouped for bash: source <(troupe completion)\n"
    "# What the node says, that the words so far name.\n"
    "_troupe_node() { command troupe \"$@\" \"${node[@]}\" 2>/dev/null; }\n"
    "_troupe_argument()\n{\n"
    "    case $1 in\n"
    "        ID) words=$(_troupe_node types | sed 's/ .*/\\//')\n"
    "            compopt -o nospace 2>/dev/null || : ;;\n"
    "        TYPE) words=$(_troupe_node types | cut -d' ' -f1) ;;\n"
    "        METHOD) words=$(_troupe_node types | sed -n \"s/^${given[0]%%[\\/@]*} //p\") ;;\n"
    "        NODE) words=$(_troupe_node nodes | sed '1d; s/ .*//') ;;\n"
    "        FILE) COMPREPLY=($(compgen -f -- \"$word\")); return 1 ;;\n"
    "        COMMAND) words=$_troupe_commands ;;\n"
    "        SHELL) words='bash zsh' ;;\n"
    "        up) words=up ;;\n"
    "    esac\n"
    "}\n";

static const char middle[] =
    "_troupe()\n{\n"
    "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
    "    local command='' words='' options='' arguments='' i\n"
    "    local -a node=() given=()\n"
    "    COMPREPLY=()\n"
    "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
    "        case ${COMP_WORDS[i]} in\n"
    "            --socket|--connect|--token-file|--certificate|--key|--authority|--server-name)\n"
    "                node+=(\"${COMP_WORDS[i]}\" \"${COMP_WORDS[i+1]}\"); ((i++))\n"
    "                while [[ ${COMP_WORDS[i+1]} == : ]]; do # HOST:PORT, as readline cuts it\n"
    "                    node[-1]+=:${COMP_WORDS[i+2]}; ((i += 2))\n"
    "                done ;;\n";

static const char tail[] =
    "    if [[ $word == -* ]]; then\n"
    "        words=$options\n"
    "    else\n"
    "        set -- $arguments\n"
    "        if ((${#given[@]} < $#)); then\n"
    "            shift ${#given[@]}\n"
    "            _troupe_argument \"$1\" || return\n"
    "        fi\n"
    "    fi\n"
    "    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
    "}\n"
    "complete -F _troupe troupe\n";

static void print_tool(void)
{
    fputs("_troupe_commands='", stdout);
    for (int i = 0; i < cli_command_count; i++) {
        printf("%s%s", i > 0 ? " " : "", cli_commands[i].name);
    }
    fputs("'\n", stdout);
    fputs(head, stdout);
    fputs(middle, stdout);
    fputs("            ", stdout);
    print_valued(false);
    puts(") ((i++)) ;;\n"
         "            -*) ;;\n"
         "            *) if [[ -z $command ]]; then command=${COMP_WORDS[i]}\n"
         "               else given+=(\"${COMP_WORDS[i]}\"); fi ;;\n"
         "        esac\n"
         "    done\n"
         "    case $before in");
    fputs("        ", stdout);
    print_valued(true);
    puts(") COMPREPLY=($(compgen -f -- \"$word\")); return ;;");
    fputs("        --explain) words='", stdout);
    troupe_options_each(print_name, "");
    puts("'; COMPREPLY=($(compgen -W \"$words\" -- \"$word\")); return ;;\n"
         "        --type) _troupe_argument TYPE; COMPREPLY=($(compgen -W \"$words\" -- \"$word\"));"
         " return ;;");
    fputs("        ", stdout);
    print_valued(false);
    puts(") return ;;\n"
         "    esac\n"
         "    case $command in\n"
         "        '') options='--help --version' arguments=COMMAND ;;");
    for (int i = 0; i < cli_command_count; i++) {
        printf("        %s) options='", cli_commands[i].name);
        print_options(&cli_commands[i]);
        fputs("' arguments='", stdout);
        print_arguments(&cli_commands[i]);
        puts("' ;;");
    }
    puts("    esac");
    fputs(tail, stdout);
}

/* Those that take a file, or nothing, as the begin of a pattern. */
static void print_flags(bool files)
{
    bool is_first = true;
    for (size_t i = 0; i < DAEMON_FLAG_COUNT; i++) {
        if (files ? !is_file(daemon_flags[i].value) : daemon_flags[i].value != NULL) continue;
        printf("%s--%s", is_first ? "        " : "|", daemon_flags[i].name);
        is_first = false;
    }
}

static void print_daemon(void)
{
    puts("_trouped()\n{\n"
         "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
         "    COMPREPLY=()\n"
         "    case $before in");
    print_flags(false);
    troupe_options_each(print_bool_name, NULL);
    puts(") ;;");
    print_flags(true);
    troupe_options_each(print_file_name, NULL);
    puts(") COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n"
         "        -*) return ;;\n"
         "    esac");
    fputs("    COMPREPLY=($(compgen -W '", stdout);
    for (size_t i = 0; i < DAEMON_FLAG_COUNT; i++) {
        printf("%s--%s", i > 0 ? " " : "", daemon_flags[i].name);
    }
    troupe_options_each(print_name, "--");
    puts("' -- \"$word\"))\n"
         "}\n"
         "complete -F _trouped trouped");
}

cli_exit cli_run_completion(const cli_context *context)
{
    const char *shell = context->argument_count > 0 ? context->arguments[0] : "bash";
    bool is_zsh = strcmp(shell, "zsh") == 0;
    if (!is_zsh && strcmp(shell, "bash") != 0) {
        return cli_fail(CLI_USAGE, "there is no completion for \"%s\": bash and zsh have one",
                        shell);
    }
    if (is_zsh) puts("autoload -U +X bashcompinit && bashcompinit");
    print_tool();
    print_daemon();
    return CLI_OK;
}

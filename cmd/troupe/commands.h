/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two lists that the command line tool is made of: its options and its commands. Dispatch,
 * `troupe help`, the manual page, docs/cli.md and the completion all read them.
 *
 * Invariants: 1. An option that a command does not name is refused there. 2. Exit codes are those
 * of cli_exit, everywhere.
 * Threads: one.
 */
#ifndef TROUPE_COMMANDS_H
#define TROUPE_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,  /* the call failed: status, outcome and words are on standard error */
    CLI_USAGE = 2,
    CLI_NO_NODE = 3, /* nobody answers at the socket, or the address */
} cli_exit;

/* X(NAME, "name", "VALUE" or NULL, "what it does") */
#define CLI_OPTION_MAP(X)                                                                          \
    X(SOCKET, "socket", "PATH", "the node's socket; else $TROUPE_SOCKET, else the usual place")    \
    X(CONNECT, "connect", "HOST:PORT", "a node far away, that has --remote; also $TROUPE_CONNECT") \
    X(TOKEN, "token-file", "FILE", "what to show there is in FILE; also $TROUPE_TOKEN_FILE")       \
    X(CERTIFICATE, "certificate", "FILE", "to speak TLS; also $TROUPE_TLS_CERTIFICATE")            \
    X(KEY, "key", "FILE", "of the certificate; also $TROUPE_TLS_KEY")                              \
    X(AUTHORITY, "authority", "FILE", "that has signed the node's; also $TROUPE_TLS_AUTHORITY")    \
    X(NAME, "server-name", "NAME", "of the node's certificate; else HOST; also $TROUPE_TLS_NAME")  \
    X(JSON, "json", NULL, "print JSON, for programs")                                              \
    X(TIMEOUT, "timeout", "DURATION", "how long to wait: 250ms, 5s, 1m; else the node's default")  \
    X(CONTENT_TYPE, "content-type", "TYPE", "of the payload; else JSON if it is JSON, else text")  \
    X(TYPE, "type", "NAME", "only actors of this type")                                            \
    X(LIMIT, "limit", "N", "at most so many, up to 10000; else 100")                               \
    X(DEFAULTS, "defaults", NULL, "every option of a node: its default, its limits, its meaning")  \
    X(EXPLAIN, "explain", "KEY", "one option of a node in full")                                   \
    X(ONCE, "once", "KEY", "it happens once: asked again, it gives the first answer again")        \
    X(SHOW, "show", "VERSION", "print that snapshot's state")                                      \
    X(RESTORE, "restore", "VERSION", "put that snapshot in place of the present state")            \
    X(AFTER, "after", "ID", "only those behind this one (discover: a cursor)")                     \
    X(CHECK, "check", NULL, "look for damage in all that is stored; for errors in FILE")           \
    X(RELOAD, "reload", NULL, "have the node read its configuration again, as SIGHUP does")        \
    X(YES, "yes", NULL, "really: it cannot be undone")                                             \
    X(REPLAY, "replay", "NUMBER", "send this one again")                                           \
    X(DROP, "drop", "NUMBER", "throw this one away")                                               \
    X(CANCEL, "cancel", "NAME", "cancel this one")                                                 \
    X(EVENTUAL, "eventual", NULL, "what this node knows, not what the home says")                  \
    X(DRY_RUN, "dry-run", NULL, "only say what would happen")                                      \
    X(NOW, "now", NULL, "cancel what is under way instead of waiting for it")                      \
    X(MAN, "man", NULL, "print the manual page, as troff")                                         \
    X(MARKDOWN, "markdown", NULL, "print the same as Markdown")                                    \
    X(HELP, "help", NULL, "explain the command")

typedef enum cli_option {
#define X(name, text, value, meaning) CLI_OPTION_##name,
    CLI_OPTION_MAP(X)
#undef X
    CLI_OPTION_COUNT
} cli_option;

#define CLI_TAKES(name) (1u << CLI_OPTION_##name)
#define CLI_TAKES_NODE (CLI_TAKES(SOCKET) | CLI_TAKES(JSON))
/* What also makes sense from afar: admin_codec.h lets the same in. */
#define CLI_TAKES_FAR                                                                              \
    (CLI_TAKES_NODE | CLI_TAKES(CONNECT) | CLI_TAKES(TOKEN) | CLI_TAKES(CERTIFICATE) |             \
     CLI_TAKES(KEY) | CLI_TAKES(AUTHORITY) | CLI_TAKES(NAME))
/* Arguments and options go on as they are: the command is another program's. */
#define CLI_TAKES_ALL (1u << 31)

/* X(name, "arguments", fewest, most, options, "summary", "details", "examples")
 * The details are whole paragraphs; each line of the examples is a command or its output. */
#define CLI_COMMAND_MAP(X)                                                                         \
    X(ask, "ID METHOD [PAYLOAD|-]", 2, 3,                                                          \
      CLI_TAKES_FAR | CLI_TAKES(TIMEOUT) | CLI_TAKES(CONTENT_TYPE) | CLI_TAKES(ONCE),              \
      "ask an actor and print its answer",                                                         \
      "An id is type/key, or type@partition/key. The actor is activated if it is not. A payload "  \
      "that is JSON is sent as JSON, any other as text; - reads it from standard input. With "     \
      "--once it happens once, however often it is asked, and is asked again, for as long as "     \
      "--timeout, when the node that serves it dies: for types that persist every turn.",          \
      "$ troupe ask account/alice deposit '{\"cents\": 500}'\n"                                    \
      "{\"balance\":500}\n"                                                                        \
      "$ troupe ask account/alice show --timeout 250ms\n"                                          \
      "$ troupe ask account/alice deposit '{\"cents\": 500}' --once invoice-4711\n"                \
      "$ troupe ask image/42 put - --content-type image/png < 42.png")                             \
    X(tell, "ID METHOD [PAYLOAD|-]", 2, 3,                                                         \
      CLI_TAKES_FAR | CLI_TAKES(TIMEOUT) | CLI_TAKES(CONTENT_TYPE),                                \
      "send to an actor and do not wait for it",                                                   \
      "Success means that the node took the message, not that the actor has run. A timeout is "    \
      "the time until which it must have started.",                                                \
      "$ troupe tell account/alice deposit '{\"cents\": 500}'")                                    \
    X(actors, "[PATTERN]", 0, 1, CLI_TAKES_FAR | CLI_TAKES(TYPE) | CLI_TAKES(LIMIT),               \
      "list active actors",                                                                        \
      "PATTERN is matched with keys, or with type and key if it has a slash; * stands for any "    \
      "bytes, ? for one. Nothing is activated.",                                                   \
      "$ troupe actors\n"                                                                          \
      "$ troupe actors 'account/a*' --limit 10\n"                                                  \
      "$ troupe actors --type account --json")                                                     \
    X(lookup, "ID", 1, 1, CLI_TAKES_FAR | CLI_TAKES(EVENTUAL) | CLI_TAKES(TIMEOUT),                \
      "say where an actor is and how it fares",                                                    \
      "The home of the id is asked, whichever node has the actor. It fails with NOT_FOUND if the " \
      "actor is not active, and does not activate it.",                                            \
      "$ troupe lookup account/alice\n"                                                            \
      "account/alice  node-1/0  active  activations 1  age 12.0 s  last 0.4 s ago  received 3  "   \
      "errors 0")                                                                                  \
    X(discover, "[PATTERN]", 0, 1,                                                                 \
      CLI_TAKES_FAR | CLI_TAKES(TYPE) | CLI_TAKES(LIMIT) | CLI_TAKES(AFTER) |                      \
      CLI_TAKES(TIMEOUT),                                                                          \
      "list the active actors of all nodes",                                                       \
      "PATTERN as for actors. In pages: --after continues where the last one ended. Actors of "    \
      "stateless workers are not listed.",                                                         \
      "$ troupe discover 'account/a*' --limit 10\n"                                                \
      "ACTOR          NODE\n"                                                                      \
      "account/alice  node-2\n"                                                                    \
      "$ troupe discover 'account/*' --after 3.0.4711")                                            \
    X(nodes, "", 0, 0, CLI_TAKES_FAR,                                                              \
      "list the nodes of the cluster",                                                             \
      "As the node that is asked sees them: which is itself, and which may be dead; how much of "  \
      "the shards' time goes into turns, how much of the memory limit is in use, how long a round "\
      "trip takes. HEALTHY: active, not suspected, and its lease holds.",                          \
      "$ troupe nodes\n"                                                                           \
      "NODE    INCARNATION  STATUS  HEALTHY  ADDRESS          SHARDS  CPU  MEMORY  ACTORS  "       \
      "DISTANCE  TYPES\n"                                                                          \
      "node-1            1  active  yes      127.0.0.1:34127       2  7 %     1 %     120  "       \
      "       -  account  (this)\n"                                                                \
      "node-2            2  active  yes      127.0.0.1:40233       2  3 %     1 %      98  "       \
      "  0.1 ms  account")                                                                         \
    X(view, "", 0, 0, CLI_TAKES_FAR,                                                               \
      "print the view of the cluster and its last changes",                                        \
      "",                                                                                          \
      "$ troupe view\n"                                                                            \
      "view 3 of troupe: 2 members, this is node-1 (1, member), lease 2.1 s of 3.0 s")             \
    X(migrate, "ID NODE", 2, 2, CLI_TAKES_NODE | CLI_TAKES(TIMEOUT),                               \
      "move an active actor to another node",                                                      \
      "With its state, what waits for it and its timers; turns in progress end first, and no "     \
      "call fails. It fails with NOT_FOUND if the actor is not active, or no node is called so.",  \
      "$ troupe migrate account/alice node-2\n"                                                    \
      "account/alice is at node-2, after 2.1 ms")                                                  \
    X(preload, "[PATTERN]", 0, 1, CLI_TAKES_NODE | CLI_TAKES(TYPE) | CLI_TAKES(TIMEOUT),           \
      "let the node learn where actors are, before it is asked for them",                          \
      "PATTERN as for actors. It puts the active actors of other nodes into the location cache "   \
      "of this one while there is room, so that its first call to each goes there at once.",       \
      "$ troupe preload 'account/*'\n"                                                             \
      "node-1 has learned where 4711 more actors are")                                             \
    X(rebalance, "", 0, 0, CLI_TAKES_NODE | CLI_TAKES(DRY_RUN) | CLI_TAKES(TIMEOUT),               \
      "give actors of the node to less loaded ones",                                               \
      "At once, and as rebalance_interval has it done: by the loads that the nodes have told each "\
      "other, at most 100 actors; no call fails. LOAD is what each of the two nodes carries, 1 "   \
      "is the mean; COST is in bytes. Each node gives its own actors: ask the one that has most.", \
      "$ troupe rebalance --dry-run\n"                                                             \
      "ACTOR          FROM    TO      COST  LOAD\n"                                                \
      "account/alice  node-1  node-2  4184  1.52 to 0.48\n"                                        \
      "node-1 carries 1.52 of the mean of 2 nodes, 1.01 without these: 1 to move, none moved")     \
    X(drain, "[NODE]", 0, 1, CLI_TAKES_NODE,                                                       \
      "let the node leave its cluster in order, and stop",                                         \
      "What it has accepted ends, its actors are deactivated, and the others take over. NODE is "  \
      "a check: it has to be the one that is asked.",                                              \
      "$ troupe drain node-2 --socket dev/node-2.sock")                                            \
    X(cluster, "up [-n N] --load FILE [OPTIONS]", 0, 0, CLI_TAKES_ALL,                             \
      "start a cluster of N nodes on this machine, until Ctrl-C",                                  \
      "Each node is a trouped with a socket and a log of its own in a folder (--folder, else "     \
      "troupe-cluster); all other options are trouped's. N is 3 if not given.",                    \
      "$ troupe cluster up -n 3 --load ./libbank.so\n"                                             \
      "$ troupe nodes --socket troupe-cluster/node-1.sock")                                        \
    X(ps, "", 0, 0, CLI_TAKES_FAR | CLI_TAKES(LIMIT),                                              \
      "list parked turns: what waits for what, and how long",                                      \
      "A turn parks when it asks another actor, sleeps, or waits for a job.",                      \
      "$ troupe ps\n"                                                                              \
      "ACTOR          METHOD    WAITS  FOR\n"                                                      \
      "account/alice  transfer  1.2 s  account/bob deposit")                                       \
    X(where, "ID", 1, 1, CLI_TAKES_FAR,                                                            \
      "say what an actor waits for, and its stack",                                                \
      "It follows the asks from actor to actor, so that one sees who is at the end of the queue.", \
      "$ troupe where account/alice\n"                                                             \
      "parked 1.2 s in transfer, waiting for account/bob deposit, which sleeps\n"                  \
      "    transfer+0x5f (libbank.so+0x14ef)")                                                     \
    X(store, "", 0, 0, CLI_TAKES_NODE | CLI_TAKES(CHECK),                                          \
      "say what the store gives, and whether it is well",                                          \
      "Exit code 1 if it is not. --check reads all of it, where the store can: sqlite takes "      \
      "seconds for each gigabyte, in which nothing is stored.",                                    \
      "$ troupe store\n"                                                                           \
      "sqlite 3.40.1, state.db: one node; WAL, synchronous FULL: P5: what was answered "           \
      "survives the end of process and machine\n"                                                  \
      "it is well\n"                                                                               \
      "$ troupe store --check")                                                                    \
    X(state, "ID", 1, 1, CLI_TAKES_NODE,                                                           \
      "print the stored state of an actor",                                                        \
      "It is read from the store: the actor is neither activated nor disturbed. A state without "  \
      "a schema is in --json, as base64.",                                                         \
      "$ troupe state account/alice\n"                                                             \
      "account/alice  version 7  2026-11-22T20:15:01Z  once 1\n"                                   \
      "{\"balance\":500,\"owner\":\"nobody\"}")                                                    \
    X(stored, "TYPE", 1, 1, CLI_TAKES_NODE | CLI_TAKES(AFTER) | CLI_TAKES(LIMIT),                  \
      "list the stored actors of a type",                                                          \
      "In the order of their ids, active or not; --after continues behind the last one seen.",     \
      "$ troupe stored account --limit 1000\n"                                                     \
      "$ troupe stored account --after account/m")                                                 \
    X(snapshots, "ID", 1, 1,                                                                       \
      CLI_TAKES_NODE | CLI_TAKES(LIMIT) | CLI_TAKES(SHOW) | CLI_TAKES(RESTORE) |                   \
      CLI_TAKES(TIMEOUT),                                                                          \
      "list, show or restore the kept states of an actor",                                         \
      "A restore is a commit of the actor: it gets a new version, and its reminders, outbox and "  \
      "calls once stay as they are.",                                                              \
      "$ troupe snapshots account/alice\n"                                                         \
      "$ troupe snapshots account/alice --show 5\n"                                                \
      "$ troupe snapshots account/alice --restore 5")                                              \
    X(dead, "ID", 1, 1,                                                                            \
      CLI_TAKES_NODE | CLI_TAKES(REPLAY) | CLI_TAKES(DROP) | CLI_TAKES(TIMEOUT),                   \
      "list, send again or drop the dead letters of an actor",                                     \
      "A dead letter is a message of its outbox that was refused for good, or ran out of time.",   \
      "$ troupe dead account/alice\n"                                                              \
      "$ troupe dead account/alice --replay 12.0")                                                 \
    X(reminders, "ID", 1, 1, CLI_TAKES_NODE | CLI_TAKES(CANCEL) | CLI_TAKES(TIMEOUT),              \
      "list or cancel the reminders of an actor",                                                  \
      "They are read from the store, the next that is due first: the actor is neither activated "  \
      "nor disturbed. To cancel one is a turn of the actor.",                                      \
      "$ troupe reminders account/alice\n"                                                         \
      "NAME      NUMBER  DUE                   SCHEDULE    METHOD\n"                               \
      "interest      12  2026-12-01T00:00:00Z  @monthly    accrue\n"                               \
      "$ troupe reminders account/alice --cancel interest")                                        \
    X(delete, "ID", 1, 1, CLI_TAKES_NODE | CLI_TAKES(YES) | CLI_TAKES(TIMEOUT),                    \
      "delete an actor for good",                                                                  \
      "Its state, snapshots, reminders, outbox and dead letters go. A later message activates "    \
      "it as if it had never been stored.",                                                        \
      "$ troupe delete account/alice --yes")                                                       \
    X(stats, "[ID]", 0, 1, CLI_TAKES_FAR,                                                          \
      "print what the node, or one actor, has counted and measured",                               \
      "Counters are since the start of the node; times are sampled; what is said of a second is "  \
      "of the last one or two. With ID that actor, whichever node of the cluster has it.",         \
      "$ troupe stats\n"                                                                           \
      "$ troupe stats --json | jq .counters.turns\n"                                               \
      "$ troupe stats account/alice\n"                                                             \
      "account/alice  node-1/0  active  up 12.0 s  last 0.4 s ago\n"                               \
      "received 3  processed 3  errors 0  queued 0  parked 0  280 bytes")                          \
    X(metrics, "", 0, 0, CLI_TAKES_FAR,                                                            \
      "print the metrics of the node as Prometheus reads them",                                    \
      "The text exposition format, version 0.0.4; docs/metrics.md says what each metric is.",      \
      "$ troupe metrics | grep '^troupe_actors'")                                                  \
    X(types, "", 0, 0, CLI_TAKES_FAR,                                                              \
      "list the actor types of the node and their methods",                                        \
      "",                                                                                          \
      "$ troupe types\n"                                                                           \
      "account  deposit withdraw show transfer")                                                   \
    X(deactivate, "ID", 1, 1, CLI_TAKES_NODE,                                                      \
      "deactivate an actor as soon as it is idle",                                                 \
      "The next message activates it again. A state that is not persistent is lost.",              \
      "$ troupe deactivate account/alice")                                                         \
    X(config, "[FILE]", 0, 1,                                                                      \
      CLI_TAKES_NODE | CLI_TAKES(DEFAULTS) | CLI_TAKES(EXPLAIN) | CLI_TAKES(CHECK) |               \
      CLI_TAKES(RELOAD),                                                                           \
      "print the options of the running node, explain them, check a file, or reload",              \
      "With --defaults, --explain or --check no node is needed. --check tells every error of a "   \
      "configuration file of trouped, with line and column; it resolves references, and looks at " \
      "neither modules, flags nor the environment's options. Exit code 1: there are errors. "      \
      "--reload has the node take what can change while it runs (RELOAD in --defaults), and tells "\
      "which changes need a restart; a configuration that is wrong changes nothing: exit code 1.", \
      "$ troupe config\n"                                                                          \
      "$ troupe config --defaults\n"                                                               \
      "$ troupe config --check node-1.yaml\n"                                                      \
      "node-1.yaml: ok\n"                                                                          \
      "$ troupe config --explain max_actors\n"                                                     \
      "$ troupe config --reload\n"                                                                 \
      "idle    5m  taken\n"                                                                        \
      "shards  8   needs a restart")                                                               \
    X(ping, "", 0, 0, CLI_TAKES_FAR,                                                               \
      "see whether a node answers",                                                                \
      "",                                                                                          \
      "$ troupe ping\n"                                                                            \
      "node-1 0.1.0, pid 4711")                                                                    \
    X(shutdown, "", 0, 0, CLI_TAKES_NODE | CLI_TAKES(NOW),                                         \
      "stop the node",                                                                             \
      "It ends what it has accepted and refuses what is new. With --now asks under way are "       \
      "cancelled.",                                                                                \
      "$ troupe shutdown")                                                                         \
    X(sim, "[OPTIONS]", 0, 0, CLI_TAKES_ALL,                                                       \
      "run the simulator: many random schedules, each repeatable from its seed",                   \
      "Its options are explained by troupe sim --help.",                                           \
      "$ troupe sim --seeds 1000\n"                                                                \
      "$ troupe sim --seed 4711")                                                                  \
    X(bench, "[GROUP]", 0, 0, CLI_TAKES_ALL,                                                       \
      "measure this machine (groups core and state)",                                              \
      "It runs the program bench_GROUP of the same build; further options go to it: see troupe "   \
      "bench --help.",                                                                             \
      "$ troupe bench\n"                                                                           \
      "$ troupe bench state --only durable_turns_sqlite")                                          \
    X(demo, "[OPTIONS]", 0, 0, CLI_TAKES_ALL,                                                      \
      "do a real job: rank this machine's packages, one actor each",                               \
      "It runs the program example_packages of the same build; further options go to it (--help "  \
      "names them). On one node, twice; with --nodes N once, on a cluster of N processes.",        \
      "$ troupe demo\n"                                                                            \
      "$ troupe demo --nodes 3 --quick")                                                           \
    X(completion, "[SHELL]", 0, 1, 0,                                                              \
      "print the completion for bash, or for zsh",                                                 \
      "Of troupe and of trouped: commands, options, files; and types, methods and nodes, which "   \
      "the running node is asked for.",                                                            \
      "$ source <(troupe completion)\n"                                                            \
      "$ source <(troupe completion zsh)")                                                         \
    X(version, "", 0, 0, CLI_TAKES(JSON),                                                          \
      "print the version",                                                                         \
      "",                                                                                          \
      "$ troupe version")                                                                          \
    X(help, "[COMMAND]", 0, 1, CLI_TAKES(MAN) | CLI_TAKES(MARKDOWN),                               \
      "explain everything, or one command",                                                        \
      "",                                                                                          \
      "$ troupe help ask")

typedef struct cli_context cli_context;

typedef struct cli_command {
    const char *name;
    cli_exit (*run)(const cli_context *context);
    const char *arguments;
    int fewest;
    int most;
    unsigned options;
    const char *summary;
    const char *details;
    const char *examples;
} cli_command;

struct cli_context {
    const cli_command *command;
    const char *arguments[4];
    int argument_count;
    const char *values[CLI_OPTION_COUNT]; /* "" for a given option without value; NULL: not given */
    char **rest;                          /* of CLI_TAKES_ALL: from the command's name, NULL ends */
    uint64_t timeout;                     /* ns; 0: none given */
};

extern const cli_command cli_commands[];
extern const int cli_command_count;

const cli_command *cli_command_find(const char *name);
const char *cli_option_name(cli_option option);
const char *cli_option_value(cli_option option);   /* NULL: it takes none */
const char *cli_option_meaning(cli_option option);

static inline bool cli_has(const cli_context *context, cli_option option)
{
    return context->values[option] != NULL;
}

#define X(name, arguments, fewest, most, options, summary, details, examples)                      \
    cli_exit cli_run_##name(const cli_context *context);
CLI_COMMAND_MAP(X)
#undef X

/* "troupe: …" on standard error, and the exit code. */
cli_exit cli_fail(cli_exit code, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif

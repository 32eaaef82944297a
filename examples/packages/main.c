/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The demo: every package of this machine's Debian package index is an actor, every dependency a
 * message. It counts for each package how many depend on it, directly or not, and ranks them; then
 * it does so again with at most a tenth of the actors active, so that states go to a store and
 * come back. Or, with --nodes, it does so once on a cluster of that many processes. Every figure is
 * compared with a plain computation.
 *
 * Exit codes: 0 all figures are equal, 1 one differs or a run broke, 2 wrong options or no index.
 * Threads: main; see run.c.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "table.h"

enum { QUICK_PACKAGES = 3000, SHOWN_DIFFERENCES = 5, ROUNDS_MAX = 1000, LEAST_ACTORS = 64 };

struct choices {
    const char *index;
    const char *storage;
    uint32_t nodes;
    uint32_t shards;
    uint32_t rounds;
    bool quick;
    bool json;
};

static const char help[] =
    "usage: example_packages [options]\n"
    "\n"
    "Ranks the packages of a Debian package index by messages between actors, twice: with all\n"
    "actors active, and with a tenth of them; or once, on a cluster of processes. Fails if a "
    "figure\n"
    "is not that of a plain computation.\n"
    "\n"
    "  --index FILE   a package index instead of this machine's (`apt-cache dumpavail`, else "
    "dpkg's)\n"
    "  --nodes N      one run on a cluster of N processes, 2 to 16; 1: the two runs on one node\n"
    "                 (1)\n"
    "  --storage URL  where the second run, or the cluster, keeps states: sqlite:FILE (not with\n"
    "                 --nodes), redis://…, postgres://… (memory:)\n"
    "  --shards N     shards of a node (one per core; the nodes of a cluster share the cores)\n"
    "  --rounds N     rounds of rank (20)\n"
    "  --quick        only some 3,000 packages and what they depend on\n"
    "  --json         the result as JSON on standard output\n"
    "  --help         this text\n"
    "\n"
    "Exit codes: 0 all figures are equal, 1 they are not or a run broke, 2 wrong options or no "
    "index.\n";

static bool parse_number(const char *text, uint32_t least, uint32_t most, uint32_t *ret_number)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || number < least || number > most) {
        fprintf(stderr, "example_packages: %s is not a number from %u to %u\n", text, least, most);
        return false;
    }
    *ret_number = (uint32_t)number;
    return true;
}

/* Returns -1 to go on, else the exit code. */
static int parse_options(int argc, char **argv, struct choices *choices)
{
    static const struct option options[] = {{"index", required_argument, NULL, 'i'},
        {"storage", required_argument, NULL, 'o'}, {"nodes", required_argument, NULL, 'n'},
        {"shards", required_argument, NULL, 's'}, {"rounds", required_argument, NULL, 'r'},
        {"quick", no_argument, NULL, 'q'}, {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        bool good = true;
        switch (option) {
        case 'i':
            choices->index = optarg;
            break;
        case 'o':
            choices->storage = optarg;
            break;
        case 'n':
            good = parse_number(optarg, 1, NODES_MAX, &choices->nodes);
            break;
        case 's':
            good = parse_number(optarg, 1, 256, &choices->shards);
            break;
        case 'r':
            good = parse_number(optarg, 1, ROUNDS_MAX, &choices->rounds);
            break;
        case 'q':
            choices->quick = true;
            break;
        case 'j':
            choices->json = true;
            break;
        case 'h':
            fputs(help, stdout);
            return 0;
        default:
            good = false;
        }
        if (!good)
            break;
    }
    if (option == -1 && optind == argc)
        return -1;
    if (option == -1)
        fprintf(stderr, "example_packages: what is '%s'?\n", argv[optind]);
    fprintf(stderr, "example_packages: --help says what there is\n");
    return 2;
}

static bool read_index(const struct choices *choices, struct package_index *index)
{
    char error[400];
    if (!index_read(index, choices->index, error, sizeof(error))) {
        fprintf(stderr, "example_packages: %s\n", error);
        return false;
    }
    if (!choices->quick)
        return true;
    struct package_index part;
    if (!index_part(index, QUICK_PACKAGES, &part)) {
        fprintf(stderr, "example_packages: out of memory\n");
        index_deinit(index);
        return false;
    }
    index_deinit(index);
    *index = part;
    return true;
}

/* How many figures of a run differ from the plain ones; names the first of them. */
static uint32_t compare(const struct report *report, uint32_t run)
{
    const struct figures *plain = report->plain, *ours = &report->runs[run].figures;
    uint32_t different = 0, wrong = 0;
    for (uint32_t i = 0; i < report->index->count; i++) {
        uint32_t here = plain->closures[i] != ours->closures[i] ? 1 : 0;
        here += plain->ranks[i] != ours->ranks[i] ? 1 : 0;
        different += here;
        if (here == 0 || wrong++ >= SHOWN_DIFFERENCES)
            continue;
        fprintf(stderr, "package/%s: closure %u, plain %u; rank %llu, plain %llu\n",
            report->index->names[i], ours->closures[i], plain->closures[i],
            (unsigned long long)ours->ranks[i], (unsigned long long)plain->ranks[i]);
    }
    return different;
}

/* True if the run ended and all its figures are equal. */
static bool do_run(const struct choices *choices, struct report *report, FILE *out)
{
    char error[400] = "";
    uint32_t number = report->run_count;
    const struct run_options options = {
        .index = report->index,
        .storage = choices->storage,
        .nodes = choices->nodes,
        .shards = choices->shards,
        .rounds = choices->rounds,
        .max_actors = report->max_actors[number],
    };
    if (!run_all(&options, &report->runs[number], error, sizeof(error))) {
        fprintf(stderr, "example_packages: %s: %s\n", report->titles[number], error);
        return false;
    }
    report->run_count++;
    report->different[number] = compare(report, number);
    if (out != NULL)
        table_print_run(out, report, number);
    return report->different[number] == 0;
}

static bool do_all(const struct choices *choices, const struct package_index *index)
{
    FILE *out = choices->json ? NULL : stdout;
    struct figures plain;
    struct report report = {
        .index = index,
        .plain = &plain,
        .titles = {"all actors active", "a tenth of the actors active, the others in the store"},
        .max_actors = {0, index->count / 10 > LEAST_ACTORS ? index->count / 10 : LEAST_ACTORS},
        .rounds = choices->rounds,
        .nodes = choices->nodes,
    };
    uint32_t runs = RUNS;
    if (choices->nodes > 1) {
        report.titles[0] = "a cluster, each node a process";
        runs = 1;
    }
    bool good = figures_init(&plain, index->count) && plain_compute(index, choices->rounds, &plain);
    if (!good)
        fprintf(stderr, "example_packages: out of memory\n");
    if (good && out != NULL) {
        table_print_index(out, index);
        table_print_plain(out, &report);
        fflush(out);
    }
    for (uint32_t i = 0; good && i < runs; i++)
        good = do_run(choices, &report, out);
    if (report.run_count > 0 && out != NULL)
        table_print_top(out, &report);
    if (report.run_count > 0 && out == NULL)
        table_print_json(stdout, &report);
    for (uint32_t i = 0; i < report.run_count; i++)
        figures_deinit(&report.runs[i].figures);
    figures_deinit(&plain);
    return good;
}

int main(int argc, char **argv)
{
    struct choices choices = {.storage = "memory:", .nodes = 1, .rounds = 20};
    struct package_index index;
    int code = parse_options(argc, argv, &choices);
    if (code >= 0)
        return code;
    if (!read_index(&choices, &index))
        return 2;
    bool good = do_all(&choices, &index);
    index_deinit(&index);
    return good ? 0 : 1;
}

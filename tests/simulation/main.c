/* etx-sim, which `etx sim` runs: seeds, one seed again as a story, exploration. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "explore/explore.h"
#include "run.h"

static const char help[] =
    "Usage: etx sim [--seeds A..B | --seconds S] [--jobs N] [--json]\n"
    "       etx sim --seed N [--trace [--only GID]] [--without FAULT,...] [--clients LIST]\n"
    "              [--transactions N] [--nodes N] [--busy-ms N] [--json]\n"
    "       etx sim --explore list | all | quick | CONFIG [--states N] [--seconds S] [--fair N]\n"
    "                         [--trace] [--replay ACTIONS] [--json]\n"
    "\n"
    "Looks for a broken promise: whole nodes, made of the real library, on one simulated clock, "
    "with\n"
    "stores, participants and clients that fail in every way that they may. Each seed draws which\n"
    "faults there are and how often. Then the faults stop, and everything must end: every branch "
    "of\n"
    "a transaction in agreement, every answer true, no money made or lost.\n"
    "--explore does all that can happen to a small configuration of the real core, breadth-first.\n"
    "\n"
    "Options:\n"
    "      --seeds A..B           these (default: 1..1000)\n"
    "      --seconds S            as many as fit, from --seeds' first on\n"
    "  -j, --jobs N               processes (default: the processors)\n"
    "      --seed N               one seed again: the same, bit for bit\n"
    "      --trace                tells what happens, a line each\n"
    "      --only GID             ... of this transaction and its kin, and of nodes and stores\n"
    "      --without FAULT,...    leaves faults out (--faults names them)\n"
    "      --clients LIST         only these: 3,17,40..42\n"
    "      --transactions N       at most so many\n"
    "      --nodes N              at most so many\n"
    "      --busy-ms N            faults stop after it (default: 12000)\n"
    "      --faults               names the faults\n"
    "      --digest               prints one number for all that happened, the same everywhere\n"
    "      --json                 one JSON object\n"
    "  -h, --help                 this text\n"
    "\n"
    "Examples:\n"
    "  etx sim --seeds 1..100000\n"
    "  etx sim --seconds 3600 --seeds 1000000..\n"
    "  etx sim --seed 4711 --trace --only order-7\n"
    "\n"
    "Exit codes:\n"
    "  0  no promise was broken\n"
    "  1  one was: the seed, the story, and the line that replays it are printed\n"
    "  2  bad usage\n";

typedef struct words {
    run_many_options many;
    sim_options one;
    int single, seeds, trace, json;
} words;

static int say_usage(const char *what, const char *word) {
    fprintf(stderr, "etx sim: %s: %s\netx sim: see etx sim --help\n", what, word);
    return 2;
}

static int read_number(const char *text, uint64_t *ret_number) {
    char *end = NULL;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != 0 || text[0] == '-') {
        return 0;
    }
    *ret_number = number;
    return 1;
}

/* "A..B", "A.." or "A". */
static int read_range(const char *text, run_many_options *many) {
    char first[32];
    const char *dots = strstr(text, "..");
    size_t len = dots != NULL ? (size_t)(dots - text) : strlen(text);
    if (len == 0 || len >= sizeof first) {
        return 0;
    }
    memcpy(first, text, len);
    first[len] = 0;
    if (!read_number(first, &many->first)) {
        return 0;
    }
    many->last = dots == NULL ? many->first : UINT64_MAX / 4;
    return dots == NULL || dots[2] == 0 ||
           (read_number(dots + 2, &many->last) && many->last >= many->first);
}

static int read_faults(const char *text, uint64_t *ret_without) {
    while (*text != 0) {
        size_t len = strcspn(text, ",");
        int found = 0;
        for (int i = 0; i < SIM_FAULTS; i++) {
            const char *name = sim_fault_name((sim_fault)i);
            if (strlen(name) == len && strncmp(name, text, len) == 0) {
                *ret_without |= 1ull << i;
                found = 1;
            }
        }
        if (!found) {
            return 0;
        }
        text += len + (text[len] == ',');
    }
    return 1;
}

/* "3,17,40..42": all others are absent. */
static int read_clients(const char *text, sim_options *one) {
    memset(one->absent, 1, sizeof one->absent);
    while (*text != 0) {
        char *end = NULL;
        unsigned long first = strtoul(text, &end, 10);
        unsigned long last = first;
        if (end == text || text[0] == '-' || text[0] == '+') {
            return 0;
        }
        if (strncmp(end, "..", 2) == 0) {
            text = end + 2;
            last = strtoul(text, &end, 10);
        }
        if (end == text || last < first || last >= SIM_PLANS || (*end != ',' && *end != 0)) {
            return 0;
        }
        for (unsigned long i = first; i <= last; i++) {
            one->absent[i] = 0;
        }
        text = end + (*end == ',');
    }
    return 1;
}

enum {
    SEEDS = 256,
    SECONDS,
    SEED,
    TRACE,
    ONLY,
    WITHOUT,
    TRANSACTIONS,
    FAULTS,
    DIGEST,
    JSON,
    CLIENTS,
    NODES,
    BUSY
};

static const struct option longs[] = {{"seeds", required_argument, NULL, SEEDS},
                                      {"seconds", required_argument, NULL, SECONDS},
                                      {"jobs", required_argument, NULL, 'j'},
                                      {"seed", required_argument, NULL, SEED},
                                      {"trace", no_argument, NULL, TRACE},
                                      {"only", required_argument, NULL, ONLY},
                                      {"without", required_argument, NULL, WITHOUT},
                                      {"faults", no_argument, NULL, FAULTS},
                                      {"transactions", required_argument, NULL, TRANSACTIONS},
                                      {"clients", required_argument, NULL, CLIENTS},
                                      {"nodes", required_argument, NULL, NODES},
                                      {"busy-ms", required_argument, NULL, BUSY},
                                      {"digest", no_argument, NULL, DIGEST},
                                      {"json", no_argument, NULL, JSON},
                                      {"help", no_argument, NULL, 'h'},
                                      {NULL, 0, NULL, 0}};

static int read_seconds(const char *text, double *ret_seconds) {
    char *end = NULL;
    double seconds = strtod(text, &end);
    if (end == text || *end != 0 || !(seconds > 0) || seconds > 1e9) {
        return 0;
    }
    *ret_seconds = seconds;
    return 1;
}

/* One option. -1: go on; else the exit code. */
static int take_option(words *w, int option) {
    uint64_t number = 0;
    switch (option) {
        case SEEDS:
            w->seeds = 1;
            return read_range(optarg, &w->many) ? -1 : say_usage("no range A..B", optarg);
        case SECONDS:
            if (!read_seconds(optarg, &w->many.seconds)) {
                return say_usage("no number of seconds", optarg);
            }
            return -1;
        case 'j':
        case TRANSACTIONS:
        case NODES:
        case BUSY:
        case SEED:
            if (!read_number(optarg, &number) ||
                (option != SEED && (number < 1 || number > (option == BUSY ? 1000000 : 256)))) {
                return say_usage("no such number", optarg);
            }
            if (option == 'j') {
                w->many.jobs = (uint32_t)number;
            } else if (option == SEED) {
                w->one.seed = number;
                w->single = 1;
            } else if (option == NODES) {
                w->one.nodes = (uint32_t)number;
            } else if (option == BUSY) {
                w->one.busy_ms = (uint32_t)number;
            } else {
                w->one.plans = (uint32_t)number;
            }
            return -1;
        case TRACE:
            w->trace = 1;
            return -1;
        case ONLY:
            w->one.only = optarg;
            return -1;
        case WITHOUT:
            return read_faults(optarg, &w->one.without) ? -1 : say_usage("no such fault", optarg);
        case CLIENTS:
            return read_clients(optarg, &w->one) ? -1 : say_usage("no list of clients", optarg);
        case FAULTS:
            for (int i = 0; i < SIM_FAULTS; i++) {
                printf("%s\n", sim_fault_name((sim_fault)i));
            }
            return 0;
        case DIGEST:
            w->many.digest = 1;
            return -1;
        case JSON:
            w->json = 1;
            return -1;
        case 'h':
            fputs(help, stdout);
            return 0;
    }
    fputs("etx sim: see etx sim --help\n", stderr);
    return 2;
}

/* ---- telling */

static void print_clients(const sim_options *options) {
    const char *before = " --clients ";
    if (memchr(options->absent, 1, SIM_PLANS) == NULL) {
        return;
    }
    for (uint32_t i = 0; i < SIM_PLANS; i++) {
        uint32_t last = i;
        while (last + 1 < SIM_PLANS && !options->absent[i] && !options->absent[last + 1]) {
            last++;
        }
        if (!options->absent[i]) {
            printf(last > i ? "%s%u..%u" : "%s%u", before, i, last);
            before = ",";
            i = last;
        }
    }
}

static void print_replay(const sim_options *options, const char *gid) {
    printf("replay:  etx sim --seed %llu --trace", (unsigned long long)options->seed);
    if (options->plans > 0) {
        printf(" --transactions %u", options->plans);
    }
    print_clients(options);
    if (options->nodes > 0) {
        printf(" --nodes %u", options->nodes);
    }
    if (options->busy_ms > 0 && options->busy_ms != SIM_BUSY_MS) {
        printf(" --busy-ms %u", options->busy_ms);
    }
    const char *before = " --without ";
    for (int i = 0; i < SIM_FAULTS; i++) {
        if (options->without & (1ull << i)) {
            printf("%s%s", before, sim_fault_name((sim_fault)i));
            before = ",";
        }
    }
    printf(gid[0] != 0 ? " --only '%s'\n" : "%s\n", gid);
}

static int tell_failure(const run_result *failure, sim_options *options) {
    run_result shortest = *failure;
    printf("seed %llu breaks a promise: %s: %s\n", (unsigned long long)failure->seed,
           failure->promise, failure->story);
    fflush(stdout);
    options->seed = failure->seed;
    run_minimise(options, &shortest);
    printf("with as little as possible: %s: %s %s\n\n", shortest.promise, shortest.story,
           shortest.gid);
    options->only = shortest.gid[0] != 0 ? shortest.gid : NULL;
    run_story(options, stdout);
    printf("\n");
    print_replay(options, shortest.gid);
    return 1;
}

static void print_json(const run_total *total) {
    const sim_stats *s = &total->stats;
    printf(
        "{\"seeds\":%llu,\"broken\":%d,\"seconds\":%.1f,\"seeds_per_s\":%.1f,"
        "\"digest\":\"%016llx\",\"events\":%llu,\"transactions\":%llu,\"committed\":%llu,"
        "\"aborted\":%llu,\"crashes\":%llu,\"takeovers\":%llu,\"pauses\":%llu,\"puts\":%llu,"
        "\"unknown_puts\":%llu,\"calls\":%llu,\"moves\":%llu,\"outages\":%llu,"
        "\"failovers\":%llu,\"forced\":%llu,\"restarts\":%llu,"
        "\"late_puts\":%llu,\"erased\":%llu,\"regressed\":%llu,\"disk_errors\":%llu,"
        "\"disk_full\":%llu,\"flips\":%llu,\"refusals\":%llu,\"lies\":%llu,\"hangs\":%llu,"
        "\"handovers\":%llu,"
        "\"seed\":%llu,\"promise\":\"%s\"}\n",
        (unsigned long long)total->seeds, total->failure.broken, total->seconds,
        (double)total->seeds / total->seconds, (unsigned long long)total->digest,
        (unsigned long long)s->events, (unsigned long long)s->transactions,
        (unsigned long long)s->committed, (unsigned long long)s->aborted,
        (unsigned long long)s->crashes, (unsigned long long)s->takeovers,
        (unsigned long long)s->pauses, (unsigned long long)s->puts,
        (unsigned long long)s->unknown_puts, (unsigned long long)s->calls,
        (unsigned long long)s->moves, (unsigned long long)s->outages,
        (unsigned long long)s->failovers, (unsigned long long)s->forced,
        (unsigned long long)s->restarts, (unsigned long long)s->late_puts,
        (unsigned long long)s->erased, (unsigned long long)s->regressed,
        (unsigned long long)s->disk_errors, (unsigned long long)s->disk_full,
        (unsigned long long)s->flips, (unsigned long long)s->refusals, (unsigned long long)s->lies,
        (unsigned long long)s->hangs, (unsigned long long)s->handovers,
        (unsigned long long)total->failure.seed, total->failure.promise);
}

static void print_total(const run_total *total) {
    const sim_stats *s = &total->stats;
    printf(
        "%llu seeds in %.1f s (%.0f a second): %llu transactions (%llu committed, %llu aborted), "
        "%llu crashes, %llu takeovers, %llu pauses, %llu outages, %llu unknown puts\n",
        (unsigned long long)total->seeds, total->seconds, (double)total->seeds / total->seconds,
        (unsigned long long)s->transactions, (unsigned long long)s->committed,
        (unsigned long long)s->aborted, (unsigned long long)s->crashes,
        (unsigned long long)s->takeovers, (unsigned long long)s->pauses,
        (unsigned long long)s->outages, (unsigned long long)s->unknown_puts);
}

static void print_quoted(const char *text) {
    for (; *text != 0; text++) {
        printf(*text == '"' || *text == '\\' ? "\\%c" : (uint8_t)*text < 32 ? " " : "%c", *text);
    }
}

static void print_one_json(const run_result *result) {
    printf("{\"seed\":%llu,\"digest\":\"%016llx\",\"broken\":%d,\"promise\":\"",
           (unsigned long long)result->seed, (unsigned long long)result->digest, result->broken);
    print_quoted(result->promise);
    printf("\",\"story\":\"");
    print_quoted(result->story);
    printf("\",\"gid\":\"");
    print_quoted(result->gid);
    printf("\"}\n");
}

static int run_one(words *w) {
    run_result result;
    w->one.trace = w->trace ? stdout : NULL;
    run_apart(&w->one, &result);
    if (w->json) {
        print_one_json(&result);
        return result.broken;
    }
    printf("seed %llu, digest %016llx: %s%s%s\n", (unsigned long long)result.seed,
           (unsigned long long)result.digest, result.broken ? result.promise : "all promises held",
           result.broken ? ": " : "", result.story);
    return result.broken;
}

static int run_range(words *w) {
    run_total total;
    w->many.one = w->one;
    run_many(&w->many, &total);
    if (w->json) {
        print_json(&total);
        return total.failure.broken;
    }
    if (total.failure.broken) {
        return tell_failure(&total.failure, &w->one);
    }
    print_total(&total);
    if (w->many.digest) {
        printf("digest %016llx\n", (unsigned long long)total.digest);
    }
    printf("no promise was broken\n");
    return 0;
}

/* What does not go together. -1: nothing; else the exit code. */
static int check_words(const words *w) {
    if (!w->single && (w->trace || w->one.only != NULL)) {
        return say_usage("needs --seed", w->trace ? "--trace" : "--only");
    }
    if (w->single && (w->seeds || w->many.seconds > 0)) {
        return say_usage("does not go with --seed", w->seeds ? "--seeds" : "--seconds");
    }
    if (w->json && w->trace) {
        return say_usage("does not go with --json", "--trace");
    }
    return -1;
}

/* `--explore NAME` and `--explore=NAME`, wherever they stand: other words are the explorer's. */
static int explore_words(int argc, char **argv, char **ret_words) {
    int count = 0;
    int found = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--explore") == 0) {
            found = 1;
        } else if (strncmp(argv[i], "--explore=", 10) == 0) {
            found = 1;
            ret_words[count++] = argv[i] + 10;
        } else {
            ret_words[count++] = argv[i];
        }
    }
    return found ? count : -1;
}

int main(int argc, char **argv) {
    char *others[64];
    int count = argc <= 64 ? explore_words(argc, argv, others) : -1;
    for (int i = 0; i < count; i++) {
        if (strcmp(others[i], "--help") == 0 || strcmp(others[i], "-h") == 0) {
            fputs(help, stdout);
            return 0;
        }
    }
    if (count >= 0) {
        return etx__explore_main(count, others);
    }
    char name[] = "etx sim";
    argv[0] = name; /* what getopt's messages begin with */
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    words w = {
        .many = {.first = 1, .last = 1000, .jobs = processors > 1 ? (uint32_t)processors : 1}};
    for (int option; (option = getopt_long(argc, argv, "hj:", longs, NULL)) != -1;) {
        int code = take_option(&w, option);
        if (code >= 0) {
            return code;
        }
    }
    if (optind < argc) {
        return say_usage("an argument too many", argv[optind]);
    }
    int wrong = check_words(&w);
    if (wrong >= 0) {
        return wrong;
    }
    if (w.many.seconds > 0 && !w.seeds) {
        w.many.last = UINT64_MAX / 4;
    }
    return w.single ? run_one(&w) : run_range(&w);
}

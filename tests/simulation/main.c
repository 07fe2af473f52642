/* etx-sim, which `etx sim` runs: seeds, one seed again as a story, exploration. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "explore/explore.h"
#include "report.h"

static const char help[] =
    "Usage: etx sim [--seeds A..B | --seconds S] [--jobs N] [--json]\n"
    "       etx sim --seed N [--trace [--only GID]] [--without FAULT,...] [--clients LIST]\n"
    "              [--transactions N] [--nodes N] [--busy-ms N] [--json]\n"
    "       etx sim --explore list | all | quick | CONFIG [--states N] [--seconds S] [--fair N]\n"
    "              [--whole | --check] [--trace | --json]\n"
    "       etx sim --explore CONFIG --replay ACTIONS\n"
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
    "      --patience S           a seed that goes on for longer hangs: it is killed, and told as "
    "broken\n"
    "                             (default: 60; 0: never; with --trace only if it is given)\n"
    "      --faults               names the faults\n"
    "      --digest               prints one number for all that happened, the same everywhere\n"
    "      --json                 one JSON object\n"
    "  -h, --help                 this text\n"
    "\n"
    "Options of --explore:\n"
    "      --states N             stops a configuration after so many states (default: none is "
    "left)\n"
    "      --seconds S            ... after so many seconds\n"
    "      --fair N               runs one of N states to its end without faults (default: 16)\n"
    "      --whole                without reductions: tells states apart by every byte of them\n"
    "      --check                ... after all was explored with them: is everything there?\n"
    "      --trace                tells the way to the last state that was found\n"
    "      --replay ACTIONS       tells that way again\n"
    "      --json                 one JSON object\n"
    "\n"
    "Examples:\n"
    "  etx sim --seeds 1..100000\n"
    "  etx sim --seconds 3600 --seeds 1000000..\n"
    "  etx sim --seed 4711 --trace --only order-7\n"
    "\n"
    "Exit codes:\n"
    "  0  no promise was broken\n"
    "  1  one was: the seed, the story, and the line that replays it are printed\n"
    "  2  bad usage, or it could not run or tell\n"
    "  130, 143  broken off (Ctrl-C, SIGTERM): what held until then is printed\n";

enum { PATIENCE_S = 60 }; /* a seed takes some milliseconds */

typedef struct words {
    run_many_options many;
    sim_options one;
    int single, seeds, trace, json, patient;
} words;

static int say_usage(const char *what, const char *word) {
    fprintf(stderr, "etx sim: %s: %s\netx sim: see etx sim --help\n", what, word);
    return 2;
}

static int read_number(const char *text, uint64_t *ret_number) {
    char *end = NULL;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || *end != 0 || text[0] < '0' || text[0] > '9') {
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
    many->last = dots == NULL ? many->first : UINT64_MAX;
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
    BUSY,
    PATIENCE
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
                                      {"patience", required_argument, NULL, PATIENCE},
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
        case PATIENCE:
            if (!read_number(optarg, &number) || number > 1000000) {
                return say_usage("no number of seconds", optarg);
            }
            w->one.patience_s = (uint32_t)number;
            w->patient = 1;
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

static int run_one(words *w) {
    run_result result;
    w->one.trace = w->trace ? stdout : NULL;
    if (w->trace) {
        setvbuf(stdout, NULL, _IOLBF, 0); /* all of it, if the library ends or hangs */
    }
    if (w->trace && !w->patient) {
        w->one.patience_s = 0; /* who reads it may stop reading */
    }
    run_apart(&w->one, &result);
    if (w->json) {
        report_one_json(&result);
        return result.lost ? EXPLORE_LOST : result.broken;
    }
    printf("%sseed %llu, digest %016llx: %s%s%s\n", w->trace && result.hung ? "\n" : "",
           (unsigned long long)result.seed, (unsigned long long)result.digest,
           result.broken ? result.promise : "all promises held", result.broken ? ": " : "",
           result.story);
    return result.lost ? EXPLORE_LOST : result.broken;
}

static int run_range(words *w) {
    run_total total;
    w->many.one = w->one;
    run_many(&w->many, &total);
    if (w->json) {
        report_json(&total, &w->one);
        return report_code(&total);
    }
    if (total.failure.broken) {
        report_failure(&total.failure, &w->one);
        return report_code(&total);
    }
    report_total(&total);
    if (w->many.digest) {
        printf("digest %016llx\n", (unsigned long long)total.digest);
    }
    if (total.stopped != 0) {
        report_stop(&total, w->many.last);
        return report_code(&total);
    }
    printf(total.seeds > 0 ? "no promise was broken\n" : "no seed was run\n");
    return report_code(&total);
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
    int count = 1;
    int found = 0;
    ret_words[0] = argv[0];
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
    ret_words[count] = NULL;
    return found ? count : -1;
}

static int run(int argc, char **argv) {
    char name[] = "etx sim";
    argv[0] = name; /* what getopt's messages begin with */
    char *others[65];
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
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    words w = {
        .many = {.first = 1, .last = 1000, .jobs = processors > 1 ? (uint32_t)processors : 1},
        .one = {.patience_s = PATIENCE_S}};
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
        w.many.last = UINT64_MAX;
    }
    return w.single ? run_one(&w) : run_range(&w);
}

int main(int argc, char **argv) {
    int code = run(argc, argv);
    if (fflush(stdout) != 0 || ferror(stdout) || code == EXPLORE_LOST) {
        fputs("etx sim: writing the output failed\n", stderr);
        code = 2;
    }
    return code;
}

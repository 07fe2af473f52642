/* `etx sim --explore`: runs configurations, tells the shortest way to what is broken. */
#include "explore.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* A configuration is explored in a process of its own, so that a failed assertion of the core is
 * a finding like any other: what was done last stands in memory that both share. */

enum { WAYS_MAX = 400 * 1000 * 1000, ACTIONS = 1024 };

typedef struct request {
    const char *name; /* of a configuration, "all" or "quick" */
    explore_limits limits;
    const char *replay; /* actions, in hexadecimal, or NULL */
    uint8_t trace;      /* tell how the last state was reached */
    uint8_t json;
} request;

static void *share(size_t size) {
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        fprintf(stderr, "etx sim: explore: out of memory\n");
        exit(2);
    }
    return memory;
}

/* A child that ends with this process. */
static pid_t fork_tied(void) {
    pid_t parent = getpid();
    pid_t child = fork();
    if (child < 0) {
        perror("etx sim: explore: a process");
        exit(2);
    }
    if (child == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)) {
        _exit(2);
    }
    return child;
}

/* ---- options */

enum { STATES = 256, SECONDS, FAIR, WHOLE, CHECK, REPLAY, TRACE, JSON };

static const struct option longs[] = {{"states", required_argument, NULL, STATES},
                                      {"seconds", required_argument, NULL, SECONDS},
                                      {"fair", required_argument, NULL, FAIR},
                                      {"whole", no_argument, NULL, WHOLE},
                                      {"check", no_argument, NULL, CHECK},
                                      {"replay", required_argument, NULL, REPLAY},
                                      {"trace", no_argument, NULL, TRACE},
                                      {"json", no_argument, NULL, JSON},
                                      {NULL, 0, NULL, 0}};

static int say_usage(const char *what, const char *word) {
    fprintf(stderr, "etx sim: --explore: %s%s%s\netx sim: see etx sim --help\n", what,
            word[0] != 0 ? ": " : "", word);
    return 2;
}

static int read_number(const char *text, uint64_t max, uint64_t *ret_number) {
    char *end = NULL;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || *end != 0 || text[0] < '0' || text[0] > '9' || number < 1 || number > max) {
        return 0;
    }
    *ret_number = number;
    return 1;
}

/* Four hexadecimal digits an action. */
static int read_actions(const char *text, request *ret_request) {
    size_t len = strlen(text);
    ret_request->replay = text;
    return len % 4 == 0 && len / 4 <= ACTIONS && strspn(text, "0123456789abcdefABCDEF") == len;
}

/* 0, or the exit code. */
static int take_option(int option, request *ret_request) {
    explore_limits *limits = &ret_request->limits;
    uint64_t number = 0;
    switch (option) {
        case STATES:
            return read_number(optarg, UINT64_MAX, &limits->states_max)
                       ? 0
                       : say_usage("no number of states", optarg);
        case SECONDS:
            if (!read_number(optarg, UINT32_MAX, &number)) {
                return say_usage("no whole number of seconds", optarg);
            }
            limits->seconds = (uint32_t)number;
            return 0;
        case FAIR:
            if (!read_number(optarg, UINT32_MAX, &number)) {
                return say_usage("no such number", optarg);
            }
            limits->fair_every = (uint32_t)number;
            return 0;
        case WHOLE:
            limits->whole = 1;
            return 0;
        case CHECK:
            limits->check = 1;
            return 0;
        case REPLAY:
            return read_actions(optarg, ret_request) ? 0 : say_usage("no actions", optarg);
        case TRACE:
            ret_request->trace = 1;
            return 0;
        case JSON:
            ret_request->json = 1;
            return 0;
    }
    fputs("etx sim: see etx sim --help\n", stderr); /* getopt has said what is wrong */
    return 2;
}

/* 0, or the exit code. */
static int parse(int argc, char **argv, request *ret_request) {
    int code = 0;
    *ret_request = (request){.limits = {.fair_every = 16}};
    for (int option; code == 0 && (option = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        code = take_option(option, ret_request);
    }
    if (code != 0) {
        return code;
    }
    if (optind == argc) {
        return say_usage("what? list, all, quick, or the name of a configuration", "");
    }
    if (optind + 1 < argc) {
        return say_usage("an argument too many", argv[optind + 1]);
    }
    ret_request->name = argv[optind];
    if (ret_request->json && (ret_request->trace || ret_request->replay != NULL)) {
        return say_usage("does not go with --json", ret_request->trace ? "--trace" : "--replay");
    }
    if (ret_request->limits.whole && ret_request->limits.check) {
        return say_usage("does not go with --check", "--whole");
    }
    return 0;
}

/* ---- stories */

static void tell_story(const explore_config *config, const uint16_t *actions, unsigned count) {
    explorer x = {.config = config, .cores = explore_cores_make(config), .story = stdout};
    explore_world w;
    explore_world_make(&x, &w);
    for (unsigned i = 0; i < count && x.wrong == NULL; i++) {
        fprintf(stdout, "%3u.", i + 1);
        if (!explore_act(&x, &w, actions[i])) {
            fprintf(stdout, " (not possible here)\n");
        }
        fflush(stdout);
    }
    if (x.wrong == NULL) {
        explore_fair(&x, &w);
    }
    fprintf(stdout, "    %s\n", x.wrong != NULL ? x.wrong : "nothing is broken");
    int broken = x.wrong != NULL;
    explore_cores_free(x.cores);
    _exit(fflush(stdout) != 0 || ferror(stdout) ? EXPLORE_LOST : broken);
}

/* Tells it in a process of its own: it may end with a failed assertion. The exit code. */
static int tell_apart(const explore_config *config, const uint16_t *actions, unsigned count) {
    pid_t child = fork_tied();
    if (child == 0) {
        tell_story(config, actions, count);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (!WIFEXITED(status)) {
        printf("    the core's own assertion fails\n");
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int replay(const explore_config *config, const char *text) {
    uint16_t actions[ACTIONS];
    unsigned count = 0;
    while (strlen(text) >= 4 && count < ACTIONS) {
        char word[5] = {text[0], text[1], text[2], text[3], 0};
        actions[count++] = (uint16_t)strtoul(word, NULL, 16);
        text += 4;
    }
    return tell_apart(config, actions, count);
}

/* The actions that lead to the state `at`, and then `last` (or 0). */
static unsigned way_to(const explore_way *way,
                       uint64_t at,
                       uint16_t last,
                       uint16_t actions[ACTIONS]) {
    unsigned count = last != 0;
    for (uint64_t i = at; i > 1 && count < ACTIONS; i = way[i - 1].from) {
        count++;
    }
    unsigned to = count;
    if (last != 0) {
        actions[--to] = last;
    }
    for (uint64_t i = at; i > 1 && to > 0; i = way[i - 1].from) {
        actions[--to] = way[i - 1].action;
    }
    return count;
}

static void tell_way(const explore_config *config,
                     const explore_way *way,
                     uint64_t at,
                     uint16_t last) {
    uint16_t actions[ACTIONS];
    unsigned count = way_to(way, at, last, actions);
    tell_apart(config, actions, count);
    printf("To see it again: etx sim --explore %s --replay ", config->name);
    for (unsigned i = 0; i < count; i++) {
        printf("%04x", actions[i]);
    }
    printf("\n");
}

/* ---- running */

typedef struct totals {
    uint64_t states, transitions, fair;
    double seconds, cpu_seconds;
    unsigned configs, broken, open;
} totals;

static void print_row(const explore_config *config, const explore_found *found) {
    printf("%-22s %11llu %12llu %5u %8llu %9.1f %9.1f %9.0f  %s\n", config->name,
           (unsigned long long)found->states, (unsigned long long)found->transitions,
           (unsigned)found->depth, (unsigned long long)found->cores, found->seconds,
           found->cpu_seconds,
           (double)found->states / (found->cpu_seconds > 0 ? found->cpu_seconds : 1),
           found->complete ? "fixpoint" : "stopped");
    if (found->reduced > 0) {
        printf("%-22s %11llu states with the reductions stand for %s of these\n", "",
               (unsigned long long)found->reduced, found->broken ? "not all" : "all");
    }
    fflush(stdout);
}

static void print_json_row(const explore_config *config,
                           const explore_found *found,
                           int broken,
                           int follows) {
    printf(
        "%s{\"name\":\"%s\",\"states\":%llu,\"transitions\":%llu,\"depth\":%u,"
        "\"cores\":%llu,\"seconds\":%.1f,\"cpu_seconds\":%.1f,\"complete\":%s,"
        "\"broken\":%s,\"wrong\":\"%s\"}",
        follows ? "," : "", config->name, (unsigned long long)found->states,
        (unsigned long long)found->transitions, (unsigned)found->depth,
        (unsigned long long)found->cores, found->seconds, found->cpu_seconds,
        found->complete ? "true" : "false", broken ? "true" : "false",
        found->broken ? found->wrong : "");
    fflush(stdout);
}

static void run_one(const explore_config *config, const request *asked, totals *sum) {
    explore_found *found = share(sizeof *found);
    explore_way *way = share(WAYS_MAX * sizeof *way);
    pid_t child = fork_tied();
    if (child == 0) {
        explore_search(config, &asked->limits, found, way, WAYS_MAX);
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    int failed = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    if (asked->json) {
        print_json_row(config, found, failed || found->broken, sum->configs > 0);
    } else {
        print_row(config, found);
    }
    if (asked->json) {
        sum->broken += failed || found->broken;
    } else if (failed || found->broken) {
        sum->broken++;
        printf("BROKEN: %s: %s\nThe shortest way to it:\n", config->name,
               found->broken ? found->wrong : "an assertion failed");
        tell_way(config, way, found->at, found->action);
    } else if (asked->trace) {
        printf("The way to the last state that was found:\n");
        tell_way(config, way, found->states, 0);
    }
    sum->states += found->states;
    sum->transitions += found->transitions;
    sum->fair += found->fair;
    sum->seconds += found->seconds;
    sum->cpu_seconds += found->cpu_seconds;
    sum->open += !found->complete;
    sum->configs++;
    munmap(way, WAYS_MAX * sizeof *way);
    munmap(found, sizeof *found);
}

static int is_wanted(const request *asked, const explore_config *config) {
    return strcmp(asked->name, "all") == 0 || strcmp(asked->name, config->name) == 0 ||
           (strcmp(asked->name, "quick") == 0 && config->quick);
}

static void print_list(void) {
    const explore_config *config;
    for (unsigned i = 0; (config = explore_config_at(i)) != NULL; i++) {
        const explore_budget *b = &config->budget;
        printf(
            "%-22s %s%s\n%22s crashes %u, takeovers %u, outages %u, lost %u, duplicates %u, early "
            "timeouts %u, repeats %u, operator %u\n",
            config->name, config->about, config->quick ? " (quick)" : "", "", b->crashes,
            b->takeovers, b->outages, b->lost, b->duplicates, b->early, b->repeats, b->operators);
    }
}

static void print_list_json(void) {
    const explore_config *config;
    printf("{\"configurations\":[");
    for (unsigned i = 0; (config = explore_config_at(i)) != NULL; i++) {
        const explore_budget *b = &config->budget;
        printf(
            "%s{\"name\":\"%s\",\"about\":\"%s\",\"quick\":%s,\"crashes\":%u,"
            "\"takeovers\":%u,\"outages\":%u,\"lost\":%u,\"duplicates\":%u,"
            "\"early_timeouts\":%u,\"repeats\":%u,\"operator\":%u}",
            i > 0 ? "," : "", config->name, config->about, config->quick ? "true" : "false",
            b->crashes, b->takeovers, b->outages, b->lost, b->duplicates, b->early, b->repeats,
            b->operators);
    }
    printf("]}\n");
}

static int run_all(const request *asked) {
    const explore_config *config;
    totals sum = {0};
    int known = 0;
    for (unsigned i = 0; (config = explore_config_at(i)) != NULL; i++) {
        known |= is_wanted(asked, config);
    }
    if (!known) {
        fprintf(stderr, "etx sim: no configuration is called %s (--explore list names them)\n",
                asked->name);
        return 2;
    }
    if (asked->json) {
        printf("{\"configurations\":[");
    } else {
        printf("%-22s %11s %12s %5s %8s %9s %9s %9s\n", "configuration", "states", "transitions",
               "depth", "cores", "seconds", "of cpu", "states/s");
    }
    for (unsigned i = 0; (config = explore_config_at(i)) != NULL; i++) {
        if (is_wanted(asked, config)) {
            run_one(config, asked, &sum);
        }
    }
    if (asked->json) {
        printf("],\"broken\":%u}\n", sum.broken);
        return sum.broken > 0;
    }
    printf(
        "%u configurations (%u stopped before the fixpoint), %llu states, %llu transitions, "
        "%llu run to their end, %.0f s, of cpu %.0f s, %.0f states a second of cpu: %u broken\n",
        sum.configs, sum.open, (unsigned long long)sum.states, (unsigned long long)sum.transitions,
        (unsigned long long)sum.fair, sum.seconds, sum.cpu_seconds,
        (double)sum.states / (sum.cpu_seconds > 0 ? sum.cpu_seconds : 1), sum.broken);
    return sum.broken > 0;
}

int etx__explore_main(int argc, char **argv) {
    request asked;
    int code = parse(argc, argv, &asked);
    if (code != 0) {
        return code;
    }
    if (asked.replay == NULL) {
        if (strcmp(asked.name, "list") != 0) {
            return run_all(&asked);
        }
        if (asked.json) {
            print_list_json();
        } else {
            print_list();
        }
        return 0;
    }
    const explore_config *config;
    for (unsigned i = 0; (config = explore_config_at(i)) != NULL; i++) {
        if (strcmp(asked.name, config->name) == 0) {
            return replay(config, asked.replay);
        }
    }
    return say_usage("--replay needs the name of one configuration, not", asked.name);
}

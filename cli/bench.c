/* `etx bench`: transactions per second, latency and memory, with participants that do nothing. */
#include <string.h>

#include "bench.h"
#include "cli_dir.h"

enum { DURATION_MS = 5000, PAYLOAD = 16, LIVE = 100000, BLOCKING_MAX = 4096 };

static const cli_option options_table[] = {
    {"pattern", 'p', CLI_TEXT, offsetof(bench_options, pattern), "NAME",
     "tcc (default), saga, xa, message", 0, 0},
    {"branches", 'b', CLI_NUMBER, offsetof(bench_options, branches), "N",
     "of a transaction (default 3)", 1, ETX_BRANCHES_MAX},
    {"in-flight", 'n', CLI_NUMBER, offsetof(bench_options, in_flight), "N",
     "callers, or transactions at once (default 64)", 1, 20000000},
    {"callers", 'c', CLI_TEXT, offsetof(bench_options, callers), "HOW",
     "async (default): callbacks; blocking: threads,\nat most 4096", 0, 0},
    {"home", 'H', CLI_TEXT, offsetof(bench_options, home), "URL",
     "file:DIR (new, or empty), memory:, or the URL of a\nlog in a store that holds nothing: "
     "postgresql:,\nmariadb:, etcd:, redis: or rediss:; default:\n./etx-bench-XXXXXX, removed "
     "afterwards",
     0, 0},
    {"seconds", 's', CLI_TIME, offsetof(bench_options, duration_ms), "S",
     "how long is measured (default 5)", 50, 86400000},
    {"warm-up", 0, CLI_TIME, offsetof(bench_options, warm_ms), "S",
     "before that (default: a fifth of it)", 0, 86400000},
    {"payload", 0, CLI_NUMBER, offsetof(bench_options, payload), "BYTES",
     "of a branch (default 16)", 0, 1 << 20},
    {"wait", 0, CLI_TEXT, offsetof(bench_options, wait), "FOR",
     "ended (default), decided or begun ends the clock", 0, 0},
    {"shards", 0, CLI_NUMBER, offsetof(bench_options, shards), "N",
     "engine threads (default: the engine's own)", 1, 16},
    {"workers", 'w', CLI_FLAG, offsetof(bench_options, workers), NULL,
     "participants on the worker pool, not inline", 0, 0},
    {"slow", 0, CLI_FLAG, offsetof(bench_options, slow), NULL,
     "hold all calls until --in-flight transactions are\nthere: how many bytes is one?", 0, 0},
    {"live", 0, CLI_NUMBER, offsetof(bench_options, live), "N",
     "recovery: unfinished transactions (default 100000)", 0, 20000000},
    {"finished", 0, CLI_NUMBER, offsetof(bench_options, finished), "M",
     "recovery: finished and forgotten before (default 0)", 0, 0},
    {"remembered", 0, CLI_NUMBER, offsetof(bench_options, remembered), "R",
     "recovery: finished and remembered (default 0)", 0, 100000000},
    {"json", 'j', CLI_FLAG, offsetof(bench_options, json), NULL, "one JSON object", 0, 0},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, 0, 0},
};

static const cli_command command = {
    "[recovery] [options]",
    "Measures the engine on this machine. Its participants answer at once, in this process, so "
    "what\n"
    "is left is ETX and the disk. What one durable write costs is measured before and after, as "
    "the\n"
    "log itself writes; compare 'x sync' between machines, not the bare numbers. 'recovery' "
    "measures\n"
    "how long a start takes after a crash.",
    options_table,
    "  etx bench\n"
    "  etx bench --callers blocking --in-flight 1\n"
    "  etx bench --pattern saga --in-flight 1024 --seconds 10 --json\n"
    "  etx bench --in-flight 1000000 --slow\n"
    "  etx bench recovery --live 1000000 --remembered 1000000\n",
    "  0  measured\n"
    "  1  transactions failed or are refused, or not all were found again\n"
    "  2  bad usage, or it could not run\n"
    "  130  interrupted\n",
    0,
    1,
};

static int find_kind(cli_context *cli, const char *pattern, etx_kind *ret_kind) {
    int kind;
    for (kind = ETX_TCC; kind <= ETX_MESSAGE; kind++) {
        if (strcmp(pattern, etx_kind_name((etx_kind)kind)) == 0) {
            *ret_kind = (etx_kind)kind;
            return CLI_OK;
        }
    }
    return etx__cli_fail(cli, "tcc, saga, xa or message", "--pattern: '%s' is none", pattern);
}

static int check_options(cli_context *cli, const bench_options *options, const cli_args *args) {
    if (strcmp(options->callers, "async") != 0 && strcmp(options->callers, "blocking") != 0) {
        return etx__cli_fail(cli, "async or blocking", "--callers: '%s' is neither",
                             options->callers);
    }
    if (options->callers[0] == 'b' && options->in_flight > BLOCKING_MAX) {
        return etx__cli_fail(cli, "use fewer, or --callers async",
                             "--in-flight: %llu threads are too many: at most %d",
                             (unsigned long long)options->in_flight, BLOCKING_MAX);
    }
    if (options->wait != NULL && strcmp(options->wait, "ended") != 0 &&
        strcmp(options->wait, "decided") != 0 && strcmp(options->wait, "begun") != 0) {
        return etx__cli_fail(cli, "ended, decided or begun", "--wait: '%s' is none", options->wait);
    }
    if (args->count == 1 && strcmp(args->values[0], "recovery") != 0) {
        return etx__cli_fail(cli, "did you mean 'etx bench recovery'?", "unknown scenario '%s'",
                             args->values[0]);
    }
    if (args->count == 1 && options->slow) {
        return etx__cli_fail(cli, "leave one of them out", "recovery and --slow are two scenarios");
    }
    if (args->count == 1 && options->home != NULL && strncmp(options->home, "file:", 5) != 0) {
        return etx__cli_fail(cli, NULL, "recovery needs a log that outlives the engine: file:DIR");
    }
    return CLI_OK;
}

int etx__command_bench(cli_context *cli, int argc, char **argv) {
    bench_run run = {.cli = cli,
                     .options = {.pattern = "tcc",
                                 .callers = "async",
                                 .branches = 3,
                                 .in_flight = 64,
                                 .duration_ms = DURATION_MS,
                                 .warm_ms = UINT64_MAX,
                                 .payload = PAYLOAD,
                                 .live = UINT64_MAX}};
    bench_options *options = &run.options;
    cli_args args;
    int code = etx__cli_parse(cli, &command, argc, argv, options, &args);
    if (code != CLI_RUN) {
        return code;
    }
    if (find_kind(cli, options->pattern, &run.kind) != CLI_OK ||
        check_options(cli, options, &args) != CLI_OK) {
        return CLI_BAD;
    }
    if (options->warm_ms == UINT64_MAX) {
        options->warm_ms = options->duration_ms / 5 + 100;
    }
    if (options->live == UINT64_MAX) {
        options->live = args.count == 1 ? LIVE : 0;
    }
    etx__dir_guard();
    code = etx__bench_prepare(&run);
    if (code == CLI_OK && args.count == 1) {
        code = etx__bench_recovery(&run);
    } else if (code == CLI_OK) {
        code = options->slow ? etx__bench_slow(&run) : etx__bench_load(&run);
    }
    etx__bench_dispose(&run);
    return code;
}

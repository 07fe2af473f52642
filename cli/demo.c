/* `etx demo`: money moves between three databases while the coordinator is killed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli_dir.h"
#include "demo.h"

enum { DURATION_MS = 10000, KILLS = 20, KILLS_MAX = 100000 };

static const cli_option options_table[] = {
    {"dir", 'd', CLI_TEXT, offsetof(demo_options, dir), "DIR",
     "keep everything there (default: a temporary\ndirectory, removed afterwards)", 0, 0},
    {"seconds", 's', CLI_TIME, offsetof(demo_options, duration_ms), "N",
     "how long transfers are submitted (default 10)", 100, 86400000},
    {"kills", 'k', CLI_NUMBER, offsetof(demo_options, kills), "K",
     "how often the coordinator is killed (default 20);\nfewer if they need twice the time, at "
     "least 20 s more",
     0, KILLS_MAX},
    {"seed", 0, CLI_NUMBER, offsetof(demo_options, seed), "S",
     "of the transfers and the moments of the kills", 0, 0},
    {"json", 'j', CLI_FLAG, offsetof(demo_options, json), NULL, "one JSON object, nothing else", 0,
     0},
    {"audit", 0, CLI_FLAG, offsetof(demo_options, audit), NULL,
     "only audit what an earlier demo left in --dir", 0, 0},
    {"finish", 0, CLI_FLAG, offsetof(demo_options, finish), NULL,
     "finish what a demo left in --dir that was itself\nkilled, and audit it; nothing new is "
     "submitted",
     0, 0},
    {"tamper", 0, CLI_TEXT, offsetof(demo_options, tamper), "WHAT", NULL, 0, 0},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, 0, 0},
};

static const cli_command command = {
    "[--dir DIR [--audit|--finish]] [--seconds N] [--kills K] [--seed S] [--json]",
    "Three banks, each a SQLite database of its own. A coordinator process moves money between\n"
    "them, each transfer over two to four accounts, by TCC or as a saga; some are refused, "
    "because\n"
    "money is missing or an account is blocked. It is killed with SIGKILL again and again, also\n"
    "inside a bank's transaction, and started again. At the end the last one finishes what is\n"
    "left, and an audit compares ledgers, fences, log and the answers that initiators were given.",
    options_table,
    "  etx demo\n"
    "  etx demo --seconds 60 --kills 200\n"
    "  etx demo --dir ./demo && etx log show ./demo/log --type decide\n"
    "  sqlite3 ./demo/north.db 'UPDATE account SET balance = balance + 1 WHERE id = 7'\n"
    "  etx demo --audit --dir ./demo     finds the cent\n",
    "  0  every transfer is all or nothing, the money adds up, nothing is unfinished\n"
    "  1  the audit found otherwise: everything is kept, and the transfers or accounts are said\n"
    "  2  bad usage, or it could not run\n",
    0,
    0,
};

static int make_dir(cli_context *cli, const demo_options *options, char *dir, size_t size) {
    const char *parent = getenv("TMPDIR");
    if (options->dir == NULL) {
        if (parent == NULL || parent[0] == '\0') {
            parent = P_tmpdir;
        }
        return etx__dir_make_temporary(parent, "etx-demo", dir, size) == 0
                   ? CLI_OK
                   : etx__cli_fail(cli, NULL, "%s: %s", parent, strerror(errno));
    }
    if (strlen(options->dir) > size - 64) {
        return etx__cli_fail(cli, NULL, "--dir: the name is too long");
    }
    snprintf(dir, size, "%s", options->dir);
    if (options->audit) {
        return CLI_OK;
    }
    if (etx__dir_make_empty(dir) != 0) {
        return etx__cli_fail(
            cli, errno == ENOTEMPTY ? "name another, or: etx demo --audit --dir DIR" : NULL,
            "%s: %s", dir, strerror(errno));
    }
    return CLI_OK;
}

static int make_banks(cli_context *cli, const char *dir) {
    int i;
    for (i = 0; i < DEMO_BANKS; i++) {
        int code = etx__demo_bank_create(cli, dir, i);
        if (code != CLI_OK) {
            return code;
        }
    }
    return CLI_OK;
}

static void explain_start(cli_context *cli, const demo_options *options, const char *dir) {
    if (!options->json) {
        fprintf(cli->out, "Three banks in %s; the coordinator will be killed %llu %s in %.1f s.\n",
                dir, (unsigned long long)options->kills, etx__demo_times(options->kills),
                (double)options->duration_ms / 1e3);
        fflush(cli->out);
    }
}

static int run_demo(cli_context *cli, const demo_options *options, const char *dir) {
    demo_history history = {0};
    demo_findings findings;
    int code = CLI_OK;
    if (options->finish) {
        code = etx__demo_run(cli, options, dir, &history);
    } else if (!options->audit) {
        code = make_banks(cli, dir);
        if (code == CLI_OK) {
            explain_start(cli, options, dir);
            code = etx__demo_run(cli, options, dir, &history);
        }
    }
    if (code == CLI_OK) {
        code = etx__demo_audit(cli, dir, options->tamper, &findings);
    }
    if (code != CLI_OK) {
        return code;
    }
    if (options->json) {
        etx__demo_report_json(cli, options, dir, &history, &findings);
    } else {
        etx__demo_report_text(cli, options, dir, &history, &findings);
    }
    return etx__demo_is_sound(&findings) ? CLI_OK : CLI_NO;
}

int etx__command_demo(cli_context *cli, int argc, char **argv) {
    demo_options options = {.duration_ms = DURATION_MS, .kills = KILLS, .seed = UINT64_MAX};
    char dir[DEMO_PATH_MAX - 64];
    struct stat info;
    cli_args args;
    int code = etx__cli_parse(cli, &command, argc, argv, &options, &args);
    if (code != CLI_RUN) {
        return code;
    }
    options.audit |= options.finish;
    if (options.audit && (options.dir == NULL || stat(options.dir, &info) != 0)) {
        return etx__cli_fail(cli, "make one with: etx demo --dir DIR",
                             "--%s needs the --dir of a demo", options.finish ? "finish" : "audit");
    }
    if (options.seed == UINT64_MAX) {
        options.seed = etx__cli_now_ms() % 1000000;
    }
    etx__dir_guard();
    code = make_dir(cli, &options, dir, sizeof dir);
    if (code != CLI_OK) {
        return code;
    }
    code = run_demo(cli, &options, dir);
    if (options.dir == NULL && code != CLI_NO && etx__dir_remove(dir) != 0) {
        (void)etx__cli_fail(cli, NULL, "%s could not be removed: %s", dir, strerror(errno));
    }
    return code;
}

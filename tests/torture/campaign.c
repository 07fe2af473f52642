/* A campaign of the torture: its options, its jobs, and what is shown of them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../cli/cli_dir.h"
#include "torture.h"

enum { JOBS_MAX = 64, LINE_MS = 200 };

static const cli_option options_table[] = {
    {"minutes", 'm', CLI_TEXT, offsetof(torture_options, minutes), "M",
     "how long; fractions too (default 1)", 0, 0},
    {"seed", 's', CLI_NUMBER, offsetof(torture_options, seed), "N",
     "of the transactions and the faults", 0, 0},
    {"jobs", 'j', CLI_NUMBER, offsetof(torture_options, jobs), "J",
     "cells at the same time (default: two a processor)", 1, JOBS_MAX},
    {"dir", 'd', CLI_TEXT, offsetof(torture_options, dir), "DIR",
     "where the cells are made (default: a temporary\ndirectory, removed if all is well)", 0, 0},
    {"json", 0, CLI_FLAG, offsetof(torture_options, json), NULL, "one JSON object, nothing else", 0,
     0},
    {"audit", 0, CLI_TEXT, offsetof(torture_options, audit), "CELL",
     "only look at a cell that was kept", 0, 0},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, 0, 0},
};

static const cli_command command = {
    "[--minutes M] [--seed N] [--jobs J] [--dir DIR] [--json] | --audit CELL",
    "Coordinators of real transactions over real SQLite databases are killed and paused at random\n"
    "moments and at chosen points. After each round everything must have ended; then ledgers,\n"
    "fences, log and the answers that clients were given are compared.",
    options_table,
    "  scripts/torture --minutes 0.1\n"
    "  scripts/torture --minutes 2880 --dir /var/tmp/weekend\n",
    "  0  every promise was kept\n"
    "  1  one was broken: it says which, keeps the cell, and says what shows it\n"
    "  2  bad usage, or it could not run\n",
    0,
    0,
};

static int read_minutes(cli_context *cli, const char *text, double *ret_seconds) {
    char *end = NULL;
    double minutes = strtod(text, &end);
    if (end == text || *end != '\0' || !(minutes > 0) || minutes > 1e6) {
        return etx__cli_fail(cli, NULL, "--minutes: %s is no number of minutes", text);
    }
    *ret_seconds = minutes * 60;
    return CLI_RUN;
}

/* Nothing of anybody else's is touched: the directory is new, or empty. */
static int make_dir(cli_context *cli, const torture_options *options, char *dir, size_t size) {
    const char *parent = getenv("TMPDIR");
    if (options->dir == NULL) {
        if (parent == NULL || parent[0] == '\0') {
            parent = P_tmpdir;
        }
        return etx__dir_make_temporary(parent, "etx-torture", dir, size) == 0
                   ? CLI_RUN
                   : etx__cli_fail(cli, NULL, "%s: %s", parent, strerror(errno));
    }
    if (strlen(options->dir) > size - 1) {
        return etx__cli_fail(cli, NULL, "--dir: the name is too long");
    }
    snprintf(dir, size, "%s", options->dir);
    return etx__dir_make_empty(dir) == 0 ? CLI_RUN
                                         : etx__cli_fail(cli, NULL, "%s: %s", dir, strerror(errno));
}

static int start_job(cli_context *cli,
                     torture_totals *totals,
                     const char *dir,
                     uint64_t seed,
                     double deadline) {
    pid_t job;
    fflush(NULL);
    job = fork();
    if (job < 0) {
        return etx__cli_fail(cli, NULL, "fork: %s", strerror(errno));
    }
    if (job == 0) {
        /* Its own group: ^C reaches the parent alone, and that ends it in order. */
        (void)setpgid(0, 0);
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(torture_job_main(cli, totals, dir, seed, deadline));
    }
    return CLI_OK;
}

/* Shows how far it is until all jobs have ended. CLI_OK, or CLI_BAD. */
static int await_jobs(cli_context *cli,
                      torture_totals *totals,
                      const torture_options *options,
                      uint64_t jobs,
                      double begin) {
    int shows = isatty(fileno(cli->out)) && !options->json;
    int code = CLI_OK;
    while (jobs > 0) {
        int status = 0;
        if (waitpid(-1, &status, WNOHANG) > 0) {
            jobs--;
            if (!WIFEXITED(status) || WEXITSTATUS(status) > CLI_NO) {
                atomic_store(&totals->stop, 1);
                code = CLI_BAD;
            }
            continue;
        }
        if (*cli->stop) {
            atomic_store(&totals->stop, 1);
        }
        if (shows) {
            torture_show_line(cli, totals, etx__demo_seconds() - begin);
        }
        torture_nap_us(LINE_MS * 1000);
    }
    if (shows) {
        fputs("\r\033[K", cli->out);
    }
    return code;
}

static int run_campaign(cli_context *cli,
                        torture_totals *totals,
                        const torture_options *options,
                        const char *dir,
                        double seconds) {
    double begin = etx__demo_seconds();
    uint64_t started;
    int code = CLI_OK;
    if (!options->json) {
        fprintf(cli->out, "torture: seed %llu, %llu jobs, %g minutes, in %s\n",
                (unsigned long long)options->seed, (unsigned long long)options->jobs, seconds / 60,
                dir);
    }
    for (started = 0; started < options->jobs && code == CLI_OK; started++) {
        code = start_job(cli, totals, dir, options->seed * 1009 + started, begin + seconds);
    }
    if (code != CLI_OK) {
        atomic_store(&totals->stop, 1);
    }
    if (await_jobs(cli, totals, options, started, begin) != CLI_OK) {
        code = CLI_BAD;
    }
    torture_report(cli, totals, options, etx__demo_seconds() - begin);
    return atomic_load(&totals->broken) ? CLI_NO : code;
}

static int audit_only(cli_context *cli, torture_totals *totals, const torture_options *options) {
    torture_cell cell = {.cli = cli, .totals = totals};
    struct stat info;
    if (strlen(options->audit) >= sizeof cell.dir || stat(options->audit, &info) != 0) {
        return etx__cli_fail(cli, NULL, "--audit: there is no cell %s", options->audit);
    }
    snprintf(cell.dir, sizeof cell.dir, "%s", options->audit);
    int code = torture_verify(&cell, 0);
    if (code == CLI_OK) {
        code = torture_audit(&cell);
    }
    torture_report(cli, totals, options, 0);
    return code;
}

static int run(cli_context *cli, torture_totals *totals, torture_options *options) {
    char dir[DEMO_PATH_MAX - 160];
    double seconds = 60;
    int code = CLI_RUN;
    if (options->audit != NULL) {
        return audit_only(cli, totals, options);
    }
    if (options->minutes != NULL) {
        code = read_minutes(cli, options->minutes, &seconds);
    }
    if (code == CLI_RUN) {
        code = make_dir(cli, options, dir, sizeof dir);
    }
    if (code != CLI_RUN) {
        return code;
    }
    if (options->seed == UINT64_MAX) {
        options->seed = etx__cli_now_ms() % 1000000;
    }
    if (options->jobs == 0) {
        long processors = sysconf(_SC_NPROCESSORS_ONLN);
        options->jobs = processors < 1              ? 2
                        : processors < JOBS_MAX / 2 ? 2 * (uint64_t)processors
                                                    : JOBS_MAX;
    }
    code = run_campaign(cli, totals, options, dir, seconds);
    if (options->dir == NULL && code == CLI_OK && etx__dir_remove(dir) != 0) {
        (void)etx__cli_fail(cli, NULL, "%s could not be removed: %s", dir, strerror(errno));
    }
    return code;
}

int torture_campaign(cli_context *cli, int argc, char **argv) {
    torture_options options = {.seed = UINT64_MAX};
    torture_totals *totals =
        mmap(NULL, sizeof *totals, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cli_args args;
    int code;
    if (totals == MAP_FAILED) {
        return etx__cli_fail(cli, NULL, "out of memory");
    }
    code = etx__cli_parse(cli, &command, argc, argv, &options, &args);
    if (code == CLI_RUN) {
        code = run(cli, totals, &options);
    }
    (void)munmap(totals, sizeof *totals);
    return code;
}

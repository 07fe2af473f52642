/* The demo's parent: starts the coordinator, kills it at random moments, starts it again.
 *
 * A kill is SIGKILL: the process has no say in it. Four of five wait until transactions are in
 * flight; every fifth strikes soon after the start, while the log is being read or hardly any
 * longer. What the dead process was doing is read from the page that it shared. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "demo.h"

enum {
    POLL_US = 500,
    START_S = 30,    /* until a coordinator must have something in flight */
    FINISH_S = 180,  /* until the last one must have finished */
    EARLY_EVERY = 5, /* kills */
    LINE_EVERY_MS = 100,
    MORE_MS_LEAST = 20000 /* kills that are late may take as long again, at least so much */
};

typedef struct demo_run {
    cli_context *cli;
    const demo_options *options;
    const char *dir;
    demo_progress *progress;
    demo_history *history;
    demo_random random;
    pid_t child;
    double begin;
    double line_at;     /* when the progress line was printed */
    uint64_t committed; /* by coordinators that are dead */
    uint64_t aborted;
    int shows; /* the progress line */
} demo_run;

void etx__demo_seed(demo_random *random, uint64_t seed) {
    /* splitmix64, so that small seeds differ, and never 0 */
    uint64_t z = seed + 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    random->state = (z ^ (z >> 31)) | 1;
}

uint64_t etx__demo_draw(demo_random *random, uint64_t below) {
    random->state ^= random->state >> 12;
    random->state ^= random->state << 25;
    random->state ^= random->state >> 27;
    return (random->state * 0x2545f4914f6cdd1dULL >> 33) % below;
}

double etx__demo_seconds(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

demo_progress *etx__demo_map(const char *dir) {
    char path[DEMO_PATH_MAX];
    void *page = MAP_FAILED;
    int fd;
    snprintf(path, sizeof path, "%s/progress", dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return NULL;
    }
    if (ftruncate(fd, sizeof(demo_progress)) == 0) {
        page = mmap(NULL, sizeof(demo_progress), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    (void)close(fd);
    return page == MAP_FAILED ? NULL : page;
}

void etx__demo_signals(sigset_t *signals) {
    (void)sigemptyset(signals);
    (void)sigaddset(signals, SIGINT);
    (void)sigaddset(signals, SIGTERM);
    (void)sigaddset(signals, SIGHUP);
}

static int start_coordinator(demo_run *run) {
    char seed[24];
    sigset_t signals;
    sigset_t before;
    memset(run->progress, 0, sizeof *run->progress);
    snprintf(seed, sizeof seed, "%llu",
             (unsigned long long)(run->options->seed * 1000003 + run->history->kills));
    fflush(NULL);
    /* What it is told before it can hear it stays pending, also over exec: it unblocks them. */
    etx__demo_signals(&signals);
    (void)sigprocmask(SIG_BLOCK, &signals, &before);
    run->child = fork();
    if (run->child != 0) {
        int error = errno;
        (void)sigprocmask(SIG_SETMASK, &before, NULL);
        errno = error;
    }
    if (run->child < 0) {
        return etx__cli_fail(run->cli, NULL, "fork: %s", strerror(errno));
    }
    if (run->child == 0) {
        /* Its own group: ^C reaches the parent alone, and that ends it in order. */
        (void)setpgid(0, 0);
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        execl("/proc/self/exe", "etx", "demo-coordinator", "--dir", run->dir, "--seed", seed,
              run->options->finish ? "--finish" : (char *)NULL, (char *)NULL);
        _exit(CLI_BAD);
    }
    return CLI_OK;
}

/* "  4.2 s  3100 transfers ..." on a terminal, ten times a second. */
static void show_line(demo_run *run, int last) {
    double now = etx__demo_seconds();
    uint64_t committed = run->committed + atomic_load(&run->progress->committed);
    uint64_t aborted = run->aborted + atomic_load(&run->progress->aborted);
    if (!run->shows || (!last && now - run->line_at < LINE_EVERY_MS / 1e3)) {
        return;
    }
    run->line_at = now;
    fprintf(run->cli->out,
            "\r\033[K%6.1f s  %7llu transfers  %6.0f/s  %llu committed  %llu aborted  %s%llu of "
            "%llu kills%s%s",
            now - run->begin, (unsigned long long)(committed + aborted),
            (double)(committed + aborted) / (now - run->begin + 1e-3),
            (unsigned long long)committed, (unsigned long long)aborted,
            etx__cli_color(run->cli, CLI_RED), (unsigned long long)run->history->kills,
            (unsigned long long)run->options->kills, etx__cli_color(run->cli, CLI_PLAIN),
            last ? "\n" : "");
    fflush(run->cli->out);
}

/* 0 while the coordinator lives; -1 if it ended by itself, which is said. */
static int check_alive(demo_run *run) {
    int status = 0;
    if (waitpid(run->child, &status, WNOHANG) != run->child) {
        return 0;
    }
    run->child = 0;
    (void)etx__cli_fail(run->cli, NULL, "the coordinator ended by itself (%s %d)",
                        WIFSIGNALED(status) ? "signal" : "code",
                        WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return -1;
}

static void nap(void) {
    struct timespec pause = {0, POLL_US * 1000L};
    (void)nanosleep(&pause, NULL);
}

/* Waits until `when`, and then, unless `early`, until something is in flight. 0, or -1. */
static int await_moment(demo_run *run, double when, int early) {
    double limit = etx__demo_seconds() + START_S + (double)run->options->duration_ms / 1e3;
    while (!*run->cli->stop) {
        double now = etx__demo_seconds();
        if (check_alive(run) != 0) {
            return -1;
        }
        if (now >= when && (early || (atomic_load(&run->progress->in_flight) > 0 &&
                                      atomic_load(&run->progress->calls_running) > 0))) {
            return 0;
        }
        if (now > limit) {
            (void)etx__cli_fail(run->cli, NULL, "the coordinator does nothing");
            return -1;
        }
        show_line(run, 0);
        nap();
    }
    return 0;
}

/* Adds what the dead or finished coordinator had done. */
static void take_over_counts(demo_run *run) {
    run->committed += atomic_load(&run->progress->committed);
    run->aborted += atomic_load(&run->progress->aborted);
    run->history->errors += atomic_load(&run->progress->errors);
    run->history->recovered += atomic_load(&run->progress->recovered);
    atomic_store(&run->progress->committed, 0);
    atomic_store(&run->progress->aborted, 0);
}

static void kill_coordinator(demo_run *run) {
    int status = 0;
    (void)kill(run->child, SIGKILL);
    (void)waitpid(run->child, &status, 0);
    run->child = 0;
    run->history->kills++;
    run->history->kills_in_flight += atomic_load(&run->progress->in_flight) > 0;
    run->history->kills_starting += atomic_load(&run->progress->stage) == DEMO_STARTING;
    run->history->calls_cut += atomic_load(&run->progress->calls_running);
    take_over_counts(run);
}

/* The moment of kill number `kill`, from 0: evenly spread, each somewhere in its own share. */
static double draw_moment(demo_run *run, uint64_t kill) {
    double share = (double)run->options->duration_ms / 1e3 / (double)(run->options->kills + 1);
    double within = (double)etx__demo_draw(&run->random, 1000) / 1000;
    return run->begin + share * ((double)kill + 0.5 + within);
}

/* Each kill takes its time: more than fit in are left out, and the report says so. */
static int run_kills(demo_run *run) {
    uint64_t more_ms =
        run->options->duration_ms > MORE_MS_LEAST ? run->options->duration_ms : MORE_MS_LEAST;
    double end = run->begin + (double)(run->options->duration_ms + more_ms) / 1e3;
    uint64_t i;
    for (i = 0; i < run->options->kills && !*run->cli->stop && etx__demo_seconds() < end; i++) {
        int early = i % EARLY_EVERY == EARLY_EVERY - 1;
        double when = early ? etx__demo_seconds() + (double)etx__demo_draw(&run->random, 60) / 1e3
                            : draw_moment(run, i);
        if (await_moment(run, when, early) != 0) {
            return CLI_BAD;
        }
        if (*run->cli->stop) {
            break;
        }
        kill_coordinator(run);
        if (start_coordinator(run) != CLI_OK) {
            return CLI_BAD;
        }
    }
    return await_moment(run, run->begin + (double)run->options->duration_ms / 1e3, 0) == 0
               ? CLI_OK
               : CLI_BAD;
}

/* Tells the last coordinator to finish, and waits for it. */
static int finish_last(demo_run *run) {
    double limit = etx__demo_seconds() + FINISH_S;
    int status = 0;
    (void)kill(run->child, SIGTERM);
    while (waitpid(run->child, &status, WNOHANG) == 0) {
        if (etx__demo_seconds() > limit) {
            return etx__cli_fail(run->cli, NULL, "the last coordinator does not finish");
        }
        show_line(run, 0);
        nap();
    }
    run->child = 0;
    show_line(run, 1);
    take_over_counts(run);
    /* 1: it left something unfinished; the audit will count it */
    if (!WIFEXITED(status) || WEXITSTATUS(status) > CLI_NO) {
        return etx__cli_fail(run->cli, NULL, "the last coordinator failed");
    }
    return CLI_OK;
}

int etx__demo_run(cli_context *cli,
                  const demo_options *options,
                  const char *dir,
                  demo_history *history) {
    demo_run run = {.cli = cli, .options = options, .dir = dir, .history = history};
    int code;
    run.progress = etx__demo_map(dir);
    if (run.progress == NULL) {
        return etx__cli_fail(cli, NULL, "%s: %s", dir, strerror(errno));
    }
    etx__demo_seed(&run.random, options->seed);
    run.shows = isatty(fileno(cli->out)) && !options->json;
    run.begin = etx__demo_seconds();
    code = start_coordinator(&run);
    if (code == CLI_OK) {
        code = options->finish ? CLI_OK : run_kills(&run);
    }
    history->seconds = options->finish ? 0 : etx__demo_seconds() - run.begin;
    if (code == CLI_OK) {
        code = finish_last(&run);
    }
    if (run.child > 0) {
        (void)kill(run.child, SIGKILL);
        (void)waitpid(run.child, NULL, 0);
    }
    (void)munmap(run.progress, sizeof *run.progress);
    return code;
}

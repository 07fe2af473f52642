/* Running many seeds: a process for each job, and one that adds up what they tell. */
#include "run.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { JOBS_MAX = 256, SHARE = 16 /* seeds between two reports of a job */ };

typedef struct job {
    pid_t pid;
    int from;      /* its reports */
    uint64_t seed; /* of which it began the share that it has not reported */
    uint8_t over;
} job;

/* What a job tells after each share. */
typedef struct report {
    uint64_t seeds, next, digest;
    sim_stats stats;
    run_result failure;
} report;

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- in a job's process */

static void work(const run_many_options *options, uint32_t number, int to) {
    sim *s = sim_make();
    sim_options one = options->one;
    uint64_t step = (uint64_t)options->jobs * SHARE;
    double until = options->seconds > 0 ? now_s() + options->seconds : 0;
    for (uint64_t at = options->first + (uint64_t)number * SHARE; at <= options->last; at += step) {
        report told = {.next = at + step};
        for (uint64_t i = at; i < at + SHARE && i <= options->last && !told.failure.broken; i++) {
            run_result result;
            one.seed = i;
            run_seed(s, &one, &result);
            told.seeds++;
            told.digest ^= result.digest * (2 * i + 1);
            run_add(&told.stats, &result.stats);
            if (result.broken) {
                told.failure = result;
            }
        }
        if (write(to, &told, sizeof told) != (ssize_t)sizeof told || told.failure.broken ||
            (until > 0 && now_s() >= until)) {
            break;
        }
    }
    sim_free(s);
    _exit(0);
}

/* ---- in the one that adds up */

static void start_job(const run_many_options *options, uint32_t number, job *ret_job) {
    int ends[2];
    fflush(NULL);
    pid_t pid = pipe(ends) == 0 ? fork() : -1;
    if (pid < 0) {
        perror("etx-sim: a process for a job");
        exit(2);
    }
    if (pid == 0) {
        close(ends[0]);
        work(options, number, ends[1]);
    }
    close(ends[1]);
    *ret_job = (job){pid, ends[0], options->first + (uint64_t)number * SHARE, 0};
}

/* It died within the share that it has not reported: which seed was it? */
static void find_fatal(const run_many_options *options, const job *of, run_total *total) {
    for (uint64_t i = of->seed; i < of->seed + SHARE && i <= options->last; i++) {
        sim_options one = options->one;
        one.seed = i;
        run_apart(&one, &total->failure);
        if (total->failure.broken) {
            return;
        }
    }
    total->failure.broken = 1;
    total->failure.seed = of->seed;
    snprintf(total->failure.promise, sizeof total->failure.promise, "the library goes on");
    snprintf(total->failure.story, sizeof total->failure.story,
             "a job ended itself, and none of its seeds does so alone");
}

static void take_report(const run_many_options *options, job *of, run_total *total) {
    report told;
    int status = 0;
    ssize_t got = read(of->from, &told, sizeof told);
    if (got == (ssize_t)sizeof told) {
        of->seed = told.next;
        total->seeds += told.seeds;
        total->digest ^= told.digest;
        run_add(&total->stats, &told.stats);
        if (told.failure.broken && !total->failure.broken) {
            total->failure = told.failure;
        }
        return;
    }
    of->over = 1;
    close(of->from);
    waitpid(of->pid, &status, 0);
    if ((!WIFEXITED(status) || WEXITSTATUS(status) != 0) && !total->failure.broken) {
        find_fatal(options, of, total);
    }
}

static void show_progress(const run_total *total, double seconds) {
    static const char clear[] = "\r\033[K";
    fprintf(stderr, "%s%llu seeds, %.0f a second, %llu transactions, %llu crashes", clear,
            (unsigned long long)total->seeds, (double)total->seeds / seconds,
            (unsigned long long)total->stats.transactions,
            (unsigned long long)total->stats.crashes);
}

static uint32_t take_reports(const run_many_options *options, job *jobs, run_total *total) {
    struct pollfd polls[JOBS_MAX];
    uint32_t alive = 0;
    for (uint32_t i = 0; i < options->jobs; i++) {
        polls[i] = (struct pollfd){.fd = jobs[i].over ? -1 : jobs[i].from, .events = POLLIN};
        alive += !jobs[i].over;
    }
    if (alive == 0 || poll(polls, options->jobs, 1000) <= 0) {
        return alive;
    }
    for (uint32_t i = 0; i < options->jobs; i++) {
        if (polls[i].fd >= 0 && polls[i].revents != 0) {
            take_report(options, &jobs[i], total);
        }
    }
    return alive;
}

void run_many(const run_many_options *options, run_total *ret_total) {
    job jobs[JOBS_MAX];
    run_many_options ours = *options;
    double begin = now_s();
    double shown = begin;
    int terminal = isatty(STDERR_FILENO);
    ours.jobs = ours.jobs < JOBS_MAX ? ours.jobs : JOBS_MAX;
    memset(ret_total, 0, sizeof *ret_total);
    for (uint32_t i = 0; i < ours.jobs; i++) {
        start_job(&ours, i, &jobs[i]);
    }
    int ending = 0;
    while (take_reports(&ours, jobs, ret_total) > 0) {
        if (ret_total->failure.broken && !ending) {
            ending = 1;
            for (uint32_t i = 0; i < ours.jobs; i++) {
                if (!jobs[i].over) {
                    kill(jobs[i].pid, SIGKILL);
                }
            }
        }
        if (terminal && now_s() - shown >= 1) {
            shown = now_s();
            show_progress(ret_total, shown - begin);
        }
    }
    if (terminal) {
        fprintf(stderr, "\r\033[K");
    }
    ret_total->seconds = now_s() - begin;
}

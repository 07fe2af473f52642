/* Running many seeds: a process for each job, and one that adds up what they tell. */
#include "run.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { JOBS_MAX = 256, SHARE = 16 /* seeds between two reports of a job */ };

/* What a job does now, in memory that both share. */
typedef struct beat {
    _Atomic uint64_t seed, begun; /* how many seeds it has begun */
} beat;

typedef struct job {
    pid_t pid;
    int from; /* its reports */
    beat *now;
    uint64_t next; /* the first seed that it has not reported, */
    uint8_t done;  /* ... or there is none */
    run_watch watch;
    uint8_t over;
} job;

/* What a job tells after each share. */
typedef struct report {
    uint64_t seeds, next, digest;
    uint8_t done; /* there is no next */
    sim_stats stats;
    run_result failure;
} report;

/* ---- in a job's process */

/* The seeds of a share that begins with `at`. */
static uint64_t share_of(const run_many_options *options, uint64_t at) {
    return options->last - at < SHARE ? options->last - at + 1 : SHARE;
}

static void run_share(const run_many_options *options,
                      sim *s,
                      beat *now,
                      uint64_t at,
                      report *told) {
    sim_options one = options->one;
    uint64_t count = share_of(options, at);
    for (uint64_t i = at; count > 0 && !told->failure.broken; i++, count--) {
        run_result result;
        one.seed = i;
        atomic_store(&now->seed, i);
        atomic_fetch_add(&now->begun, 1);
        run_seed(s, &one, &result);
        told->seeds++;
        told->digest ^= result.digest * (2 * i + 1);
        run_add(&told->stats, &result.stats);
        if (result.broken) {
            told->failure = result;
        }
    }
}

static void work(const run_many_options *options, uint32_t number, beat *now, int to) {
    sim *s = sim_make();
    uint64_t step = (uint64_t)options->jobs * SHARE;
    uint64_t before = (uint64_t)number * SHARE; /* the last seed may be the last number */
    double until = options->seconds > 0 ? run_now_s() + options->seconds : 0;
    int left = options->last - options->first >= before;
    for (uint64_t at = options->first + before; left; at += step) {
        left = options->last - at >= step;
        report told = {.next = at + step, .done = !left};
        run_share(options, s, now, at, &told);
        if (write(to, &told, sizeof told) != (ssize_t)sizeof told || told.failure.broken ||
            (until > 0 && run_now_s() >= until)) {
            break;
        }
    }
    sim_free(s);
    _exit(0);
}

/* ---- in the one that adds up */

static volatile sig_atomic_t stopped_by;

static void note_signal(int number) {
    stopped_by = number;
}

/* Who ignores a signal goes on to do so. */
static void catch_signal(int number, struct sigaction *ret_before) {
    struct sigaction ours = {.sa_handler = note_signal};
    sigemptyset(&ours.sa_mask);
    sigaction(number, NULL, ret_before);
    if (ret_before->sa_handler != SIG_IGN) {
        sigaction(number, &ours, NULL);
    }
}

static beat *share_beats(void) {
    void *memory = mmap(NULL, JOBS_MAX * sizeof(beat), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("etx-sim: memory for the jobs");
        exit(2);
    }
    return memory;
}

static void start_job(const run_many_options *options, uint32_t number, beat *now, job *ret_job) {
    int ends[2];
    atomic_store(&now->seed, options->first + (uint64_t)number * SHARE);
    fflush(NULL);
    pid_t parent = getpid();
    pid_t pid = pipe(ends) == 0 ? fork() : -1;
    if (pid < 0) {
        perror("etx-sim: a process for a job");
        exit(2);
    }
    if (pid == 0) {
        close(ends[0]);
        run_tie(parent);
        signal(SIGINT, SIG_IGN); /* a terminal tells all of them: the parent ends its jobs */
        work(options, number, now, ends[1]);
    }
    close(ends[1]);
    uint64_t before = (uint64_t)number * SHARE;
    *ret_job = (job){.pid = pid,
                     .from = ends[0],
                     .now = now,
                     .next = options->first + before,
                     .done = options->last - options->first < before};
}

/* It died within a seed: does that seed do so alone? */
static void find_fatal(const run_many_options *options, const job *of, run_total *total) {
    sim_options one = options->one;
    one.seed = atomic_load(&of->now->seed);
    run_apart(&one, &total->failure);
    if (total->failure.broken) {
        return;
    }
    total->failure.broken = 1;
    total->failure.seed = one.seed;
    snprintf(total->failure.promise, sizeof total->failure.promise, "the library goes on");
    snprintf(total->failure.story, sizeof total->failure.story,
             "a job ended itself within this seed, and alone the seed does not");
}

static void take_report(const run_many_options *options, job *of, run_total *total) {
    report told;
    int status = 0;
    ssize_t got = read(of->from, &told, sizeof told);
    if (got == (ssize_t)sizeof told) {
        of->next = told.next;
        of->done = told.done;
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
    if ((!WIFEXITED(status) || WEXITSTATUS(status) != 0) && !total->failure.broken &&
        total->stopped == 0) {
        find_fatal(options, of, total);
    }
}

/* A job that begins no other seed for too long. */
static void find_hung(const run_many_options *options, job *jobs, run_total *total) {
    uint32_t patience_s = options->one.patience_s;
    for (uint32_t i = 0; i < options->jobs && !total->failure.broken; i++) {
        if (!jobs[i].over &&
            run_watch_over(&jobs[i].watch, atomic_load(&jobs[i].now->begun), patience_s)) {
            run_hung(&total->failure, atomic_load(&jobs[i].now->seed), patience_s);
        }
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

/* Where to go on: all seeds before it have held. */
static void find_next(const run_many_options *options, const job *jobs, run_total *total) {
    total->done = 1;
    for (uint32_t i = 0; i < options->jobs; i++) {
        if (!jobs[i].done && (total->done || jobs[i].next < total->next)) {
            total->next = jobs[i].next;
            total->done = 0;
        }
    }
}

static void run_jobs(const run_many_options *options, job *jobs, double begin, run_total *total) {
    double shown = begin;
    int terminal = isatty(STDERR_FILENO);
    int ending = 0;
    while (take_reports(options, jobs, total) > 0) {
        if (!ending) {
            total->stopped = stopped_by;
            find_hung(options, jobs, total);
        }
        if ((total->failure.broken || total->stopped != 0) && !ending) {
            ending = 1;
            for (uint32_t i = 0; i < options->jobs; i++) {
                if (!jobs[i].over) {
                    kill(jobs[i].pid, SIGKILL);
                }
            }
        }
        if (terminal && run_now_s() - shown >= 1) {
            shown = run_now_s();
            show_progress(total, shown - begin);
        }
    }
    if (terminal) {
        fprintf(stderr, "\r\033[K");
    }
}

void run_many(const run_many_options *options, run_total *ret_total) {
    job jobs[JOBS_MAX];
    run_many_options ours = *options;
    struct sigaction interrupt, terminate;
    double begin = run_now_s();
    ours.jobs = ours.jobs < JOBS_MAX ? ours.jobs : JOBS_MAX;
    memset(ret_total, 0, sizeof *ret_total);
    catch_signal(SIGINT, &interrupt);
    catch_signal(SIGTERM, &terminate);
    beat *beats = share_beats();
    for (uint32_t i = 0; i < ours.jobs; i++) {
        start_job(&ours, i, &beats[i], &jobs[i]);
    }
    run_jobs(&ours, jobs, begin, ret_total);
    find_next(&ours, jobs, ret_total);
    munmap(beats, JOBS_MAX * sizeof *beats);
    sigaction(SIGINT, &interrupt, NULL);
    sigaction(SIGTERM, &terminate, NULL);
    ret_total->seconds = run_now_s() - begin;
}

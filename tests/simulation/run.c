/* Running one seed, here or in a child. */
#include "run.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void run_seed(sim *s, const sim_options *options, run_result *ret_result) {
    memset(ret_result, 0, sizeof *ret_result);
    ret_result->seed = options->seed;
    ret_result->broken = sim_run(s, options);
    ret_result->digest = s->digest;
    ret_result->stats = s->stats;
    memcpy(ret_result->promise, s->broken, sizeof ret_result->promise);
    memcpy(ret_result->story, s->story, sizeof ret_result->story);
    memcpy(ret_result->gid, s->broken_gid, sizeof ret_result->gid);
}

static void child(const sim_options *options, int to) {
    run_result result;
    sim *s = sim_make();
    run_seed(s, options, &result);
    sim_free(s);
    result.lost = options->trace != NULL && (fflush(options->trace) != 0 || ferror(options->trace));
    fflush(NULL);
    ssize_t written = write(to, &result, sizeof result);
    _exit(written == (ssize_t)sizeof result ? 0 : 3);
}

/* Until it says something or ends; one that does neither is killed. Was it? */
static int await(int from, pid_t child_pid, uint32_t patience_s) {
    run_watch watch = {0};
    struct pollfd ready = {.fd = from, .events = POLLIN};
    while (!run_watch_over(&watch, 0, patience_s)) {
        if (poll(&ready, 1, 1000) > 0) {
            return 0;
        }
    }
    kill(child_pid, SIGKILL);
    return 1;
}

void run_apart(const sim_options *options, run_result *ret_result) {
    int ends[2];
    int status = 0;
    memset(ret_result, 0, sizeof *ret_result);
    fflush(NULL);
    pid_t parent = getpid();
    pid_t pid = pipe(ends) == 0 ? fork() : -1;
    if (pid < 0) {
        perror("etx-sim: a process for a seed");
        exit(2);
    }
    if (pid == 0) {
        close(ends[0]);
        run_tie(parent);
        if (options->quiet && freopen("/dev/null", "w", stderr) == NULL) {
            _exit(3);
        }
        child(options, ends[1]);
    }
    close(ends[1]);
    int hung = await(ends[0], pid, options->patience_s);
    ssize_t got = read(ends[0], ret_result, sizeof *ret_result);
    close(ends[0]);
    waitpid(pid, &status, 0);
    if (got != (ssize_t)sizeof *ret_result && hung) {
        run_hung(ret_result, options->seed, options->patience_s);
    } else if (got != (ssize_t)sizeof *ret_result) {
        memset(ret_result, 0, sizeof *ret_result);
        ret_result->seed = options->seed;
        ret_result->broken = 1;
        snprintf(ret_result->promise, sizeof ret_result->promise, "the library goes on");
        snprintf(ret_result->story, sizeof ret_result->story,
                 WIFSIGNALED(status) ? "it ended itself by signal %d: see above"
                                     : "it ended itself with status %d",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
}

void run_add(sim_stats *sum, const sim_stats *more) {
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)more;
    for (size_t i = 0; i < sizeof *sum / sizeof *to; i++) {
        to[i] += from[i];
    }
}

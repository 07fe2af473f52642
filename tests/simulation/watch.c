/* Children that are looked after: they end with their parent, and are noticed if they stop. */
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "run.h"

double run_now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void run_tie(pid_t parent) {
    signal(SIGTERM, SIG_DFL);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) {
        _exit(3);
    }
}

int run_watch_over(run_watch *watch, uint64_t sign, uint32_t patience_s) {
    double now = run_now_s();
    if (watch->looked == 0 || sign != watch->sign) {
        *watch = (run_watch){.sign = sign, .looked = now};
        return 0;
    }
    /* Time in which nobody looked, since all were stopped, does not count. */
    watch->quiet_s += now - watch->looked < 2 ? now - watch->looked : 2;
    watch->looked = now;
    return patience_s > 0 && watch->quiet_s >= patience_s;
}

void run_hung(run_result *ret_result, uint64_t seed, uint32_t patience_s) {
    *ret_result = (run_result){.seed = seed, .broken = 1, .hung = 1};
    snprintf(ret_result->promise, sizeof ret_result->promise, "it ends");
    snprintf(ret_result->story, sizeof ret_result->story,
             "the library goes on: it did not end within %u s, and was killed", patience_s);
}

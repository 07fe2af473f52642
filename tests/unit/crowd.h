/* Others on this machine: a process that wants all of a processor, and whether there are such. */
#ifndef ETX_TESTS_CROWD_H
#define ETX_TESTS_CROWD_H

#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef struct crowd {
    cpu_set_t before;
    pid_t other;
} crowd;

/* This thread, and those that it makes from now on, share one processor with a process that never
 * rests. */
static inline void crowd_begin(crowd *one) {
    cpu_set_t here;
    if (sched_getaffinity(0, sizeof one->before, &one->before) != 0) {
        abort();
    }
    CPU_ZERO(&here);
    CPU_SET(sched_getcpu(), &here);
    if (sched_setaffinity(0, sizeof here, &here) != 0) {
        abort();
    }
    one->other = fork();
    if (one->other == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
        }
    }
}

static inline void crowd_end(const crowd *one) {
    (void)kill(one->other, SIGKILL);
    (void)waitpid(one->other, NULL, 0);
    if (sched_setaffinity(0, sizeof one->before, &one->before) != 0) {
        abort();
    }
}

/* Does somebody keep the processor when this thread lets him go first? */
static inline int crowd_is_here(void) {
    uint64_t begin_us = 0, now_us, before_us;
    int crowded = 0;
    do {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        before_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
        begin_us = begin_us == 0 ? before_us : begin_us;
        sched_yield();
        clock_gettime(CLOCK_MONOTONIC, &now);
        now_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
        crowded |= now_us - before_us > 500;
    } while (!crowded && now_us - begin_us < 50000);
    return crowded;
}

#endif

/* The torture's faults: who is killed or paused, when, and what is seen of it.
 *
 * A kill is SIGKILL, a pause SIGSTOP until long after the shortest deadlines, then SIGCONT. Either
 * strikes after a random time, so also while the log is read at start, or the process strikes
 * itself at a point that was armed: before, inside or after the n-th write, call, answer... A bank
 * that is a process of its own is struck in the same ways. */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "torture.h"

enum {
    EARLY_US = 8000,
    LIFE_US = 50000,
    POINT_MS = 80,  /* until a point must have been passed; then it strikes anyway */
    PAUSE_MIN = 50, /* ms */
    PAUSE_MAX = 130,
    FINISH_S = 90
};

typedef enum change { NOTHING = 0, STOPPED, DEAD, ENDED, BROKEN } change;

static uint64_t draw(torture_cell *cell, uint64_t below) {
    return etx__demo_draw(&cell->random, below);
}

static void arm(torture_cell *cell, torture_role role, torture_point point, int number) {
    torture_page *page = cell->page;
    int rare = point == TORTURE_STARTED || point == TORTURE_RENAME || point == TORTURE_RENAMED ||
               point == TORTURE_UNLINK || point == TORTURE_UNLINKED;
    atomic_store(&page->struck, 0);
    atomic_store(&page->armed_role, (uint64_t)role);
    atomic_store(&page->armed_signal, (uint64_t)number);
    atomic_store(&page->armed_left, 1 + (int64_t)draw(cell, rare ? 2 : 30));
    atomic_store(&page->armed_point, (uint64_t)point);
}

static void disarm(torture_cell *cell) {
    atomic_store(&cell->page->armed_point, TORTURE_NOWHERE);
}

/* What became of a process; one that is gone is 0 from then on. */
static change look(torture_cell *cell, pid_t *process, torture_role role) {
    const char *name = role == TORTURE_BANK ? "a bank" : "the coordinator";
    int status = 0;
    if (*process == 0 || waitpid(*process, &status, WNOHANG | WUNTRACED) != *process) {
        return NOTHING;
    }
    if (WIFSTOPPED(status)) {
        return STOPPED;
    }
    *process = 0;
    if (WIFSIGNALED(status)) {
        if (WTERMSIG(status) == SIGKILL && atomic_load(&cell->page->struck) != 0 &&
            atomic_load(&cell->page->armed_role) == (uint64_t)role) {
            return DEAD;
        }
        (void)torture_broken(cell, "%s died of signal %d that nobody sent", name, WTERMSIG(status));
        return BROKEN;
    }
    if (role == TORTURE_COORDINATOR && WEXITSTATUS(status) == CLI_OK &&
        atomic_load(&cell->page->drain) != 0) {
        return ENDED;
    }
    (void)torture_broken(cell, "%s ended by itself with code %d: %s", name, WEXITSTATUS(status),
                         WEXITSTATUS(status) == CLI_NO ? "what had begun does not end"
                                                       : "it does not come up again");
    return BROKEN;
}

/* A process that struck itself just as it was disarmed may stop when nobody expects it. */
static void wake_banks(torture_cell *cell, change *ret_change) {
    int i;
    for (i = 0; i < DEMO_BANKS; i++) {
        change seen = look(cell, &cell->bank[i], TORTURE_BANK);
        if (seen == STOPPED) {
            (void)kill(cell->bank[i], SIGCONT);
        } else if (seen == DEAD) {
            atomic_fetch_add(&cell->totals->kills, 1);
            atomic_fetch_add(&cell->totals->kills_bank, 1);
        } else if (seen == BROKEN) {
            *ret_change = BROKEN;
        }
    }
}

/* Until something happens to the process, or the time is over. */
static change await(torture_cell *cell, pid_t *process, torture_role role, uint64_t us) {
    double until = etx__demo_seconds() + (double)us / 1e6;
    change seen = look(cell, process, role);
    sigset_t child;
    (void)sigemptyset(&child);
    (void)sigaddset(&child, SIGCHLD);
    while (seen == NOTHING) {
        double left = until - etx__demo_seconds();
        struct timespec limit = {(time_t)left, (long)((left - (double)(time_t)left) * 1e9)};
        if (left <= 0) {
            break;
        }
        (void)sigtimedwait(&child, NULL, &limit);
        seen = look(cell, process, role);
    }
    return seen;
}

/* Three times of four the coordinator is to be at work before it is struck: not only started. */
static change await_work(torture_cell *cell, pid_t *process, torture_role role) {
    int tries = role == TORTURE_COORDINATOR && draw(cell, 4) != 0 ? 2000 : 0;
    change seen = NOTHING;
    while (seen == NOTHING && tries-- > 0 &&
           atomic_load(&cell->page->progress.stage) == DEMO_STARTING) {
        seen = await(cell, process, role, 500);
    }
    return seen;
}

/* ---- kills */

static void count_kill(torture_cell *cell, torture_role role) {
    torture_totals *totals = cell->totals;
    atomic_fetch_add(&totals->kills, 1);
    if (role == TORTURE_BANK) {
        atomic_fetch_add(&totals->kills_bank, 1);
        return;
    }
    atomic_fetch_add(&totals->kills_starting,
                     atomic_load(&cell->page->progress.stage) == DEMO_STARTING);
    atomic_fetch_add(&totals->kills_draining, atomic_load(&cell->page->drain) != 0);
    atomic_fetch_add(&totals->calls_cut, atomic_load(&cell->page->progress.calls_running) > 0);
}

/* The process is to die now, if it has not yet. */
static int strike_dead(torture_cell *cell, pid_t *process, torture_role role, change seen) {
    if (seen == BROKEN) {
        return CLI_NO;
    }
    disarm(cell);
    if (seen == ENDED) {
        return CLI_OK; /* it had finished before */
    }
    if (seen != DEAD) {
        torture_end(process);
    }
    count_kill(cell, role);
    return draw(cell, 8) == 0 && role == TORTURE_COORDINATOR ? torture_verify(cell, 0) : CLI_OK;
}

static int kill_after(torture_cell *cell, pid_t *process, torture_role role, uint64_t us) {
    change seen;
    if (role == TORTURE_COORDINATOR && draw(cell, 12) == 0) {
        seen = await(cell, process, role, draw(cell, us + 1));
        if (seen != NOTHING) {
            return strike_dead(cell, process, role, seen);
        }
        atomic_store(&cell->page->drain, 1);
    }
    seen = await(cell, process, role, draw(cell, us + 1));
    return strike_dead(cell, process, role, seen);
}

static torture_point draw_point(torture_cell *cell, torture_role role) {
    static const torture_point of_bank[] = {TORTURE_CALLED, TORTURE_SERVED, TORTURE_WRITE,
                                            TORTURE_TEAR, TORTURE_WRITTEN};
    return role == TORTURE_BANK ? of_bank[draw(cell, 5)]
                                : (torture_point)(1 + draw(cell, TORTURE_POINTS - 1));
}

static int kill_at_point(torture_cell *cell, pid_t *process, torture_role role) {
    torture_point point = draw_point(cell, role);
    change seen = point == TORTURE_STARTED ? NOTHING : await_work(cell, process, role);
    if (seen == NOTHING) {
        arm(cell, role, point, SIGKILL);
        seen = await(cell, process, role, POINT_MS * 1000);
    }
    if (seen == DEAD) {
        atomic_fetch_add(&cell->totals->kills_point, 1);
        atomic_fetch_add(&cell->totals->points[point], 1);
    }
    return strike_dead(cell, process, role, seen);
}

/* ---- pauses */

/* The process is stopped: for long, and then it goes on as if nothing had been, or dies. */
static int hold(torture_cell *cell, pid_t *process, torture_role role) {
    double until =
        etx__demo_seconds() + (double)(PAUSE_MIN + draw(cell, PAUSE_MAX - PAUSE_MIN)) / 1e3;
    int code = CLI_OK;
    atomic_fetch_add(&cell->totals->pauses, 1);
    atomic_fetch_add(&cell->totals->pauses_bank, role == TORTURE_BANK);
    if (role == TORTURE_COORDINATOR && draw(cell, 6) == 0) {
        code = torture_verify(cell, 0);
    }
    if (code == CLI_OK && role == TORTURE_COORDINATOR && draw(cell, 12) == 0) {
        code = torture_intrude(cell);
    }
    while (etx__demo_seconds() < until) {
        torture_nap_us(1000 + (uint64_t)((until - etx__demo_seconds()) * 5e5));
    }
    if (code == CLI_OK && draw(cell, 6) == 0) {
        atomic_fetch_add(&cell->totals->kills_paused, 1);
        return strike_dead(cell, process, role, STOPPED);
    }
    (void)kill(*process, SIGCONT);
    return code;
}

/* Half of the pauses come while an interactive client is at work. */
static change await_open(torture_cell *cell, pid_t *process, torture_role role) {
    uint64_t tries = role == TORTURE_COORDINATOR && draw(cell, 2) == 0 ? 100 : 0;
    change seen = await(cell, process, role, draw(cell, LIFE_US / 2));
    while (seen == NOTHING && tries-- > 0 && atomic_load(&cell->page->open) == 0) {
        seen = await(cell, process, role, 300);
    }
    return seen;
}

static int pause_it(torture_cell *cell, pid_t *process, torture_role role, int at_point) {
    change seen;
    if (at_point) {
        arm(cell, role, draw_point(cell, role), SIGSTOP);
        seen = await(cell, process, role, POINT_MS * 1000);
        disarm(cell);
    } else {
        seen = await_open(cell, process, role);
    }
    if (seen == NOTHING) {
        (void)kill(*process, SIGSTOP);
        seen = await(cell, process, role, 5000000);
    }
    if (seen == NOTHING) {
        return torture_broken(cell, "a process could not be stopped");
    }
    return seen == STOPPED ? hold(cell, process, role) : strike_dead(cell, process, role, seen);
}

/* ---- drawing */

static int strike_bank(torture_cell *cell, uint64_t dice) {
    int place = (int)draw(cell, DEMO_BANKS);
    pid_t *process = &cell->bank[place];
    if (*process == 0) {
        return kill_after(cell, &cell->coordinator, TORTURE_COORDINATOR, LIFE_US);
    }
    switch (dice % 4) {
        case 0:
            return kill_after(cell, process, TORTURE_BANK, LIFE_US / 2);
        case 1:
            return kill_at_point(cell, process, TORTURE_BANK);
        default:
            return pause_it(cell, process, TORTURE_BANK, dice % 4 == 2);
    }
}

int torture_strike(torture_cell *cell) {
    pid_t *process = &cell->coordinator;
    uint64_t dice = draw(cell, 100);
    change seen = look(cell, process, TORTURE_COORDINATOR);
    wake_banks(cell, &seen);
    if (seen == BROKEN) {
        return CLI_NO;
    }
    if (seen == STOPPED) {
        (void)kill(*process, SIGCONT);
    }
    if (dice < 12) {
        return kill_after(cell, process, TORTURE_COORDINATOR, EARLY_US);
    }
    if (dice < 40) {
        seen = await_work(cell, process, TORTURE_COORDINATOR);
        return seen == NOTHING ? kill_after(cell, process, TORTURE_COORDINATOR, LIFE_US)
                               : strike_dead(cell, process, TORTURE_COORDINATOR, seen);
    }
    if (dice < 70) {
        return kill_at_point(cell, process, TORTURE_COORDINATOR);
    }
    if (dice < 88) {
        return pause_it(cell, process, TORTURE_COORDINATOR, dice % 2 == 0);
    }
    return strike_bank(cell, dice);
}

int torture_finish(torture_cell *cell) {
    double until = etx__demo_seconds() + FINISH_S;
    change seen = NOTHING;
    disarm(cell);
    while (seen != ENDED && etx__demo_seconds() < until) {
        wake_banks(cell, &seen);
        if (seen == BROKEN) {
            return CLI_NO;
        }
        if (torture_cell_start(cell) != CLI_OK) {
            return CLI_BAD;
        }
        atomic_store(&cell->page->drain, 1);
        seen = await(cell, &cell->coordinator, TORTURE_COORDINATOR, 100000);
        if (seen == STOPPED) {
            (void)kill(cell->coordinator, SIGCONT);
        }
    }
    return seen == ENDED ? CLI_OK : torture_broken(cell, "the last coordinator does not finish");
}

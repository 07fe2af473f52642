/* A cell of the torture: a directory with a log and three banks, and the processes that live in it.
 *
 * A job makes one cell after another. A cell sees a few rounds; a round is some dozens of faults,
 * then the last coordinator finishes what is left, and everything is audited. The log and the
 * ledgers go from round to round, so that old segments are trimmed and old answers must stand. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../cli/cli_dir.h"
#include "torture.h"

enum { ROUNDS_MAX = 5, FAULTS_MIN = 15, FAULTS_MAX = 45 };

int torture_broken(torture_cell *cell, const char *format, ...) {
    va_list args;
    uint64_t nobody = 0;
    if (atomic_compare_exchange_strong(&cell->totals->broken, &nobody, 1)) {
        va_start(args, format);
        vsnprintf(cell->totals->what, sizeof cell->totals->what, format, args);
        va_end(args);
        snprintf(cell->totals->where, sizeof cell->totals->where, "%s", cell->dir);
    }
    atomic_store(&cell->totals->stop, 1);
    return CLI_NO;
}

void torture_end(pid_t *process) {
    if (*process > 0) {
        (void)kill(*process, SIGKILL);
        (void)waitpid(*process, NULL, 0);
    }
    *process = 0;
}

/* In the new process: nothing of the cell's is left open that is not its own. */
static void become(torture_cell *cell, torture_role role, int place) {
    int i;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    torture_place(cell->page, role);
    for (i = 0; role == TORTURE_BANK && i < DEMO_BANKS; i++) {
        if (i != place && cell->listener[i] >= 0) {
            (void)close(cell->listener[i]);
        }
    }
    _exit(role == TORTURE_BANK ? torture_bank_main(cell, place) : torture_coordinator_main(cell));
}

static int start_process(torture_cell *cell, torture_role role, int place, pid_t *ret_process) {
    pid_t process = fork();
    if (process < 0) {
        return etx__cli_fail(cell->cli, NULL, "fork: %s", strerror(errno));
    }
    if (process == 0) {
        become(cell, role, place);
    }
    *ret_process = process;
    return CLI_OK;
}

int torture_cell_start(torture_cell *cell) {
    int code = CLI_OK;
    int i;
    for (i = 0; code == CLI_OK && i < DEMO_BANKS; i++) {
        if (cell->listener[i] >= 0 && cell->bank[i] == 0) {
            code = start_process(cell, TORTURE_BANK, i, &cell->bank[i]);
        }
    }
    if (code == CLI_OK && cell->coordinator == 0) {
        cell->life++;
        memset(&cell->page->progress, 0, sizeof cell->page->progress);
        atomic_store(&cell->page->open, 0);
        atomic_store(&cell->page->drain, 0);
        code = start_process(cell, TORTURE_COORDINATOR, 0, &cell->coordinator);
    }
    return code;
}

/* Every bank lives in the coordinator's process, or has one of its own: as the cell draws it. */
static int make_banks(torture_cell *cell) {
    int i;
    for (i = 0; i < DEMO_BANKS; i++) {
        if (etx__demo_bank_create(cell->cli, cell->dir, i) != CLI_OK) {
            return CLI_BAD;
        }
        if (etx__demo_draw(&cell->random, 5) < 2) {
            cell->listener[i] = torture_bank_listen();
            if (cell->listener[i] < 0) {
                return etx__cli_fail(cell->cli, NULL, "a socket: %s", strerror(errno));
            }
        }
    }
    return CLI_OK;
}

static int open_cell(torture_cell *cell, const char *dir, uint64_t number) {
    int i;
    snprintf(cell->dir, sizeof cell->dir, "%s/cell-%llu-%llu", dir, (unsigned long long)cell->seed,
             (unsigned long long)number);
    cell->seed = cell->seed * 100003 + number;
    etx__demo_seed(&cell->random, cell->seed);
    cell->partitions = 1 + (uint32_t)etx__demo_draw(&cell->random, 4);
    for (i = 0; i < DEMO_BANKS; i++) {
        cell->listener[i] = -1;
    }
    if (etx__dir_make_empty(cell->dir) != 0) {
        return etx__cli_fail(cell->cli, NULL, "%s: %s", cell->dir, strerror(errno));
    }
    cell->page =
        mmap(NULL, sizeof *cell->page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (cell->page == MAP_FAILED) {
        cell->page = NULL;
        return etx__cli_fail(cell->cli, NULL, "out of memory");
    }
    return make_banks(cell);
}

static void close_cell(torture_cell *cell) {
    int i;
    torture_end(&cell->coordinator);
    for (i = 0; i < DEMO_BANKS; i++) {
        torture_end(&cell->bank[i]);
        if (cell->listener[i] >= 0) {
            (void)close(cell->listener[i]);
        }
    }
    if (cell->page != NULL) {
        (void)munmap(cell->page, sizeof *cell->page);
    }
}

static int is_over(const torture_cell *cell) {
    return atomic_load(&cell->totals->stop) != 0 || etx__demo_seconds() >= cell->deadline;
}

static int run_round(torture_cell *cell) {
    uint64_t faults = FAULTS_MIN + etx__demo_draw(&cell->random, FAULTS_MAX - FAULTS_MIN);
    int code = torture_cell_start(cell);
    for (; code == CLI_OK && faults > 0 && !is_over(cell); faults--) {
        code = torture_strike(cell);
        if (code == CLI_OK) {
            code = torture_cell_start(cell);
        }
    }
    if (code == CLI_OK) {
        code = torture_finish(cell);
    }
    if (code == CLI_OK) {
        code = torture_verify(cell, 1);
    }
    if (code == CLI_OK) {
        code = torture_audit(cell);
    }
    atomic_fetch_add(&cell->totals->rounds, code == CLI_OK);
    return code;
}

int torture_job_main(cli_context *cli,
                     torture_totals *totals,
                     const char *dir,
                     uint64_t seed,
                     double deadline) {
    sigset_t child;
    uint64_t number;
    int code = CLI_OK;
    (void)sigemptyset(&child);
    (void)sigaddset(&child, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &child, NULL); /* waited for with a time limit: fault.c */
    for (number = 0; code == CLI_OK; number++) {
        torture_cell cell = {.cli = cli, .totals = totals, .seed = seed, .deadline = deadline};
        uint64_t rounds;
        code = open_cell(&cell, dir, number);
        rounds = 1 + etx__demo_draw(&cell.random, ROUNDS_MAX);
        for (; code == CLI_OK && rounds > 0 && (rounds == 1 || !is_over(&cell)); rounds--) {
            code = run_round(&cell);
        }
        close_cell(&cell);
        if (code == CLI_OK) {
            atomic_fetch_add(&totals->cells, 1);
            (void)etx__dir_remove(cell.dir);
        }
        if (is_over(&cell)) {
            break;
        }
    }
    if (code == CLI_BAD) {
        atomic_store(&totals->stop, 1);
    }
    return code;
}

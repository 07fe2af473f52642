/* The torture's coordinator: a process with libetx, participants and clients in it. It lives until
 * it is killed, or told to finish. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "torture.h"

enum { WORKERS = 5, DRAIN_S = 60, CLOSE_MS = 20000, PATIENCE_MS = 5000, HISTORY_MAX = 1 << 20 };

void torture_nap_us(uint64_t us) {
    struct timespec pause = {(time_t)(us / 1000000), (long)(us % 1000000 * 1000)};
    (void)nanosleep(&pause, NULL);
}

uint64_t torture_wall_ms(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t torture_draw(torture_coordinator *c, uint64_t below) {
    demo_random random;
    etx__demo_seed(&random, c->cell->seed * 8191 + c->cell->life * 131071 +
                                atomic_fetch_add(&c->draws, 1) * 524287);
    return below == 0 ? 0 : etx__demo_draw(&random, below);
}

int torture_chance(torture_coordinator *c, uint64_t one_of) {
    return torture_draw(c, one_of) == 0;
}

void torture_tell(torture_coordinator *c, const char *gid, const char *word) {
    char line[ETX_GID_MAX + 64];
    int len = snprintf(line, sizeof line, "%s %s\n", gid, word);
    torture_pass(TORTURE_TELL);
    /* One write, so that a kill leaves whole lines or none. */
    if (write(c->answers, line, (size_t)len) != len) {
        atomic_fetch_add(&c->page->progress.errors, 1);
    }
    torture_pass(TORTURE_TOLD);
}

void torture_tell_outcome(torture_coordinator *c, int rc, const etx_outcome *outcome) {
    if (rc != 0) {
        atomic_fetch_add(&c->page->progress.errors, 1);
        return;
    }
    switch (outcome->state) {
        case ETX_COMMITTING: /* decided: this will not change */
        case ETX_COMMITTED:
            torture_tell(c, outcome->gid, "COMMITTED");
            break;
        case ETX_ABORTING:
        case ETX_ABORTED:
            torture_tell(c, outcome->gid, "ABORTED");
            break;
        case ETX_NONE:
        case ETX_ACTIVE:
            break;
    }
}

static int start_engine(torture_coordinator *c) {
    etx_options options = ETX_OPTIONS_INIT;
    char url[DEMO_PATH_MAX + 40];
    int rc;
    options.node = "torture";
    /* Processes die here, the machine does not: a file system in memory will do. */
    options.flags = ETX_ALLOW_VOLATILE;
    options.durability = ETX_VOLATILE;
    options.shards = 1 + (uint32_t)torture_draw(c, 3);
    options.workers = WORKERS;
    options.transactions_max = 1 << 12;
    options.history_max = HISTORY_MAX;
    options.history_age_ms = 365 * 86400000ULL;
    options.patience_ms = PATIENCE_MS;
    options.working_ms = 2;
    snprintf(url, sizeof url, "file:%s/log?partitions=%u&segment=1M", c->cell->dir,
             c->cell->partitions);
    rc = etx_engine_create(&options, &c->engine);
    if (rc == 0) {
        rc = etx_engine_home(c->engine, url);
    }
    if (rc == 0) {
        rc = torture_calls_register(c);
    }
    return rc != 0 ? rc : etx_engine_start(c->engine);
}

static int start(torture_coordinator *c) {
    char path[DEMO_PATH_MAX];
    char message[400] = "";
    int rc;
    int i;
    snprintf(path, sizeof path, "%s/answers", c->cell->dir);
    c->answers = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (c->answers < 0) {
        return etx__cli_fail(c->cell->cli, NULL, "%s: %s", path, strerror(errno));
    }
    for (i = 0; i < DEMO_BANKS; i++) {
        c->banks[i].local.progress = &c->page->progress;
        c->banks[i].listener = c->cell->listener[i];
        c->banks[i].remote = c->cell->listener[i] >= 0;
        if (!c->banks[i].remote &&
            etx__demo_bank_open(c->cell->cli, c->cell->dir, i, &c->banks[i].local) != CLI_OK) {
            return CLI_BAD;
        }
    }
    rc = torture_calls_start(c);
    if (rc == 0) {
        rc = start_engine(c);
    }
    if (rc != 0) {
        etx_engine_message(c->engine, message, sizeof message);
        return etx__cli_fail(c->cell->cli, NULL, "%s (%s)",
                             message[0] != '\0' ? message : etx_strerror(rc), etx_error_name(rc));
    }
    return CLI_OK;
}

/* Waits until nothing is in flight, recovered transactions included. */
static int drain(torture_coordinator *c) {
    double until = etx__demo_seconds() + DRAIN_S;
    while (etx__demo_seconds() < until) {
        etx_metrics metrics = {.size = sizeof metrics};
        if (etx_engine_metrics(c->engine, &metrics) == 0 && metrics.in_flight == 0 &&
            atomic_load(&c->unfinished) == 0) {
            return 0;
        }
        torture_nap_us(1000);
    }
    return -1;
}

static int run_clients(torture_coordinator *c) {
    torture_client clients[TORTURE_CLIENTS];
    int i;
    for (i = 0; i < TORTURE_CLIENTS; i++) {
        clients[i] = (torture_client){.coordinator = c, .number = i};
        if (pthread_create(&clients[i].thread, NULL, torture_client_main, &clients[i]) != 0) {
            return etx__cli_fail(c->cell->cli, NULL, "no more threads");
        }
    }
    for (i = 0; i < TORTURE_CLIENTS; i++) {
        (void)pthread_join(clients[i].thread, NULL);
    }
    return CLI_OK;
}

int torture_coordinator_main(torture_cell *cell) {
    torture_coordinator c = {.cell = cell, .page = cell->page};
    int left;
    int i;
    if (start(&c) != CLI_OK) {
        return CLI_BAD;
    }
    torture_pass(TORTURE_STARTED);
    atomic_store(&c.page->progress.stage, DEMO_RUNNING);
    if (run_clients(&c) != CLI_OK) {
        return CLI_BAD;
    }
    atomic_store(&c.page->progress.stage, DEMO_DRAINING);
    left = drain(&c);
    torture_ask_all(&c);
    if (etx_engine_close(c.engine, ETX_CLOSE_FINISH, CLOSE_MS) != 0) {
        left = -1;
    }
    torture_calls_stop(&c);
    etx_engine_free(c.engine);
    for (i = 0; i < DEMO_BANKS; i++) {
        if (!c.banks[i].remote) {
            etx__demo_bank_close(&c.banks[i].local);
        }
    }
    return left == 0 ? CLI_OK : CLI_NO;
}

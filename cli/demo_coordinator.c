/* The demo's coordinator: a process with libetx in it that moves money until it is killed or told
 * to finish. Its parent starts it as `etx demo-coordinator`. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli_dir.h"
#include "demo.h"

enum {
    IN_FLIGHT = 48,
    WORKERS = 6,
    DRAIN_S = 120,
    CLOSE_MS = 30000,
    HISTORY_MAX = 1 << 23 /* the audit wants to know all that ever was */
};

typedef struct coordinator {
    cli_context *cli;
    etx_engine *engine;
    demo_bank banks[DEMO_BANKS];
    demo_progress *progress;
    demo_random random;
    sem_t room;  /* how many more may be submitted */
    int answers; /* file: each answer that the initiator was given, one line */
} coordinator;

typedef struct coordinator_options {
    const char *dir;
    uint64_t seed;
    int finish;
} coordinator_options;

static const cli_option options_table[] = {
    {"dir", 0, CLI_TEXT, offsetof(coordinator_options, dir), "DIR", "the demo's directory", 0, 0},
    {"seed", 0, CLI_NUMBER, offsetof(coordinator_options, seed), "N", "of the transfers", 0, 0},
    {"finish", 0, CLI_FLAG, offsetof(coordinator_options, finish), NULL, "submit none", 0, 0},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, 0, 0},
};

static const cli_command command = {
    "--dir DIR --seed N [--finish]",
    "Runs the coordinator of 'etx demo' until SIGTERM, then finishes what is in flight.",
    options_table,
    "  etx demo\n",
    "  0  all finished\n  1  something was left\n  2  it could not start\n",
    0,
    0,
};

/* Two legs, three, or four, over different banks; debits first, so that a saga that is refused has
 * seldom anything to give back. The amounts add up to nothing. */
int etx__demo_transfer_draw(demo_random *random, demo_leg *legs) {
    int count = 2 + (int)etx__demo_draw(random, DEMO_LEGS_MAX - 1);
    int debits = count == 2 ? 1 : 1 + (int)etx__demo_draw(random, (uint64_t)count - 1);
    int first = (int)etx__demo_draw(random, DEMO_BANKS);
    int64_t unit = 1 + (int64_t)etx__demo_draw(random, DEMO_AMOUNT_MAX / DEMO_LEGS_MAX);
    int i;
    for (i = 0; i < count; i++) {
        /* each side moves debits * credits * unit in all */
        legs[i].bank = (first + i) % DEMO_BANKS;
        legs[i].account = 1 + (int)etx__demo_draw(random, DEMO_ACCOUNTS);
        legs[i].amount = i < debits ? -unit * (count - debits) : unit * debits;
        legs[i].legs = count;
    }
    return count;
}

static void note_answer(int rc, const etx_outcome *outcome, void *user) {
    coordinator *c = user;
    char line[ETX_GID_MAX + 16];
    int len;
    if (rc == 0 && (outcome->state == ETX_COMMITTED || outcome->state == ETX_ABORTED)) {
        /* One write, so that a kill leaves whole lines or none. */
        len = snprintf(line, sizeof line, "%s %s\n", outcome->gid, etx_state_name(outcome->state));
        if (write(c->answers, line, (size_t)len) != len) {
            atomic_fetch_add(&c->progress->errors, 1);
        }
        atomic_fetch_add(
            outcome->state == ETX_COMMITTED ? &c->progress->committed : &c->progress->aborted, 1);
    } else {
        atomic_fetch_add(&c->progress->errors, 1);
    }
    atomic_fetch_sub(&c->progress->in_flight, 1);
    sem_post(&c->room);
}

/* Submits one transfer; 0 or an ETX error, after which there is room for one more again. */
static int submit_transfer(coordinator *c) {
    demo_leg legs[DEMO_LEGS_MAX];
    int count = etx__demo_transfer_draw(&c->random, legs);
    const char *pattern = etx__demo_draw(&c->random, 5) < 3 ? "tcc" : "saga";
    etx_tx *tx = NULL;
    int rc = etx_tx_new(c->engine, NULL, &tx);
    int i;
    for (i = 0; rc == 0 && i < count; i++) {
        char participant[ETX_NAME_MAX];
        char payload[96];
        int len = etx__demo_leg_print(&legs[i], payload, sizeof payload);
        snprintf(participant, sizeof participant, "%s.%s", etx__demo_bank_name(legs[i].bank),
                 pattern);
        rc = etx_tx_add(tx, participant, payload, (size_t)len);
    }
    if (rc != 0) {
        etx_tx_discard(tx);
        return rc;
    }
    atomic_fetch_add(&c->progress->in_flight, 1);
    rc = etx_tx_submit(tx, note_answer, c);
    if (rc != 0) {
        atomic_fetch_sub(&c->progress->in_flight, 1);
    }
    return rc;
}

static void pause_ms(long ms) {
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
}

/* Keeps IN_FLIGHT transfers in flight until a signal asks to end. */
static void run_load(coordinator *c) {
    while (!*c->cli->stop) {
        struct timespec until;
        (void)clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += 1;
        if (sem_timedwait(&c->room, &until) != 0) {
            continue;
        }
        if (submit_transfer(c) != 0) {
            atomic_fetch_add(&c->progress->errors, 1);
            sem_post(&c->room);
            pause_ms(10);
        }
    }
}

/* Waits until nothing is in flight, recovered transactions included. */
static int drain(coordinator *c) {
    double until = etx__demo_seconds() + DRAIN_S;
    while (etx__demo_seconds() < until) {
        etx_metrics metrics = {.size = sizeof metrics};
        if (etx_engine_metrics(c->engine, &metrics) == 0 && metrics.in_flight == 0 &&
            atomic_load(&c->progress->in_flight) == 0) {
            return 0;
        }
        pause_ms(5);
    }
    return -1;
}

static int register_bank(coordinator *c, demo_bank *bank, etx_kind kind) {
    etx_participant participant = ETX_PARTICIPANT_INIT;
    char name[ETX_NAME_MAX];
    snprintf(name, sizeof name, "%s.%s", bank->name, etx_kind_name(kind));
    participant.name = name;
    participant.kind = kind;
    participant.forward = etx__demo_bank_call;
    participant.commit = kind == ETX_TCC ? etx__demo_bank_call : NULL;
    participant.undo = etx__demo_bank_call;
    participant.user = bank;
    participant.branch_flags = ETX_KEEPS_REFUSALS;
    return etx_engine_register(c->engine, &participant);
}

static int start_engine(coordinator *c, const char *dir) {
    etx_options options = ETX_OPTIONS_INIT;
    char url[DEMO_PATH_MAX + 16];
    char message[400] = "";
    int rc;
    int i;
    options.node = "demo";
    /* Processes die here, the machine does not: a file system in memory will do. */
    options.flags = ETX_ALLOW_VOLATILE;
    options.durability = ETX_VOLATILE;
    options.shards = 1;
    options.workers = WORKERS;
    options.transactions_max = 1 << 14;
    options.history_max = HISTORY_MAX;
    options.history_age_ms = 365 * 86400000ULL;
    options.retry_first_ms = 20;
    options.retry_cap_ms = 500;
    snprintf(url, sizeof url, "file:%s/log?partitions=2&segment=8M", dir);
    rc = etx_engine_create(&options, &c->engine);
    if (rc == 0) {
        rc = etx_engine_home(c->engine, url);
    }
    for (i = 0; rc == 0 && i < DEMO_BANKS; i++) {
        rc = register_bank(c, &c->banks[i], ETX_TCC);
        if (rc == 0) {
            rc = register_bank(c, &c->banks[i], ETX_SAGA);
        }
    }
    if (rc == 0) {
        rc = etx_engine_start(c->engine);
    }
    if (rc != 0) {
        etx_engine_message(c->engine, message, sizeof message);
        return etx__cli_fail(c->cli, NULL, "%s (%s)",
                             message[0] != '\0' ? message : etx_strerror(rc), etx_error_name(rc));
    }
    return CLI_OK;
}

static int open_all(coordinator *c, const char *dir) {
    char path[DEMO_PATH_MAX];
    int i;
    c->progress = etx__demo_map(dir);
    snprintf(path, sizeof path, "%s/answers", dir);
    c->answers = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (c->progress == NULL || c->answers < 0 || sem_init(&c->room, 0, IN_FLIGHT) != 0) {
        return etx__cli_fail(c->cli, NULL, "%s: %s", dir, strerror(errno));
    }
    memset(c->progress, 0, sizeof *c->progress); /* of one that was killed */
    for (i = 0; i < DEMO_BANKS; i++) {
        c->banks[i].progress = c->progress;
        if (etx__demo_bank_open(c->cli, dir, i, &c->banks[i]) != CLI_OK) {
            return CLI_BAD;
        }
    }
    return start_engine(c, dir);
}

int etx__command_demo_coordinator(cli_context *cli, int argc, char **argv) {
    coordinator_options options = {0};
    coordinator c = {.cli = cli};
    etx_metrics metrics = {.size = sizeof metrics};
    cli_args args;
    int left;
    sigset_t signals;
    int i;
    int code = etx__cli_parse(cli, &command, argc, argv, &options, &args);
    etx__dir_guard();
    etx__demo_signals(&signals);
    (void)sigprocmask(SIG_UNBLOCK, &signals, NULL); /* the parent blocked them */
    if (code != CLI_RUN) {
        return code;
    }
    if (options.dir == NULL || open_all(&c, options.dir) != CLI_OK) {
        return CLI_BAD;
    }
    etx__demo_seed(&c.random, options.seed);
    if (etx_engine_metrics(c.engine, &metrics) == 0) {
        atomic_store(&c.progress->recovered, metrics.recovered);
    }
    atomic_store(&c.progress->stage, DEMO_RUNNING);
    if (!options.finish) {
        run_load(&c);
    }
    atomic_store(&c.progress->stage, DEMO_DRAINING);
    left = drain(&c);
    if (etx_engine_close(c.engine, ETX_CLOSE_FINISH, CLOSE_MS) != 0) {
        left = -1;
    }
    etx_engine_free(c.engine);
    for (i = 0; i < DEMO_BANKS; i++) {
        etx__demo_bank_close(&c.banks[i]);
    }
    return left == 0 ? CLI_OK : CLI_NO;
}

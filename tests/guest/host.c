/* The bodies of host.h. */
#include "host.h"

#include <ftw.h>
#include <time.h>

void host_dir_make(host_dir *dir) {
    const char *base = getenv("TMPDIR");
    int len = snprintf(dir->path, sizeof(dir->path), "%s/etx-test-XXXXXX",
                       base != NULL && base[0] == '/' ? base : "/tmp");
    assert_true(len > 0 && (size_t)len < sizeof(dir->path));
    assert_non_null(mkdtemp(dir->path));
    snprintf(dir->url, sizeof(dir->url), "file:%s/log", dir->path);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void host_dir_remove(const host_dir *dir) {
    assert_int_equal(nftw(dir->path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

void host_bank_make(host_bank *bank) {
    memset(bank, 0, sizeof(*bank));
    assert_int_equal(sem_init(&bank->gate, 0, 0), 0);
}

static etx_reply answer(int reply) {
    return reply == 0 ? ETX_DONE : (etx_reply)reply;
}

static etx_reply forward(etx_call *call, void *user) {
    host_bank *bank = user;
    (void)call;
    atomic_fetch_add(&bank->forwards, 1);
    if (bank->gated) {
        atomic_fetch_add(&bank->blocked, 1);
        while (sem_wait(&bank->gate) != 0) {
        }
    }
    etx_reply reply = answer(atomic_load(&bank->forward_reply));
    atomic_fetch_add(&bank->returned, 1);
    return reply;
}

static etx_reply commit(etx_call *call, void *user) {
    host_bank *bank = user;
    (void)call;
    atomic_fetch_add(&bank->commits, 1);
    return answer(atomic_load(&bank->finish_reply));
}

static etx_reply undo(etx_call *call, void *user) {
    host_bank *bank = user;
    (void)call;
    atomic_fetch_add(&bank->undos, 1);
    return answer(atomic_load(&bank->finish_reply));
}

etx_participant host_participant(const char *name, etx_kind kind, uint32_t flags, host_bank *bank) {
    etx_participant participant = ETX_PARTICIPANT_INIT;
    participant.name = name;
    participant.kind = kind;
    participant.flags = flags;
    participant.user = bank;
    if (kind == ETX_TCC || kind == ETX_SAGA || kind == ETX_XA) {
        participant.forward = forward;
        participant.undo = undo;
    }
    if (kind != ETX_SAGA) {
        participant.commit = commit;
    }
    return participant;
}

etx_options host_options(void) {
    etx_options options = ETX_OPTIONS_INIT;
    options.flags = ETX_ALLOW_VOLATILE;
    options.durability = ETX_VOLATILE;
    options.shards = 2;
    options.workers = 4;
    options.transactions_max = 1000;
    options.history_max = 1000;
    options.memory_max = 64u << 20;
    options.retry_first_ms = 10;
    options.retry_cap_ms = 100;
    options.working_ms = 20;
    return options;
}

static void must(etx_engine *engine, int rc, const char *what) {
    if (rc != 0) {
        char message[512];
        etx_engine_message(engine, message, sizeof(message));
        fail_msg("%s: %s: %s", what, etx_error_name(rc), message);
    }
}

etx_engine *host_engine(const char *url, const etx_options *options, host_bank *bank) {
    etx_options own = host_options();
    etx_engine *engine = NULL;
    int rc = etx_engine_create(options != NULL ? options : &own, &engine);
    assert_int_equal(rc, 0);
    must(engine, etx_engine_home(engine, url), url);
    etx_participant stock = host_participant("stock", ETX_TCC, ETX_INLINE, bank);
    etx_participant slow = host_participant("slow", ETX_TCC, 0, bank);
    etx_participant step = host_participant("step", ETX_SAGA, ETX_INLINE, bank);
    must(engine, etx_engine_register(engine, &stock), "register stock");
    must(engine, etx_engine_register(engine, &slow), "register slow");
    must(engine, etx_engine_register(engine, &step), "register step");
    must(engine, etx_engine_start(engine), "start");
    return engine;
}

void host_engine_end(etx_engine *engine) {
    must(engine, etx_engine_close(engine, ETX_CLOSE_FINISH, 60000), "close");
    etx_engine_free(engine);
}

void host_says(etx_engine *engine, int rc, int want, const char *text) {
    char message[512];
    etx_engine_message(engine, message, sizeof message);
    assert_int_equal(rc, want);
    if (strstr(message, text) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", message, text);
    }
    /* what comes next starts from another message */
    assert_true(etx_tx_begin(engine, NULL, NULL) < 0);
}

int host_run(etx_engine *engine, const char *participant, etx_outcome *outcome) {
    etx_tx *tx = NULL;
    int rc = etx_tx_new(engine, NULL, &tx);
    if (rc != 0) {
        return rc;
    }
    rc = etx_tx_add(tx, participant, "x", 1);
    if (rc != 0) {
        etx_tx_discard(tx);
        return rc;
    }
    return etx_tx_run(tx, outcome);
}

static void *run_thread(void *arg) {
    host_runner *runner = arg;
    runner->rc = host_run(runner->engine, runner->participant, &runner->outcome);
    runner->done_ms = host_now_ms();
    return NULL;
}

void host_runner_start(host_runner *runner, etx_engine *engine, const char *participant) {
    *runner = (host_runner){.engine = engine, .participant = participant};
    runner->outcome = (etx_outcome)ETX_OUTCOME_INIT;
    assert_int_equal(pthread_create(&runner->thread, NULL, run_thread, runner), 0);
}

void host_runner_join(host_runner *runner) {
    assert_int_equal(pthread_join(runner->thread, NULL), 0);
}

uint64_t host_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

bool host_wait_for(atomic_uint *counter, unsigned at_least) {
    uint64_t end = host_now_ms() + 60000;
    while (atomic_load(counter) < at_least) {
        if (host_now_ms() > end) {
            return false;
        }
        usleep(1000);
    }
    return true;
}

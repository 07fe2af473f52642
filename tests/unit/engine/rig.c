/* Banks, engines and waiting. */
#include "rig.h"

#include <errno.h>
#include <sys/mman.h>

/* ---- banks */

void rig_bank_make(rig_bank *bank, uint32_t rows) {
    memset(bank, 0, sizeof *bank);
    pthread_mutexattr_t shared;
    pthread_mutexattr_init(&shared);
    pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&shared, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&bank->lock, &shared);
    pthread_mutexattr_destroy(&shared);
    bank->room = 1024;
    while (bank->room < rows * 2) {
        bank->room *= 2;
    }
    bank->row = mmap(NULL, bank->room * sizeof *bank->row, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(bank->row, MAP_FAILED);
    bank->seed = 1;
}

void rig_bank_end(rig_bank *bank) {
    munmap(bank->row, bank->room * sizeof *bank->row);
    pthread_mutex_destroy(&bank->lock);
}

/* Whoever held it may have been killed: what it wrote is whole all the same (see row_of). */
static void bank_lock(rig_bank *bank) {
    if (pthread_mutex_lock(&bank->lock) == EOWNERDEAD) {
        pthread_mutex_consistent(&bank->lock);
    }
}

static rig_row *row_of(rig_bank *bank, const char *gid, const char *branch) {
    for (uint32_t at = etx_crc32c(0, gid, strlen(gid));; at++) {
        rig_row *row = &bank->row[at & (bank->room - 1)];
        if (row->gid[0] == 0) {
            snprintf(row->branch, sizeof row->branch, "%s", branch);
            snprintf(row->gid + 1, sizeof row->gid - 1, "%s", gid + 1);
            atomic_signal_fence(memory_order_seq_cst);
            row->gid[0] = gid[0]; /* the row is there, from here on */
            bank->count++;
            assert_true(bank->count < bank->room);
            return row;
        }
        if (strcmp(row->gid, gid) == 0 && strcmp(row->branch, branch) == 0) {
            return row;
        }
    }
}

/* Chance: does this call say nothing useful? */
static bool chaos(rig_bank *bank) {
    uint32_t one_of = atomic_load(&bank->chaos);
    if (one_of == 0) {
        return false;
    }
    uint32_t seed = atomic_fetch_add(&bank->seed, 1);
    return etx_crc32c(0, &seed, sizeof seed) % one_of == 0;
}

static etx_reply forward_row(rig_row *row, const rig_order *order) {
    row->branches = order->branches;
    if (row->undo || row->refused) {
        row->refused = 1;
        return ETX_REFUSED;
    }
    if (order->what == 'R') {
        row->refused = 1;
        return ETX_REFUSED;
    }
    row->forward = 1;
    return ETX_DONE;
}

static etx_reply operate(etx_call *call, void *user) {
    rig_bank *bank = user;
    rig_order order = {2, 'D'};
    size_t len = 0;
    const void *payload = etx_call_payload(call, &len);
    if (len == sizeof order) {
        memcpy(&order, payload, len);
    }
    atomic_fetch_add(&bank->calls, 1);
    if (chaos(bank)) {
        return ETX_RETRY;
    }
    etx_reply reply = ETX_DONE;
    bank_lock(bank);
    rig_row *row = row_of(bank, etx_call_gid(call), etx_call_branch(call));
    row->kind = (uint8_t)etx_call_kind(call);
    row->branches = order.branches;
    switch (etx_call_operation(call)) {
        case ETX_FORWARD:
            reply = forward_row(row, &order);
            break;
        case ETX_COMMIT:
            if (!row->forward && row->kind != ETX_MESSAGE && row->kind != ETX_NOTIFICATION) {
                atomic_fetch_add(&bank->empty_commits, 1);
            }
            row->commit = 1;
            break;
        case ETX_UNDO:
            row->undo = 1;
            break;
        case ETX_QUERY:
        case ETX_RESUME:
            break;
    }
    pthread_mutex_unlock(&bank->lock);
    if (reply == ETX_REFUSED) {
        etx_call_reason(call, "no money");
    }
    return chaos(bank) ? ETX_RETRY : reply;
}

void rig_bank_register(rig_bank *bank,
                       etx_engine *engine,
                       const char *name,
                       etx_kind kind,
                       uint32_t flags) {
    etx_participant participant = ETX_PARTICIPANT_INIT;
    participant.name = name;
    participant.kind = kind;
    participant.flags = flags;
    participant.user = bank;
    if (kind == ETX_TCC || kind == ETX_SAGA || kind == ETX_XA) {
        participant.forward = operate;
        participant.undo = operate;
    }
    if (kind != ETX_SAGA) {
        participant.commit = operate;
    }
    rig_must(engine, etx_engine_register(engine, &participant), name);
}

static bool took_effect(const rig_row *row) {
    return row->kind == ETX_SAGA ? row->forward && !row->undo : row->commit;
}

static uint32_t effects_of(rig_bank *bank, const char *gid, uint32_t *ret_branches) {
    uint32_t effects = 0;
    for (uint32_t at = etx_crc32c(0, gid, strlen(gid));; at++) {
        const rig_row *row = &bank->row[at & (bank->room - 1)];
        if (row->gid[0] == 0) {
            return effects;
        }
        if (strcmp(row->gid, gid) == 0) {
            *ret_branches = row->branches > *ret_branches ? row->branches : *ret_branches;
            effects += took_effect(row);
        }
    }
}

int rig_bank_effect(rig_bank *bank, const char *gid) {
    uint32_t branches = 0;
    bank_lock(bank);
    uint32_t effects = effects_of(bank, gid, &branches);
    pthread_mutex_unlock(&bank->lock);
    return effects == 0 ? 0 : effects == branches ? 1 : -1;
}

static int by_gid(const void *a, const void *b) {
    return strcmp(((const rig_row *)a)->gid, ((const rig_row *)b)->gid);
}

unsigned rig_bank_torn(rig_bank *bank) {
    unsigned torn = 0;
    bank_lock(bank);
    rig_row *sorted = calloc(bank->count + 1, sizeof *sorted);
    uint32_t count = 0;
    assert_non_null(sorted);
    for (uint32_t i = 0; i < bank->room; i++) {
        if (bank->row[i].gid[0] != 0) {
            sorted[count++] = bank->row[i];
        }
    }
    pthread_mutex_unlock(&bank->lock);
    qsort(sorted, count, sizeof *sorted, by_gid);
    for (uint32_t i = 0; i < count;) {
        uint32_t effects = 0, wrong = 0, from = i;
        for (; i < count && strcmp(sorted[i].gid, sorted[from].gid) == 0; i++) {
            effects += took_effect(&sorted[i]);
            wrong += sorted[i].commit && sorted[i].undo;
            wrong += sorted[i].kind == ETX_TCC && sorted[i].forward && !sorted[i].commit &&
                     !sorted[i].undo;
        }
        if (wrong > 0 || (effects != 0 && effects != sorted[from].branches)) {
            torn++;
            print_error("torn: %s: %u of %u, %u wrong\n", sorted[from].gid, effects,
                        sorted[from].branches, wrong);
        }
    }
    free(sorted);
    return torn;
}

void rig_broken(const char *what, const char *file, int line) {
    print_error("%s:%d: does not hold: %s\n", file, line, what);
    abort();
}

/* ---- engines */

etx_options rig_options(void) {
    etx_options options = host_options();
    options.durability = ETX_LOCAL;
    options.transactions_max = 20000;
    options.history_max = 20000;
    options.memory_max = 256u << 20;
    options.patience_ms = 20000;
    options.hold_down_ms = 200;
    return options;
}

void rig_must(etx_engine *engine, int rc, const char *what) {
    if (rc != 0) {
        char message[512];
        etx_engine_message(engine, message, sizeof message);
        fail_msg("%s: %s: %s", what, etx_error_name(rc), message);
    }
}

etx_engine *rig_engine(const etx_options *options, const char *first, const char *second) {
    etx_options own = rig_options();
    etx_engine *engine = NULL;
    assert_int_equal(etx_engine_create(options != NULL ? options : &own, &engine), 0);
    rig_must(engine, etx_engine_log(engine, rig_log_ops()), "log");
    rig_must(engine, etx_engine_home(engine, first), first);
    if (second != NULL) {
        rig_must(engine, etx_engine_home(engine, second), second);
    }
    return engine;
}

void rig_start(etx_engine *engine) {
    rig_must(engine, etx_engine_start(engine), "start");
}

void rig_close(etx_engine *engine, etx_close_mode mode) {
    int rc = etx_engine_close(engine, mode, 60000);
    if (rc != ETX_EBUSY || mode != ETX_CLOSE_ABRUPT) {
        rig_must(engine, rc, "close");
    }
    etx_engine_free(engine);
}

void rig_submit_slow(etx_engine *engine, host_bank *slow) {
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    options.gid = "slow-1";
    rig_must(engine, etx_tx_new(engine, &options, &tx), "new");
    rig_must(engine, etx_tx_add(tx, "slow", "x", 1), "add");
    rig_must(engine, etx_tx_submit(tx, NULL, NULL), "submit");
    assert_true(host_wait_for(&slow->blocked, 1));
}

etx_tx *rig_pair(etx_engine *engine, const char *participant, const char *gid, char what) {
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    rig_order order;
    memset(&order, 0, sizeof order);
    order.branches = 2;
    etx_tx *tx = NULL;
    options.gid = gid;
    rig_must(engine, etx_tx_new(engine, &options, &tx), "new");
    for (int i = 0; i < 2; i++) {
        etx_branch branch = ETX_BRANCH_INIT;
        order.what = i == 1 ? what : 'D';
        branch.participant = participant;
        branch.name = i == 0 ? "a" : "b";
        branch.payload = &order;
        branch.payload_len = sizeof order;
        rig_must(engine, etx_tx_add_branch(tx, &branch), "add");
    }
    return tx;
}

etx_state rig_state(etx_engine *engine, const char *gid) {
    etx_status status = {.size = sizeof status};
    return etx_query(engine, gid, &status) == 0 ? status.state : ETX_NONE;
}

bool rig_reaches(etx_engine *engine, const char *gid, etx_state state, uint32_t marks) {
    uint64_t end = host_now_ms() + 60000;
    while (host_now_ms() < end) {
        etx_status status = {.size = sizeof status};
        if (etx_query(engine, gid, &status) == 0 && status.state == state &&
            (status.marks & marks) == marks) {
            return true;
        }
        usleep(1000);
    }
    return false;
}

/* Waits until the metrics are as they should be; a minute at most. */
static bool metrics_become(etx_engine *engine,
                           bool (*good)(const etx_metrics *metrics, uint64_t wanted),
                           uint64_t wanted) {
    uint64_t end = host_now_ms() + 60000;
    while (host_now_ms() < end) {
        etx_metrics metrics = {.size = sizeof metrics};
        assert_int_equal(etx_engine_metrics(engine, &metrics), 0);
        if (good(&metrics, wanted)) {
            return true;
        }
        usleep(1000);
    }
    return false;
}

static bool in_flight(const etx_metrics *metrics, uint64_t wanted) {
    return metrics->in_flight == wanted;
}

static bool has_trims(const etx_metrics *metrics, uint64_t wanted) {
    return metrics->trims >= wanted;
}

static bool has_ends(const etx_metrics *metrics, uint64_t wanted) {
    return metrics->ended >= wanted;
}

bool rig_quiet(etx_engine *engine) {
    return metrics_become(engine, in_flight, 0);
}

bool rig_flying(etx_engine *engine, uint64_t count) {
    return metrics_become(engine, in_flight, count);
}

bool rig_trimmed(etx_engine *engine, uint64_t trims) {
    return metrics_become(engine, has_trims, trims);
}

bool rig_written(etx_engine *engine, uint64_t ended) {
    return metrics_become(engine, has_ends, ended);
}

void rig_done_fn(int rc, const etx_outcome *outcome, void *user) {
    rig_done *done = user;
    done->outcome = *outcome;
    atomic_store(&done->rc, rc);
    atomic_fetch_add(&done->count, 1);
}

void rig_wait_for_looks(etx_engine *engine, unsigned place, unsigned looks) {
    etx_node_status node = {.size = sizeof node};
    uint64_t left_ms = UINT64_MAX;
    for (uint64_t begin = host_now_ms(); looks > 0;) {
        uint32_t i = 0;
        node.here = 0;
        while (!node.here && etx_engine_node_status(engine, place, i, &node) == 0) {
            i++;
        }
        looks -= node.here && node.left_ms > left_ms;
        left_ms = node.here ? node.left_ms : left_ms;
        assert_true(host_now_ms() < begin + 60000);
        usleep(2000);
    }
}

/* A log adapter made outside of ETX, by its public headers alone: slots kept in this process's
 * memory, under a URL scheme of its own, and an engine that works on it.
 *
 * A log is asked for little: put a batch into the next slot if nobody else has, give the slots
 * back in order, forget the old ones. <etx/log.h> says the rules of each function. */
#include <etx/etx.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define PARTITIONS 2

/* A slot that was written; its bytes follow it. */
typedef struct own_slot {
    uint64_t nonce;
    uint32_t predecessor;
    uint32_t checksum;
    size_t len;
    unsigned char bytes[];
} own_slot;

typedef struct own_partition {
    own_slot **slot; /* the slots from `mark` on */
    size_t count;    /* how many there are */
    size_t room;     /* for how many there is room */
    uint64_t mark;   /* all below are gone */
    uint64_t bytes;
} own_partition;

typedef struct own_log {
    etx_log base; /* first: the engine sees this alone */
    char id[ETX_HOME_ID_LEN + 1];
    own_partition partition[PARTITIONS];
} own_log;

/* The first letter of an id is the class of the log: 'v', since it forgets with the process. */
static int draw_id(char id[ETX_HOME_ID_LEN + 1]) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    unsigned char random[ETX_HOME_ID_LEN];
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
        return ETX_EIO;
    }
    id[0] = 'v';
    for (size_t i = 1; i < ETX_HOME_ID_LEN; i++) {
        id[i] = letters[random[i] % 32];
    }
    id[ETX_HOME_ID_LEN] = '\0';
    return 0;
}

static void own_close(etx_log *log, int clean) {
    own_log *own = (own_log *)log;
    (void)clean;
    for (size_t p = 0; p < PARTITIONS; p++) {
        for (size_t i = 0; i < own->partition[p].count; i++) {
            free(own->partition[p].slot[i]);
        }
        free(own->partition[p].slot);
    }
    free(own);
}

static int own_info(etx_log *log, etx_log_info *ret_info) {
    own_log *own = (own_log *)log;
    snprintf(ret_info->id, sizeof(ret_info->id), "%s", own->id);
    ret_info->partitions = PARTITIONS;
    ret_info->flags = ETX_LOG_FAST;
    ret_info->batch_max = (size_t)4 << 20;
    ret_info->grade = ETX_VOLATILE;
    ret_info->remark = "kept in memory";
    return 0;
}

/* Keeps the batch in the next slot. */
static etx_put_result append(own_partition *partition, etx_put *put) {
    if (partition->count == partition->room) {
        size_t room = partition->room * 2 + 16;
        own_slot **grown = realloc(partition->slot, room * sizeof(own_slot *));
        if (grown == NULL) {
            put->error = ETX_ENOMEM;
            return ETX_PUT_NOT_WRITTEN;
        }
        partition->slot = grown;
        partition->room = room;
    }
    own_slot *slot = malloc(sizeof(*slot) + put->batch.len);
    if (slot == NULL) {
        put->error = ETX_ENOMEM;
        return ETX_PUT_NOT_WRITTEN;
    }
    slot->nonce = put->nonce;
    slot->predecessor = put->predecessor;
    slot->checksum = put->checksum;
    slot->len = put->batch.len;
    memcpy(slot->bytes, put->batch.data, put->batch.len);
    partition->slot[partition->count++] = slot;
    partition->bytes += put->batch.len;
    return ETX_PUT_WRITTEN;
}

static etx_put_result own_put(etx_log *log, etx_put *put) {
    own_partition *partition = &((own_log *)log)->partition[put->partition];
    uint64_t next = partition->mark + partition->count;
    if (put->slot < partition->mark) {
        put->found_trimmed = 1;
        return ETX_PUT_OCCUPIED;
    }
    if (put->slot < next) {
        const own_slot *there = partition->slot[put->slot - partition->mark];
        put->found_checksum = there->checksum;
        put->found_nonce = there->nonce;
        put->found_trimmed = 0;
        return ETX_PUT_OCCUPIED;
    }
    if (put->slot > next) {
        return ETX_PUT_PREDECESSOR;
    }
    if (put->slot > 0 && (partition->count == 0 ||
                          partition->slot[partition->count - 1]->checksum != put->predecessor)) {
        return ETX_PUT_PREDECESSOR;
    }
    return append(partition, put);
}

static int own_get(etx_log *log,
                   uint32_t number,
                   uint64_t from,
                   etx_slot_fn visit,
                   void *user,
                   uint64_t *ret_mark,
                   char *message,
                   size_t message_size) {
    const own_partition *partition = &((own_log *)log)->partition[number];
    (void)message;
    (void)message_size;
    *ret_mark = partition->mark;
    if (from < partition->mark) {
        from = partition->mark;
    }
    for (uint64_t n = from; n < partition->mark + partition->count; n++) {
        const own_slot *there = partition->slot[n - partition->mark];
        etx_slot slot = {number,       there->predecessor, n,
                         there->nonce, there->checksum,    {there->bytes, there->len}};
        int rc = visit(&slot, user);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* The newest slot stays: the next put is judged by it. */
static int own_trim(etx_log *log, uint32_t number, uint64_t below) {
    own_partition *partition = &((own_log *)log)->partition[number];
    size_t gone = 0;
    while (gone + 1 < partition->count && partition->mark + gone < below) {
        partition->bytes -= partition->slot[gone]->len;
        free(partition->slot[gone]);
        gone++;
    }
    if (gone > 0) {
        memmove(partition->slot, partition->slot + gone,
                (partition->count - gone) * sizeof(own_slot *));
        partition->count -= gone;
        partition->mark += gone;
    }
    return 0;
}

static int own_space(etx_log *log, uint32_t number, etx_log_space *ret_space) {
    ret_space->bytes_used = ((own_log *)log)->partition[number].bytes;
    ret_space->bytes_total = ret_space->bytes_used;
    ret_space->trim_unit = 1;
    ret_space->full = 0;
    return 0;
}

static int own_open(const etx_log_config *config, etx_log **ret_log);

static const etx_log_ops own_ops = {
    .version = ETX_LOG_VERSION,
    .scheme = "own",
    .open = own_open,
    .close = own_close,
    .info = own_info,
    .put = own_put,
    .get = own_get,
    .trim = own_trim,
    .space = own_space,
};

static int own_open(const etx_log_config *config, etx_log **ret_log) {
    if ((config->flags & (ETX_LOG_NO_CREATE | ETX_LOG_READ_ONLY)) != 0) {
        snprintf(config->message, config->message_size, "%s: nothing was kept", config->url);
        return ETX_ENOTFOUND;
    }
    own_log *own = calloc(1, sizeof(*own));
    if (own == NULL) {
        return ETX_ENOMEM;
    }
    int rc = draw_id(own->id);
    if (rc != 0) {
        free(own);
        return rc;
    }
    own->base.ops = &own_ops;
    *ret_log = &own->base;
    return 0;
}

/* ---- a program that uses it */

static etx_reply count_call(etx_call *call, void *user) {
    (void)call;
    ++*(unsigned *)user;
    return ETX_DONE;
}

static void tell_event(const etx_event *event, void *user) {
    (void)user;
    printf("%s: %s\n", etx_event_name(event->type), event->reason);
}

static int run_some(etx_engine *engine, unsigned number) {
    for (unsigned i = 0; i < number; i++) {
        etx_outcome outcome = ETX_OUTCOME_INIT;
        etx_tx *tx = NULL;
        int rc = etx_tx_new(engine, NULL, &tx);
        if (rc == 0) {
            etx_tx_add(tx, "counter", "+1", 2);
            rc = etx_tx_run(tx, &outcome);
        }
        if (rc != 0 || outcome.state != ETX_COMMITTED) {
            fprintf(stderr, "%s %s\n", etx_error_name(rc), outcome.reason);
            return 1;
        }
    }
    return 0;
}

int main(void) {
    unsigned calls = 0;
    etx_options options = ETX_OPTIONS_INIT;
    etx_monitor monitor = ETX_MONITOR_INIT;
    etx_participant counter = ETX_PARTICIPANT_INIT;
    etx_metrics metrics;
    etx_engine *engine = NULL;
    monitor.on_event = tell_event;
    options.monitor = &monitor;
    options.flags = ETX_ALLOW_VOLATILE;
    options.durability = ETX_VOLATILE;
    counter.name = "counter";
    counter.kind = ETX_TCC;
    counter.forward = counter.commit = counter.undo = count_call;
    counter.user = &calls;
    counter.flags = ETX_INLINE;
    if (etx_engine_create(&options, &engine) != 0) {
        return 1;
    }
    int failed = etx_engine_log(engine, &own_ops) != 0 || etx_engine_home(engine, "own:") != 0 ||
                 etx_engine_register(engine, &counter) != 0 || etx_engine_start(engine) != 0;
    if (failed) {
        char message[256];
        etx_engine_message(engine, message, sizeof(message));
        fprintf(stderr, "%s\n", message);
    } else {
        failed = run_some(engine, 100);
        memset(&metrics, 0, sizeof(metrics));
        metrics.size = sizeof(metrics);
        etx_engine_metrics(engine, &metrics);
        etx_engine_close(engine, ETX_CLOSE_FINISH, 5000);
        printf("%" PRIu64 " committed, %u calls, %" PRIu64 " puts\n", metrics.committed, calls,
               metrics.puts);
    }
    etx_engine_free(engine);
    return failed || calls < 200;
}

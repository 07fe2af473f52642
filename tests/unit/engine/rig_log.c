/* The log that fails on request. */
#include "rig.h"

static rig_log *log_of(etx_log *head) {
    return ((rig_handle *)(void *)head)->log;
}

/* The URL holds the address of what steers it: an adapter has no other way to be told. */
static int faulty_open(const etx_log_config *config, etx_log **ret_log) {
    rig_log *log = (rig_log *)(uintptr_t)strtoull(strchr(config->url, ':') + 1, NULL, 16);
    if (atomic_load(&log->absent) && !atomic_load(&log->away)) {
        if (config->flags & ETX_LOG_NO_CREATE) {
            return ETX_ENOTFOUND;
        }
        atomic_store(&log->absent, 0);
    }
    rig_handle *made = calloc(1, sizeof *made);
    assert_non_null(made);
    if (log->inner == NULL) {
        etx_log_config inner = *config;
        inner.url = log->inner_url;
        int rc = log->ops->open(&inner, &log->inner);
        if (rc != 0) {
            free(made);
            return rc;
        }
    }
    made->head.ops = rig_log_ops();
    made->log = log;
    *ret_log = &made->head;
    return 0;
}

static void faulty_close(etx_log *head, int clean) {
    rig_log *log = log_of(head);
    atomic_store(&log->clean, clean);
    if (log->ops == etx_log_file()) {
        log->ops->close(log->inner, clean);
        log->inner = NULL;
    }
    free(head);
    atomic_fetch_add(&log->closed, 1);
}

static int faulty_info(etx_log *head, etx_log_info *ret_info) {
    rig_log *log = log_of(head);
    int rc = log->ops->info(log->inner, ret_info);
    ret_info->grade = log->grade;
    ret_info->batch_max = log->batch_max > 0 ? log->batch_max : ret_info->batch_max;
    ret_info->slack = log->slack > 0 ? log->slack : ret_info->slack;
    ret_info->id[0] = log->class;
    pthread_mutex_lock(&log->lock);
    if (log->id[0] == 0) {
        memcpy(log->id, ret_info->id, sizeof log->id);
    }
    memcpy(ret_info->id, log->id, sizeof log->id);
    pthread_mutex_unlock(&log->lock);
    ret_info->identity = log->identity;
    ret_info->flags &= ~(uint32_t)ETX_LOG_FAST;
    return rc;
}

static etx_put_result say(etx_put *put, etx_put_result result, int error, const char *message) {
    put->error = error;
    snprintf(put->message, sizeof put->message, "%s", message);
    return result;
}

/* A test looks into the log while its engine runs. */
static etx_put_result inner_put(rig_log *log, etx_put *put) {
    pthread_mutex_lock(&log->lock);
    etx_put_result result = log->ops->put(log->inner, put);
    pthread_mutex_unlock(&log->lock);
    return result;
}

/* Partitions put at the same time: who takes the last one takes it alone, else `times` would fall
 * below 0, and all puts would fail from then on. */
static bool fails_now(rig_log *log, const etx_put *put) {
    int times = atomic_load(&log->times);
    do {
        int fault = atomic_load(&log->fault);
        if (fault == RIG_WELL || times == 0 ||
            (fault == RIG_CROWDED && put->batch.len <= RIG_SMALL) ||
            (fault == RIG_RESERVE && !put->begins)) {
            return false;
        }
    } while (times > 0 && !atomic_compare_exchange_weak(&log->times, &times, times - 1));
    atomic_fetch_add(&log->faults, 1);
    return true;
}

static etx_put_result steered_put(rig_log *log, etx_put *put) {
    atomic_fetch_add(&log->puts, 1);
    if (put->batch.len > atomic_load(&log->largest)) {
        atomic_store(&log->largest, put->batch.len);
    }
    if (!fails_now(log, put)) {
        return inner_put(log, put);
    }
    rig_fault fault = (rig_fault)atomic_load(&log->fault);
    switch (fault) {
        case RIG_UNKNOWN:
            return say(put, ETX_PUT_UNKNOWN, ETX_EUNAVAILABLE, "nobody answers");
        case RIG_UNKNOWN_WRITTEN:
            inner_put(log, put);
            return say(put, ETX_PUT_UNKNOWN, ETX_EUNAVAILABLE, "nobody answers any more");
        case RIG_NOT_WRITTEN:
            return say(put, ETX_PUT_NOT_WRITTEN, ETX_EUNAVAILABLE, "it is away");
        case RIG_FULL:
        case RIG_CROWDED:
        case RIG_RESERVE:
            return say(put, ETX_PUT_NOT_WRITTEN, ETX_EFULL, "no space");
        case RIG_NO_MEMORY:
            return say(put, ETX_PUT_NOT_WRITTEN, ETX_ENOMEM, "out of memory");
        case RIG_BROKEN:
            return say(put, ETX_PUT_UNKNOWN, ETX_EIO, "the disk is broken");
        case RIG_BROKEN_WRITTEN:
            inner_put(log, put);
            return say(put, ETX_PUT_UNKNOWN, ETX_EIO, "the disk broke");
        case RIG_HANGS:
        case RIG_HANGS_UNWRITTEN:
            atomic_fetch_add(&log->hanging, 1);
            while (sem_wait(&log->gate) != 0) {
            }
            if (fault == RIG_HANGS_UNWRITTEN) {
                return say(put, ETX_PUT_NOT_WRITTEN, ETX_EUNAVAILABLE, "it was away");
            }
            break;
        case RIG_RACED:
            rig_log_put(log, put->partition, put->nonce + 1, (etx_bytes){"\x01", 1});
            break;
        case RIG_WELL:
            break;
    }
    return inner_put(log, put);
}

/* An engine has one put under way in a partition, never two. */
static etx_put_result faulty_put(etx_log *head, etx_put *put) {
    atomic_uint *putting = ((rig_handle *)(void *)head)->putting + put->partition;
    rig_check(put->partition < RIG_PARTITIONS && atomic_fetch_add(putting, 1) == 0);
    etx_put_result result = steered_put(log_of(head), put);
    atomic_fetch_sub(putting, 1);
    return result;
}

static int faulty_get(etx_log *head,
                      uint32_t partition,
                      uint64_t from,
                      etx_slot_fn visit,
                      void *user,
                      uint64_t *ret_mark,
                      char *message,
                      size_t message_size) {
    rig_log *log = log_of(head);
    int shared = head->ops == rig_shared_ops(); /* then another engine may put meanwhile */
    if (log->on_get != NULL) {
        log->on_get(log, partition, from);
    }
    if (atomic_load(&log->get_rc) != 0) {
        atomic_fetch_add(&log->gets_failed, 1);
        snprintf(message, message_size, "the store does not answer");
        return atomic_load(&log->get_rc);
    }
    if (shared) {
        pthread_mutex_lock(&log->lock);
    }
    int rc =
        log->ops->get(log->inner, partition, from, visit, user, ret_mark, message, message_size);
    if (shared) {
        pthread_mutex_unlock(&log->lock);
    }
    return rc;
}

static int faulty_trim(etx_log *head, uint32_t partition, uint64_t below) {
    rig_log *log = log_of(head);
    int rc = atomic_load(&log->trim_rc);
    atomic_fetch_add(&log->trims, 1);
    if (log->on_trim != NULL) {
        log->on_trim(log, partition, below);
    }
    pthread_mutex_lock(&log->lock);
    rc = rc != 0 ? rc : log->ops->trim(log->inner, partition, below);
    pthread_mutex_unlock(&log->lock);
    return rc;
}

static int faulty_reopen(etx_log *head, uint32_t partition, char *message, size_t message_size) {
    rig_log *log = log_of(head);
    int rc = atomic_load(&log->reopen_rc);
    atomic_fetch_add(&log->reopened, 1);
    if (rc != 0) {
        snprintf(message, message_size, "still broken");
        return rc;
    }
    return log->ops->reopen != NULL ? log->ops->reopen(log->inner, partition, message, message_size)
                                    : 0;
}

static int faulty_space(etx_log *head, uint32_t partition, etx_log_space *ret_space) {
    rig_log *log = log_of(head);
    pthread_mutex_lock(&log->lock);
    int rc = log->ops->space(log->inner, partition, ret_space);
    pthread_mutex_unlock(&log->lock);
    ret_space->full = (uint8_t)atomic_load(&log->full);
    uint64_t room = atomic_load(&log->room);
    if (room > 0) {
        ret_space->bytes_total = ret_space->bytes_used + room;
    }
    return rc;
}

const etx_log_ops *rig_log_ops(void) {
    static const etx_log_ops ops = {
        .version = ETX_LOG_VERSION,
        .scheme = "faulty",
        .open = faulty_open,
        .close = faulty_close,
        .info = faulty_info,
        .put = faulty_put,
        .get = faulty_get,
        .trim = faulty_trim,
        .reopen = faulty_reopen,
        .space = faulty_space,
    };
    return &ops;
}

/* The log in memory outlives engines, and so do not their allocators. */
static void *keep_allocate(void *user, size_t size) {
    (void)user;
    return calloc(1, size);
}

static void keep_release(void *user, void *block, size_t size) {
    (void)user;
    (void)size;
    free(block);
}

static etx_log *memory_make(const rig_log *log) {
    static const etx_allocator keep = {keep_allocate, keep_release, NULL};
    char message[256];
    etx_log *made = NULL;
    etx_log_config config = {.size = sizeof config,
                             .url = log->inner_url,
                             .node = "node",
                             .allocator = &keep,
                             .message = message,
                             .message_size = sizeof message};
    rig_check(log->ops->open(&config, &made) == 0);
    return made;
}

static int copy_slot(const etx_slot *slot, void *user) {
    rig_log *log = user;
    etx_put put = {.size = sizeof put,
                   .partition = slot->partition,
                   .slot = slot->slot,
                   .predecessor = slot->predecessor,
                   .nonce = slot->nonce,
                   .batch = slot->batch,
                   .checksum = slot->checksum};
    rig_check(log->ops->put(log->backup, &put) == ETX_PUT_WRITTEN);
    return 0;
}

void rig_log_backup(rig_log *log) {
    etx_log_info info = {.size = sizeof info};
    pthread_mutex_lock(&log->lock);
    rig_check(log->backup == NULL && log->ops->info(log->inner, &info) == 0);
    log->backup = memory_make(log);
    for (uint32_t i = 0; i < info.partitions; i++) {
        rig_check(log->ops->get(log->inner, i, 0, copy_slot, log, NULL, NULL, 0) == 0);
    }
    pthread_mutex_unlock(&log->lock);
}

void rig_log_restore(rig_log *log) {
    pthread_mutex_lock(&log->lock);
    rig_check(log->backup != NULL);
    log->ops->close(log->inner, 1);
    log->inner = log->backup;
    log->backup = NULL;
    pthread_mutex_unlock(&log->lock);
}

void rig_log_make(rig_log *log, const char *dir, const char *options) {
    memset(log, 0, sizeof *log);
    snprintf(log->url, sizeof log->url, "faulty:%llx", (unsigned long long)(uintptr_t)log);
    log->grade = ETX_LOCAL;
    log->class = 'm';
    assert_int_equal(sem_init(&log->gate, 0, 0), 0);
    assert_int_equal(pthread_mutex_init(&log->lock, NULL), 0);
    if (dir != NULL) {
        log->ops = etx_log_file();
        log->class = 'f';
        snprintf(log->inner_url, sizeof log->inner_url, "file:%s?%s", dir, options);
        return;
    }
    log->ops = etx_log_memory();
    snprintf(log->inner_url, sizeof log->inner_url, "memory:?%s", options);
    log->inner = memory_make(log);
}

void rig_log_end(rig_log *log) {
    if (log->inner != NULL) {
        log->ops->close(log->inner, 0);
    }
    if (log->backup != NULL) {
        log->ops->close(log->backup, 0);
    }
    sem_destroy(&log->gate);
    pthread_mutex_destroy(&log->lock);
}

void rig_log_fail(rig_log *log, rig_fault fault, int times) {
    atomic_store(&log->times, 0);
    atomic_store(&log->fault, fault);
    atomic_store(&log->times, times);
}

typedef struct reading {
    rig_record_fn each;
    void *user;
    etx_record_room room;
    uint64_t next;
    uint32_t checksum;
} reading;

static int read_records(const etx_slot *slot, void *user) {
    reading *r = user;
    const uint8_t *bytes = slot->batch.data;
    r->next = slot->slot + 1;
    r->checksum = slot->checksum;
    for (size_t at = 1; r->each != NULL && at < slot->batch.len;) {
        etx_record record;
        size_t used = 0;
        etx_bytes rest = {bytes + at, slot->batch.len - at};
        int rc = etx_codec_binary()->decode(rest, &r->room, &record, &used);
        if (rc == ETX_EBUSY && etx_record_room_grow(&r->room) == 0) {
            continue;
        }
        rig_check(rc == 0);
        r->each(slot, &record, r->user);
        at += used;
    }
    return 0;
}

static void read_on(rig_log *log, uint32_t partition, uint64_t from, reading *r) {
    uint64_t mark = 0;
    pthread_mutex_lock(&log->lock);
    int rc = log->ops->get(log->inner, partition, from, read_records, r, &mark, NULL, 0);
    pthread_mutex_unlock(&log->lock);
    rig_check(rc == 0);
    etx_record_room_free(&r->room);
}

uint64_t rig_log_records(rig_log *log,
                         uint32_t partition,
                         uint64_t from,
                         rig_record_fn each,
                         void *user) {
    reading r = {.each = each, .user = user};
    read_on(log, partition, from, &r);
    return r.next;
}

void rig_log_put(rig_log *log, uint32_t partition, uint64_t nonce, etx_bytes batch) {
    reading r = {0};
    read_on(log, partition, 0, &r);
    etx_put put = {.size = sizeof put,
                   .partition = partition,
                   .slot = r.next,
                   .predecessor = r.checksum,
                   .nonce = nonce,
                   .batch = batch};
    put.checksum = etx_slot_checksum(partition, put.slot, nonce, put.predecessor, batch);
    rig_check(inner_put(log, &put) == ETX_PUT_WRITTEN);
}

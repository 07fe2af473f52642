/* The memory log: write-once slots in this process's memory, gone with it. "memory:" or
 * "memory:?partitions=N"; every open makes a new one.
 *
 * A partition is a list of chunks. A chunk holds slots one behind the other, each a head and its
 * batch; chunks that lie wholly below the trim mark are freed, all but one, which is used again. */
#include <etx/log.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define CHUNK ((size_t)1 << 20)
#define BATCH_MAX ((size_t)4 << 20)
#define PARTITIONS_MAX 256u

typedef struct slot_head {
    uint64_t nonce;
    uint32_t predecessor;
    uint32_t checksum;
    size_t len;
    size_t unused; /* a head is a multiple of 16 bytes */
} slot_head;

typedef struct memory_chunk {
    struct memory_chunk *next;
    size_t size; /* of the whole block */
    size_t used; /* bytes of slots */
    uint64_t first;
    uint64_t limit; /* holds the slots from `first` to below `limit` */
    size_t unused;
} memory_chunk;

typedef struct memory_partition {
    memory_chunk *head;
    memory_chunk *tail;
    memory_chunk *idle;
    uint64_t mark;
    uint64_t next;
    uint64_t bytes_used;
    uint64_t bytes_total;
    uint64_t last_nonce;
    uint32_t last_checksum;
} memory_partition;

typedef struct memory_log {
    etx_log head;
    etx_allocator allocator;
    uint32_t partitions_count;
    char id[ETX_HOME_ID_LEN + 1];
    memory_partition *partitions;
} memory_log;

static int say(const etx_log_config *config, int rc, const char *format, ...) {
    if (config->message && config->message_size) {
        va_list args;
        va_start(args, format);
        vsnprintf(config->message, config->message_size, format, args);
        va_end(args);
    }
    return rc;
}

static void *default_allocate(void *user, size_t size) {
    (void)user;
    return calloc(1, size);
}

static void default_release(void *user, void *block, size_t size) {
    (void)user;
    (void)size;
    free(block);
}

/* "memory:" with nothing but options: a name would suggest that it is shared. */
static int url_parse(const etx_log_config *config, uint32_t *ret_partitions) {
    const char *at =
        config->url && strncmp(config->url, "memory:", 7) == 0 ? config->url + 7 : NULL;
    uint32_t value = 0;
    if (!at)
        return say(config, ETX_EINVALID, "the URL of a memory log is 'memory:'");
    if (*at && *at != '?')
        return say(config, ETX_EINVALID,
                   "a memory log has no name: each open makes a new one; use 'memory:'");
    if (*at == '?' && at[1]) {
        if (strncmp(at + 1, "partitions=", 11) != 0)
            return say(config, ETX_EINVALID, "a memory log has no option '%s': there is partitions",
                       at + 1);
        for (at += 12; *at >= '0' && *at <= '9' && value <= PARTITIONS_MAX; at++)
            value = value * 10 + (uint32_t)(*at - '0');
        if (*at || value < 1 || value > PARTITIONS_MAX)
            return say(config, ETX_EINVALID, "the option partitions is 1 to %u", PARTITIONS_MAX);
        *ret_partitions = value;
        return 0;
    }
    *ret_partitions = config->partitions ? config->partitions : 1;
    if (*ret_partitions > PARTITIONS_MAX)
        return say(config, ETX_EINVALID, "a memory log has at most %u partitions", PARTITIONS_MAX);
    return 0;
}

static int id_draw(char ret_id[ETX_HOME_ID_LEN + 1]) {
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    uint8_t random[ETX_HOME_ID_LEN - 1];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return ETX_EIO;
    ret_id[0] = 'v';
    for (int i = 1; i < ETX_HOME_ID_LEN; i++)
        ret_id[i] = digits[random[i - 1] % 32];
    ret_id[ETX_HOME_ID_LEN] = 0;
    return 0;
}

static int memory_open(const etx_log_config *config, etx_log **ret_log) {
    etx_allocator allocator = {.allocate = default_allocate, .release = default_release};
    uint32_t partitions = 0;
    memory_log *log;
    int rc;
    if (config->size < sizeof *config)
        return say(config, ETX_EINVALID, "config->size is not set");
    rc = url_parse(config, &partitions);
    if (rc)
        return rc;
    if (config->flags & (ETX_LOG_READ_ONLY | ETX_LOG_NO_CREATE))
        return say(config, ETX_ENOTFOUND,
                   "a memory log is made when it is opened: there is none to be read");
    if (config->allocator)
        allocator = *config->allocator;
    log = allocator.allocate(allocator.user, sizeof *log);
    if (!log)
        return say(config, ETX_ENOMEM, "out of memory");
    *log = (memory_log){.allocator = allocator, .partitions_count = partitions};
    log->head.ops = etx_log_memory();
    log->partitions = allocator.allocate(allocator.user, partitions * sizeof *log->partitions);
    if (!log->partitions || id_draw(log->id)) {
        rc = log->partitions ? ETX_EIO : ETX_ENOMEM;
        if (log->partitions)
            allocator.release(allocator.user, log->partitions,
                              partitions * sizeof *log->partitions);
        allocator.release(allocator.user, log, sizeof *log);
        return say(config, rc, "the system gives no memory, or no random numbers");
    }
    memset(log->partitions, 0, partitions * sizeof *log->partitions);
    *ret_log = &log->head;
    return 0;
}

static void chunk_free(memory_log *log, memory_chunk *chunk) {
    log->allocator.release(log->allocator.user, chunk, chunk->size);
}

static void memory_close(etx_log *head, int clean) {
    memory_log *log = (memory_log *)head;
    etx_allocator allocator = log->allocator;
    (void)clean;
    for (uint32_t i = 0; i < log->partitions_count; i++) {
        memory_partition *partition = &log->partitions[i];
        while (partition->head) {
            memory_chunk *first = partition->head;
            partition->head = first->next;
            chunk_free(log, first);
        }
        if (partition->idle)
            chunk_free(log, partition->idle);
    }
    allocator.release(allocator.user, log->partitions,
                      log->partitions_count * sizeof *log->partitions);
    allocator.release(allocator.user, log, sizeof *log);
}

static int memory_info(etx_log *head, etx_log_info *ret_info) {
    const memory_log *log = (const memory_log *)head;
    memcpy(ret_info->id, log->id, sizeof ret_info->id);
    ret_info->partitions = log->partitions_count;
    ret_info->flags = ETX_LOG_FAST;
    ret_info->batch_max = BATCH_MAX;
    ret_info->grade = ETX_VOLATILE;
    ret_info->remark = "memory is gone with the process";
    return 0;
}

static size_t slot_size(size_t len) {
    return sizeof(slot_head) + (len + 15) / 16 * 16;
}

/* Room for `size` bytes at the end of the last chunk, which may be a new one; or NULL. */
static uint8_t *room_take(memory_log *log, memory_partition *partition, size_t size) {
    memory_chunk *tail = partition->tail;
    if (!tail || tail->size - sizeof *tail - tail->used < size) {
        size_t want = size + sizeof *tail > CHUNK ? size + sizeof *tail : CHUNK;
        memory_chunk *fresh = partition->idle && want == CHUNK ? partition->idle : NULL;
        if (fresh)
            partition->idle = NULL;
        else
            fresh = log->allocator.allocate(log->allocator.user, want);
        if (!fresh)
            return NULL;
        *fresh = (memory_chunk){.size = want, .first = partition->next, .limit = partition->next};
        if (tail)
            tail->next = fresh;
        else
            partition->head = fresh;
        partition->tail = tail = fresh;
        partition->bytes_total += want;
    }
    uint8_t *room = (uint8_t *)(tail + 1) + tail->used;
    tail->used += size;
    return room;
}

static etx_put_result put_fail(etx_put *put, int error, const char *text) {
    put->error = error;
    snprintf(put->message, sizeof put->message, "%s", text);
    return ETX_PUT_NOT_WRITTEN;
}

static const slot_head *slot_find(const memory_partition *partition, uint64_t slot) {
    const memory_chunk *chunk = partition->head;
    while (slot >= chunk->limit)
        chunk = chunk->next;
    const uint8_t *at = (const uint8_t *)(chunk + 1);
    for (uint64_t n = chunk->first; n < slot; n++) {
        slot_head head;
        memcpy(&head, at, sizeof head);
        at += slot_size(head.len);
    }
    return (const slot_head *)(const void *)at;
}

static etx_put_result put_occupied(const memory_partition *partition, etx_put *put) {
    if (put->slot < partition->mark) {
        put->found_trimmed = 1;
    } else if (put->slot + 1 == partition->next) {
        put->found_nonce = partition->last_nonce;
        put->found_checksum = partition->last_checksum;
    } else {
        const slot_head *head = slot_find(partition, put->slot);
        put->found_nonce = head->nonce;
        put->found_checksum = head->checksum;
    }
    return ETX_PUT_OCCUPIED;
}

static etx_put_result put_append(memory_log *log, memory_partition *partition, etx_put *put) {
    const slot_head head = {.nonce = put->nonce,
                            .predecessor = put->predecessor,
                            .checksum = put->checksum,
                            .len = put->batch.len};
    uint8_t *room = room_take(log, partition, slot_size(put->batch.len));
    if (!room)
        return put_fail(put, ETX_ENOMEM, "out of memory");
    memcpy(room, &head, sizeof head);
    memcpy(room + sizeof head, put->batch.data, put->batch.len);
    partition->bytes_used += slot_size(put->batch.len);
    partition->last_nonce = put->nonce;
    partition->last_checksum = put->checksum;
    partition->next = put->slot + 1;
    partition->tail->limit = partition->next;
    return ETX_PUT_WRITTEN;
}

static etx_put_result memory_put(etx_log *head, etx_put *put) {
    memory_log *log = (memory_log *)head;
    memory_partition *partition;
    put->error = 0;
    put->message[0] = 0;
    put->found_checksum = 0;
    put->found_nonce = 0;
    put->found_trimmed = 0;
    if (put->partition >= log->partitions_count)
        return put_fail(put, ETX_EINVALID, "there is no such partition");
    if (!put->batch.len || put->batch.len > BATCH_MAX)
        return put_fail(put, ETX_EINVALID, "the batch is empty or too large");
    if (etx_slot_checksum(put->partition, put->slot, put->nonce, put->predecessor, put->batch) !=
        put->checksum)
        return put_fail(put, ETX_EINVALID, "the checksum is not the batch's");
    partition = &log->partitions[put->partition];
    if (put->slot < partition->next)
        return put_occupied(partition, put);
    if (put->slot > partition->next || put->predecessor != partition->last_checksum)
        return ETX_PUT_PREDECESSOR;
    return put_append(log, partition, put);
}

static int chunk_get(const memory_chunk *chunk,
                     uint32_t number,
                     uint64_t from,
                     etx_slot_fn visit,
                     void *user) {
    const uint8_t *at = (const uint8_t *)(chunk + 1);
    for (uint64_t n = chunk->first; n < chunk->limit; n++) {
        slot_head head;
        memcpy(&head, at, sizeof head);
        etx_slot slot = {.partition = number,
                         .predecessor = head.predecessor,
                         .slot = n,
                         .nonce = head.nonce,
                         .checksum = head.checksum,
                         .batch = {at + sizeof head, head.len}};
        int rc = n < from ? 0 : visit(&slot, user);
        if (rc)
            return rc;
        at += slot_size(head.len);
    }
    return 0;
}

static int memory_get(etx_log *head,
                      uint32_t number,
                      uint64_t from,
                      etx_slot_fn visit,
                      void *user,
                      uint64_t *ret_mark,
                      char *message,
                      size_t message_size) {
    const memory_log *log = (const memory_log *)head;
    const memory_partition *partition;
    if (number >= log->partitions_count) {
        if (message && message_size)
            snprintf(message, message_size, "there is no partition %u", number);
        return ETX_EINVALID;
    }
    partition = &log->partitions[number];
    if (from < partition->mark)
        from = partition->mark;
    for (const memory_chunk *at = partition->head; at; at = at->next) {
        int rc = at->limit > from ? chunk_get(at, number, from, visit, user) : 0;
        if (rc)
            return rc;
    }
    if (ret_mark)
        *ret_mark = partition->mark;
    return 0;
}

static int memory_trim(etx_log *head, uint32_t number, uint64_t below) {
    memory_log *log = (memory_log *)head;
    memory_partition *partition;
    if (number >= log->partitions_count)
        return ETX_EINVALID;
    partition = &log->partitions[number];
    if (below >= partition->next)
        below = partition->next ? partition->next - 1 : 0;
    if (below <= partition->mark)
        return 0;
    partition->mark = below;
    while (partition->head != partition->tail && partition->head->limit <= below) {
        memory_chunk *first = partition->head;
        partition->head = first->next;
        partition->bytes_used -= first->used;
        partition->bytes_total -= first->size;
        if (!partition->idle && first->size == CHUNK)
            partition->idle = first;
        else
            chunk_free(log, first);
    }
    return 0;
}

static int memory_space(etx_log *head, uint32_t number, etx_log_space *ret_space) {
    const memory_log *log = (const memory_log *)head;
    if (number >= log->partitions_count)
        return ETX_EINVALID;
    ret_space->bytes_used = log->partitions[number].bytes_used;
    ret_space->bytes_total = log->partitions[number].bytes_total;
    ret_space->trim_unit = CHUNK;
    ret_space->full = 0;
    return 0;
}

const etx_log_ops *etx_log_memory(void) {
    static const etx_log_ops ops = {.version = ETX_LOG_VERSION,
                                    .scheme = "memory",
                                    .open = memory_open,
                                    .close = memory_close,
                                    .info = memory_info,
                                    .put = memory_put,
                                    .get = memory_get,
                                    .trim = memory_trim,
                                    .space = memory_space};
    return &ops;
}

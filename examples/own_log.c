/* A log adapter made outside of ETX, by its public headers alone: slots kept in this process's
 * memory, under a URL scheme of its own, "own:" or "own:?partitions=N".
 *
 * A log is asked for little: put a batch into the next slot if nobody else has, give the slots
 * back in order, forget the old ones. <etx/log.h> says the rules of each function, and
 * docs/writing-an-adapter.md those that the conformance suite judges it by. */
#include "own_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define PARTITIONS_MAX 64
#define BATCH_MAX ((size_t)4 << 20)

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
    uint32_t partitions;
    own_partition partition[PARTITIONS_MAX];
} own_log;

/* The first letter of an id is the class of the log: 'v', since it forgets with the process. */
static int draw_id(char id[ETX_HOME_ID_LEN + 1]) {
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz"; /* no others */
    unsigned char random[ETX_HOME_ID_LEN];
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
        return ETX_EIO;
    }
    id[0] = 'v';
    for (size_t i = 1; i < ETX_HOME_ID_LEN; i++) {
        id[i] = digits[random[i] % 32];
    }
    id[ETX_HOME_ID_LEN] = '\0';
    return 0;
}

static void own_close(etx_log *log, int clean) {
    own_log *own = (own_log *)log;
    (void)clean;
    for (size_t p = 0; p < own->partitions; p++) {
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
    ret_info->partitions = own->partitions;
    ret_info->flags = ETX_LOG_FAST;
    ret_info->batch_max = BATCH_MAX;
    ret_info->grade = ETX_VOLATILE;
    ret_info->remark = "kept in memory";
    return 0;
}

/* No attempt of this put has an effect: a promise, with the reason. */
static etx_put_result refuse_put(etx_put *put, int error, const char *reason) {
    put->error = error;
    snprintf(put->message, sizeof(put->message), "%s", reason);
    return ETX_PUT_NOT_WRITTEN;
}

/* Keeps the batch in the next slot. */
static etx_put_result append(own_partition *partition, etx_put *put) {
    if (partition->count == partition->room) {
        size_t room = partition->room * 2 + 16;
        own_slot **grown = realloc(partition->slot, room * sizeof(own_slot *));
        if (grown == NULL) {
            return refuse_put(put, ETX_ENOMEM, "out of memory");
        }
        partition->slot = grown;
        partition->room = room;
    }
    own_slot *slot = malloc(sizeof(*slot) + put->batch.len);
    if (slot == NULL) {
        return refuse_put(put, ETX_ENOMEM, "out of memory");
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

/* The slot is filled, or gone: says by whom. */
static etx_put_result tell_occupied(const own_partition *partition, etx_put *put) {
    put->found_trimmed = put->slot < partition->mark;
    if (!put->found_trimmed) {
        const own_slot *there = partition->slot[put->slot - partition->mark];
        put->found_checksum = there->checksum;
        put->found_nonce = there->nonce;
    }
    return ETX_PUT_OCCUPIED;
}

static etx_put_result own_put(etx_log *log, etx_put *put) {
    own_log *own = (own_log *)log;
    if (put->partition >= own->partitions) {
        return refuse_put(put, ETX_EINVALID, "there is no such partition");
    }
    if (put->batch.len == 0 || put->batch.len > BATCH_MAX) {
        return refuse_put(put, ETX_EINVALID, "the batch is empty, or larger than batch_max");
    }
    if (put->checksum !=
        etx_slot_checksum(put->partition, put->slot, put->nonce, put->predecessor, put->batch)) {
        return refuse_put(put, ETX_EINVALID, "the checksum is not that of the batch");
    }
    own_partition *partition = &own->partition[put->partition];
    uint64_t next = partition->mark + partition->count;
    if (put->slot < next) {
        return tell_occupied(partition, put);
    }
    uint32_t last = partition->count > 0 ? partition->slot[partition->count - 1]->checksum : 0;
    if (put->slot > next || put->predecessor != last) {
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

/* Each slot is freed by itself: nothing is held that is not used, and any trim gains something. */
static int own_space(etx_log *log, uint32_t number, etx_log_space *ret_space) {
    ret_space->bytes_used = ((own_log *)log)->partition[number].bytes;
    ret_space->bytes_total = ret_space->bytes_used;
    ret_space->trim_unit = 1;
    ret_space->full = 0;
    return 0;
}

static int refuse_open(const etx_log_config *config, int rc, const char *reason) {
    snprintf(config->message, config->message_size, "'%s': %s", config->url, reason);
    return rc;
}

/* What is not known is refused by name: a misspelt option must not be passed over. */
static int read_url(const etx_log_config *config, uint32_t *ret_partitions) {
    static const char option[] = "own:?partitions=";
    unsigned long number = config->partitions > 0 ? config->partitions : 1;
    if (strncmp(config->url, option, strlen(option)) == 0) {
        char *end = NULL;
        number = strtoul(config->url + strlen(option), &end, 10);
        number = *end == '\0' ? number : 0;
    } else if (strcmp(config->url, "own:") != 0) {
        return refuse_open(config, ETX_EINVALID, "say own: or own:?partitions=N");
    }
    if (number < 1 || number > PARTITIONS_MAX) {
        return refuse_open(config, ETX_EINVALID, "it has 1 to 64 partitions");
    }
    *ret_partitions = (uint32_t)number;
    return 0;
}

static int own_open(const etx_log_config *config, etx_log **ret_log) {
    uint32_t partitions = 0;
    int rc = read_url(config, &partitions);
    if (rc != 0) {
        return rc;
    }
    if ((config->flags & (ETX_LOG_NO_CREATE | ETX_LOG_READ_ONLY)) != 0) {
        return refuse_open(config, ETX_ENOTFOUND, "each open makes a new one, nothing was kept");
    }
    own_log *own = calloc(1, sizeof(*own));
    if (own == NULL) {
        return refuse_open(config, ETX_ENOMEM, "out of memory");
    }
    if (draw_id(own->id) != 0) {
        free(own);
        return refuse_open(config, ETX_EIO, "the system gives no random numbers");
    }
    own->base.ops = etx_log_own();
    own->partitions = partitions;
    *ret_log = &own->base;
    return 0;
}

const etx_log_ops *etx_log_own(void) {
    static const etx_log_ops ops = {
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
    return &ops;
}

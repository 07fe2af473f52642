/* Local homes: the real file log on a node's simulated disk, and a shadow of it beside, which
 * knows what was acknowledged. */
#include <errno.h>
#include <string.h>

#include "disk/disk.h"
#include "sim.h"

enum { PATH = 96 };

static const etx_log_ops *file_ops(void) {
    return etx_log_file();
}

static void at_step(const disk_step *step, void *user) {
    sim_node *node = user;
    (void)step;
    sim_node_may_die(node);
}

/* ---- the disk */

void sim_local_make(sim *s) {
    disk_threads(0);
    disk_random_set(s->options.seed);
    for (uint32_t i = 0; i < s->nodes; i++) {
        char mount[32];
        sim_store *store = &s->store[SIM_STORES + i];
        store->world = s;
        store->place = SIM_STORES + i;
        store->grade = ETX_LOCAL;
        snprintf(mount, sizeof mount, "/sim/n%u", i);
        store->disk = s->locals != SIM_NO_LOCALS ? disk_make(mount) : NULL;
        if (store->disk != NULL) {
            disk_watch(store->disk, at_step, &s->node[i]);
        }
    }
}

void sim_local_free(sim *s) {
    for (uint32_t i = 0; i < SIM_NODES; i++) {
        if (s->store[SIM_STORES + i].disk != NULL) {
            disk_free(s->store[SIM_STORES + i].disk);
            s->store[SIM_STORES + i].disk = NULL;
        }
    }
}

static uint32_t choose(void *user, uint32_t ways) {
    return sim_below(user, SIM_STORING, ways);
}

/* ---- damage */

/* One bit of one file is another one when it is opened next. Two would be more than a disk does
 * between two looks at it. */
static void flip_bit(sim_node *node, disk *of) {
    sim *s = node->world;
    static const char directory[] = "log";
    uint32_t count = 0;
    while (disk_file_name(of, directory, count) != NULL) {
        count++;
    }
    if (count == 0 || disk_is_damaged(of, NULL)) {
        return;
    }
    const char *name = disk_file_name(of, directory, sim_below(s, SIM_STORING, count));
    char path[PATH];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    uint64_t size = disk_file_size(of, path);
    if (size == 0) {
        return;
    }
    uint64_t offset = sim_below(s, SIM_STORING, (uint32_t)size);
    unsigned bit = sim_below(s, SIM_STORING, 8);
    disk_file_flip(of, path, offset, bit);
    s->stats.flips++;
    sim_say(s, NULL, "%s: bit %u of %s at %llu is damaged", node->name, bit, path,
            (unsigned long long)offset);
}

/* As from a good copy. What was written over it since is good. */
static void mend(sim_node *node, disk *of, const char *path) {
    if (disk_is_damaged(of, path)) {
        disk_mend(of, path);
        sim_say(node->world, NULL, "%s: %s is mended", node->name,
                path != NULL ? path : "what is damaged");
    }
}

/* The file that a refusal names, and whether it gives a place there. */
static int named_in(const char *message, char *path, size_t size) {
    const char *name = strstr(message, "/log/");
    size_t len = name != NULL ? strcspn(name + 1, " :") : 0;
    if (len == 0 || len >= size || strpbrk(name + 1 + len, "0123456789") == NULL) {
        return 0;
    }
    memcpy(path, name + 1, len);
    path[len] = 0;
    return 1;
}

int sim_local_refused(sim_node *node, const char *message) {
    disk *of = node->world->store[SIM_STORES + node->place].disk;
    char path[PATH] = "";
    if (!disk_is_damaged(of, NULL)) {
        return 0;
    }
    if (!named_in(message, path, sizeof path) || !disk_is_damaged(of, path)) {
        sim_break(node->world, "damage is told with its place", NULL, "%s: %s", node->name,
                  message);
        return 1;
    }
    node->world->stats.refusals++;
    mend(node, of, path);
    return 1;
}

void sim_local_lost(sim_node *node) {
    sim *s = node->world;
    disk *of = s->store[SIM_STORES + node->place].disk;
    if (of == NULL) {
        return;
    }
    disk_fault_clear(of);
    disk_close_all(of);
    if (sim_happens(s, SIM_POWER)) {
        sim_say(s, NULL, "%s: its machine lost power", node->name);
        disk_crash(of, choose, s);
    }
    if (sim_happens(s, SIM_FLIP)) {
        flip_bit(node, of);
    }
}

/* Now and then: an error, a disk that is full for a while, and the helper's work. */
void sim_local_fault(sim_node *node) {
    static const int errors[] = {EIO, ENOSPC};
    /* Most often where each put comes by. */
    static const disk_kind kinds[] = {DISK_WRITE,    DISK_WRITE,  DISK_WRITE,  DISK_SYNC,
                                      DISK_SYNC,     DISK_CREATE, DISK_RENAME, DISK_SYNC_DIR,
                                      DISK_ALLOCATE, DISK_READ};
    enum { KINDS = sizeof kinds / sizeof kinds[0], PUTS = 5 };
    sim *s = node->world;
    disk *of = s->store[SIM_STORES + node->place].disk;
    if (of == NULL) {
        return;
    }
    if (s->healing) {
        disk_fault_clear(of);
        disk_limit_set(of, UINT64_MAX);
        mend(node, of, NULL);
    } else if (sim_happens(s, SIM_DISK_ERROR)) {
        uint32_t which = sim_below(s, SIM_STORING, KINDS);
        disk_fault fault = {.kind = kinds[which],
                            .at = 1 + sim_below(s, SIM_STORING, which < PUTS ? 4 : 2),
                            .error = errors[sim_below(s, SIM_STORING, 2)]};
        sim_say(s, NULL, "%s: its disk will fail at the %llu. %s", node->name,
                (unsigned long long)fault.at, disk_kind_name(fault.kind));
        disk_fault_clear(of);
        disk_fault_add(of, &fault);
    } else if (sim_happens(s, SIM_DISK_FULL)) {
        sim_say(s, NULL, "%s: its disk is full", node->name);
        disk_limit_set(of, disk_used(of) + sim_below(s, SIM_STORING, 32768));
    } else if (sim_below(s, SIM_STORING, 20) == 0) {
        disk_limit_set(of, UINT64_MAX);
    }
}

static void helper_turn(sim_node *node, void *what) {
    (void)what;
    disk_turn(node->world->store[SIM_STORES + node->place].disk);
}

void sim_local_help(sim_node *node) {
    if (node->world->store[SIM_STORES + node->place].disk != NULL && sim_node_ready(node)) {
        sim_node_run(node, helper_turn, NULL);
    }
}

/* ---- the adapter */

static int local_open(const etx_log_config *config, etx_log **ret_log) {
    sim *s = *sim_current();
    char url[96];
    unsigned place = 0;
    if (sscanf(config->url, "local:%u", &place) != 1) {
        return ETX_EINVALID;
    }
    sim_adapter *made = config->allocator->allocate(config->allocator->user, sizeof *made);
    if (made == NULL) {
        return ETX_ENOMEM;
    }
    etx_log_config inner = *config;
    snprintf(url, sizeof url, "file:/sim/n%u/log?segment=32K&partitions=%u", place, s->partitions);
    inner.url = url;
    made->head.ops = sim_local_ops();
    made->node = &s->node[place];
    made->store = &s->store[SIM_STORES + place];
    int rc = file_ops()->open(&inner, &made->inner);
    if (rc != 0) {
        config->allocator->release(config->allocator->user, made, sizeof *made);
        return rc;
    }
    *ret_log = &made->head;
    return 0;
}

static void local_close(etx_log *log, int clean) {
    file_ops()->close(((sim_adapter *)(void *)log)->inner, clean);
}

static int local_info(etx_log *log, etx_log_info *ret_info) {
    sim_adapter *of = (sim_adapter *)(void *)log;
    int rc = file_ops()->info(of->inner, ret_info);
    memcpy(of->store->id, ret_info->id, sizeof of->store->id);
    ret_info->grade = ETX_LOCAL;
    ret_info->slack = of->store->slack;
    return rc;
}

static etx_put_result local_put(etx_log *log, etx_put *put) {
    sim_adapter *of = (sim_adapter *)(void *)log;
    sim *s = of->store->world;
    s->stats.puts++;
    sim_node_may_die(of->node);
    etx_put_result result = file_ops()->put(of->inner, put);
    sim_say(s, NULL, "%s: own disk, %u, slot %llu: %s %s", of->node->name, put->partition,
            (unsigned long long)put->slot, sim_put_word(result), put->message);
    if (result == ETX_PUT_WRITTEN) {
        sim_store_append(of->store, put->partition, put);
        sim_store_acknowledge(of->store, put->partition, put->slot);
    }
    sim_node_may_die(of->node);
    return result;
}

typedef struct reading {
    sim_adapter *of;
    etx_slot_fn visit;
    void *user;
    uint32_t partition;
    uint64_t next;
} reading;

/* What is read is what was written, and becomes part of the shadow if it was not yet. */
static int see(const etx_slot *slot, void *user) {
    reading *r = user;
    sim *s = r->of->store->world;
    sim_shelf *shelf = &r->of->store->shelf[r->partition];
    if (slot->slot < shelf->count && shelf->slot[slot->slot].checksum != slot->checksum) {
        if (slot->slot < shelf->told) {
            sim_break(s, "nothing acknowledged is lost", NULL, "%s: slot %llu is another one",
                      r->of->node->name, (unsigned long long)slot->slot);
        }
        shelf->count = slot->slot;
    }
    if (slot->slot >= shelf->count) {
        etx_put put = {.partition = r->partition,
                       .slot = slot->slot,
                       .predecessor = slot->predecessor,
                       .nonce = slot->nonce,
                       .checksum = slot->checksum,
                       .batch = slot->batch};
        sim_store_append(r->of->store, r->partition, &put);
    }
    r->next = slot->slot + 1;
    return r->visit(slot, r->user);
}

static int local_get(etx_log *log,
                     uint32_t partition,
                     uint64_t from,
                     etx_slot_fn visit,
                     void *user,
                     uint64_t *ret_mark,
                     char *message,
                     size_t message_size) {
    sim_adapter *of = (sim_adapter *)(void *)log;
    reading r = {of, visit, user, partition, 0};
    sim_shelf *shelf = &of->store->shelf[partition];
    int rc = file_ops()->get(of->inner, partition, from, see, &r, ret_mark, message, message_size);
    if (rc == 0 && r.next < shelf->told) {
        sim_break(of->store->world, "nothing acknowledged is lost", NULL,
                  "%s: the log ends before slot %llu, and %llu were acknowledged", of->node->name,
                  (unsigned long long)r.next, (unsigned long long)shelf->told);
    }
    if (rc == 0) {
        shelf->count = r.next > shelf->told ? r.next : shelf->told;
        shelf->mark = *ret_mark > shelf->mark ? *ret_mark : shelf->mark;
    }
    return rc;
}

static int local_trim(etx_log *log, uint32_t partition, uint64_t below) {
    sim_adapter *of = (sim_adapter *)(void *)log;
    sim_shelf *shelf = &of->store->shelf[partition];
    uint64_t most = shelf->count > 0 && below >= shelf->count ? shelf->count - 1 : below;
    if (most > shelf->mark) {
        sim_truth_trim(of->store->world, of->store, partition, most);
    }
    int rc = file_ops()->trim(of->inner, partition, below);
    if (rc == 0 && most > shelf->mark) {
        shelf->mark = most;
        sim_say(of->store->world, NULL, "%s: own disk, %u, is trimmed below %llu", of->node->name,
                partition, (unsigned long long)most);
    }
    return rc;
}

static int local_reopen(etx_log *log, uint32_t partition, char *message, size_t message_size) {
    sim_adapter *of = (sim_adapter *)(void *)log;
    int rc = file_ops()->reopen(of->inner, partition, message, message_size);
    sim_say(of->store->world, NULL, "%s: own disk, %u, is opened anew: %s", of->node->name,
            partition, etx_error_name(rc));
    if (rc == ETX_ECORRUPT) {
        sim_local_refused(of->node, message);
    }
    return rc;
}

static int local_space(etx_log *log, uint32_t partition, etx_log_space *ret_space) {
    return file_ops()->space(((sim_adapter *)(void *)log)->inner, partition, ret_space);
}

const etx_log_ops *sim_local_ops(void) {
    static const etx_log_ops ops = {.version = ETX_LOG_VERSION,
                                    .scheme = "local",
                                    .open = local_open,
                                    .close = local_close,
                                    .info = local_info,
                                    .put = local_put,
                                    .get = local_get,
                                    .trim = local_trim,
                                    .reopen = local_reopen,
                                    .space = local_space};
    return &ops;
}

/* Leases and members of a log that several engines of the test share; its store's clock is the
 * machine's. */
#include "rig.h"

/* It may be away, or refuse. */
static int is_open_to(const etx_log_config *config, etx_log *made) {
    rig_log *log = ((rig_handle *)(void *)made)->log;
    int rc = atomic_load(&log->away) ? ETX_EUNAVAILABLE : atomic_load(&log->open_rc);
    if (rc != 0) {
        snprintf(config->message, config->message_size, "%s",
                 rc == ETX_EUNAVAILABLE ? "the store is away" : "it does not let anybody in");
        free(made);
    }
    return rc;
}

static int shared_open(const etx_log_config *config, etx_log **ret_log) {
    etx_log *made = NULL;
    int rc = rig_log_ops()->open(config, &made);
    rc = rc != 0 ? rc : is_open_to(config, made);
    if (rc != 0) {
        return rc;
    }
    made->ops = rig_shared_ops();
    snprintf(((rig_handle *)(void *)made)->node, ETX_NAME_MAX + 1, "%s", config->node);
    *ret_log = made;
    return 0;
}

static rig_handle *enter(etx_log *head) {
    rig_handle *ours = (rig_handle *)(void *)head;
    pthread_mutex_lock(&ours->log->lock);
    return ours;
}

static int leave(rig_handle *ours, int rc) {
    pthread_mutex_unlock(&ours->log->lock);
    return rc;
}

static int is_away(const rig_handle *ours) {
    return atomic_load(&ours->log->away) > 0;
}

/* ... or refuse what is to be written. */
static int refuses(const rig_handle *ours) {
    int away = atomic_load(&ours->log->away);
    return away > 0 ? ETX_EUNAVAILABLE : away;
}

static struct rig_member *member_named(rig_log *log, const char *name) {
    struct rig_member *free_one = NULL;
    for (int i = 0; i < RIG_MEMBERS; i++) {
        struct rig_member *member = &log->member[i];
        if (strcmp(member->name, name) == 0) {
            return member;
        }
        free_one = free_one == NULL && member->name[0] == 0 ? member : free_one;
    }
    assert_non_null(free_one);
    snprintf(free_one->name, sizeof free_one->name, "%s", name);
    return free_one;
}

static struct rig_member *member_of(const rig_handle *ours) {
    return member_named(ours->log, ours->node);
}

void rig_member_be(rig_log *log, const char *name, uint64_t time_ms) {
    pthread_mutex_lock(&log->lock);
    member_named(log, name)->until_ms = time_ms > 0 ? host_now_ms() + time_ms : 0;
    pthread_mutex_unlock(&log->lock);
}

void rig_lease_take(rig_log *log, uint32_t partition, uint64_t time_ms) {
    pthread_mutex_lock(&log->lock);
    snprintf(log->lease[partition].node, sizeof log->lease[partition].node, "another");
    log->lease[partition].until_ms = host_now_ms() + time_ms;
    pthread_mutex_unlock(&log->lock);
}

static int shared_attend(etx_log *head,
                         const char *address,
                         uint32_t ttl_ms,
                         char *message,
                         size_t message_size) {
    rig_handle *ours = enter(head);
    struct rig_member *member = member_of(ours);
    if (refuses(ours)) {
        snprintf(message, message_size, "the store %s", is_away(ours) ? "is away" : "has no space");
        atomic_fetch_add(&ours->log->refused, 1);
        return leave(ours, refuses(ours));
    }
    if (ours->attended && member->process != ours && member->until_ms > host_now_ms()) {
        return leave(ours, ETX_ECONFLICT);
    }
    ours->attended = 1;
    member->process = ours;
    member->until_ms = ttl_ms > 0 ? host_now_ms() + ttl_ms : 0;
    if (ttl_ms > 0) {
        snprintf(member->address, sizeof member->address, "%s", address);
    }
    return leave(ours, 0);
}

static int shared_renew(etx_log *head, uint32_t partition, uint32_t ttl_ms) {
    rig_handle *ours = enter(head);
    struct rig_lease *lease = &ours->log->lease[partition];
    uint64_t now = host_now_ms();
    int rc = refuses(ours) != 0 ? refuses(ours) : atomic_load(&ours->log->renew_rc);
    if (rc != 0) {
        return leave(ours, rc);
    }
    if (lease->until_ms > now && strcmp(lease->node, ours->node) != 0) {
        return leave(ours, ETX_EBUSY);
    }
    int taken = lease->until_ms <= now || strcmp(lease->node, ours->node) != 0;
    lease->until_ms = now + ttl_ms;
    snprintf(lease->node, sizeof lease->node, "%s", ours->node);
    return leave(ours, taken);
}

static int shared_release(etx_log *head, uint32_t partition) {
    rig_handle *ours = enter(head);
    struct rig_lease *lease = &ours->log->lease[partition];
    if (strcmp(lease->node, ours->node) == 0) {
        lease->until_ms = 0;
    }
    return leave(ours, 0);
}

static int by_name(const void *one, const void *other) {
    return strcmp(((const struct rig_member *)one)->name, ((const struct rig_member *)other)->name);
}

static int shared_survey(etx_log *head,
                         const etx_log_survey *survey,
                         char *message,
                         size_t message_size) {
    rig_handle *ours = enter(head);
    uint64_t now = host_now_ms();
    if (is_away(ours)) {
        snprintf(message, message_size, "the store is away");
        return leave(ours, ETX_EUNAVAILABLE);
    }
    struct rig_member sorted[RIG_MEMBERS];
    memcpy(sorted, ours->log->member, sizeof sorted);
    qsort(sorted, RIG_MEMBERS, sizeof sorted[0], by_name);
    for (int i = 0; i < RIG_MEMBERS; i++) {
        if (sorted[i].until_ms > now) {
            etx_log_node node = {sizeof node, sorted[i].name, sorted[i].address,
                                 sorted[i].until_ms - now};
            survey->on_node(&node, survey->user);
        } else if (strchr(sorted[i].address, ' ') != NULL && survey->on_gone != NULL) {
            etx_log_node node = {sizeof node, sorted[i].name, sorted[i].address, 0};
            survey->on_gone(&node, survey->user);
        }
    }
    for (uint32_t i = 0; i < RIG_PARTITIONS && !atomic_load(&ours->log->hides); i++) {
        const struct rig_lease *of = &ours->log->lease[i];
        if (of->until_ms > now) {
            etx_log_lease lease = {sizeof lease, i, of->node, of->until_ms - now};
            survey->on_lease(&lease, survey->user);
        }
    }
    return leave(ours, 0);
}

static int shared_clock(etx_log *head, uint64_t *ret_ms) {
    const rig_handle *ours = (const rig_handle *)(const void *)head;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *ret_ms = (uint64_t)(now.tv_sec * 1000 + now.tv_nsec / 1000000 +
                         atomic_load(&ours->log->clock_off_ms));
    return 0;
}

const etx_log_ops *rig_shared_ops(void) {
    static etx_log_ops ops;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    if (ops.scheme == NULL) {
        etx_log_ops made = *rig_log_ops();
        made.scheme = "shared";
        made.open = shared_open;
        made.reopen = NULL;
        made.attend = shared_attend;
        made.renew = shared_renew;
        made.release = shared_release;
        made.survey = shared_survey;
        made.clock = shared_clock;
        ops = made;
    }
    pthread_mutex_unlock(&lock);
    return &ops;
}

/* Homes: opening them, their health, and which takes a new transaction. */
#include "arrival.h"
#include "keeper.h"
#include "seen.h"

#include <stdio.h>
#include <string.h>

/* A breaker each. A home is down when a put fails or there is no space; when that is over it is
 * held for a while, so that new transactions do not flap; then it is up. Only new transactions
 * care: those at home elsewhere finish where they are. A held home is used if no other would do. */

static const etx_log_ops *find_ops(const etx_engine *engine, const char *scheme, size_t len) {
    for (uint32_t i = 0; i < engine->log_ops_count; i++) {
        const etx_log_ops *ops = engine->log_ops[i];
        if (strlen(ops->scheme) == len && memcmp(ops->scheme, scheme, len) == 0) {
            return ops;
        }
    }
    return NULL;
}

/* Short enough that the partitions' histories stay even, long enough that a change of partition,
 * which makes some hundred transactions wait longer, is rare. */
static uint32_t turn_of(uint64_t history_max) {
    uint64_t turn = history_max / 32;
    return turn < 16 ? 16 : turn > 65536 ? 65536 : (uint32_t)turn;
}

/* One that the engine does not know is loaded. */
static int adapter_of(etx_engine *engine, const char *url, const etx_log_ops **ret_ops) {
    char message[400] = "";
    *ret_ops = find_ops(engine, url, etx__url_scheme(url));
    if (*ret_ops != NULL) {
        return 0;
    }
    int rc = etx_log_find(url, ret_ops, message, sizeof message);
    return rc != 0 ? etx__engine_fail(engine, rc, "home %s", message)
                   : etx_engine_log(engine, *ret_ops);
}

int etx__home_make(etx_engine *engine, const char *url, etx__home **ret_home) {
    const etx_log_ops *ops = NULL;
    int rc = adapter_of(engine, url, &ops);
    if (rc != 0) {
        return rc;
    }
    size_t size = strlen(url) + 1;
    etx__home *home = etx__engine_alloc(engine, sizeof *home);
    char *copy = etx__engine_alloc(engine, size);
    if (home == NULL || copy == NULL) {
        etx__engine_release(engine, home, sizeof *home);
        etx__engine_release(engine, copy, size);
        return etx__engine_fail(engine, ETX_ENOMEM, "no memory for a home");
    }
    memcpy(copy, url, size);
    etx__url_show(url, home->url, sizeof home->url);
    home->engine = engine;
    home->ops = ops;
    home->turn = turn_of(engine->options.history_max);
    home->open_url = copy;
    pthread_mutex_init(&home->lock, NULL);
    *ret_home = home;
    return 0;
}

static int make_partitions(etx__home *home) {
    etx_engine *engine = home->engine;
    home->partition = etx__engine_alloc(engine, home->info.partitions * sizeof *home->partition);
    if (home->partition == NULL) {
        return ETX_ENOMEM;
    }
    for (uint32_t i = 0; i < home->info.partitions; i++) {
        home->partition[i] = etx__partition_make(home, i);
        if (home->partition[i] == NULL) {
            return ETX_ENOMEM;
        }
    }
    return 0;
}

/* What is in flight in a copy goes on in the original: here it would be decided once more. */
static int refuse_look(etx_engine *engine, const etx__home *home) {
    return etx__engine_fail(
        engine, ETX_ECONFLICT,
        "home %s is a copy made with --new-id, to be looked at only ('etx log', 'etx tx list'): "
        "what is in flight in it would be decided twice. Leave it out; to take the place of a "
        "lost log, make the copy without --new-id",
        home->url);
}

/* What the adapter says, how far the clocks are apart, and what this node cannot see. */
static void note_remark(etx__home *home, const etx_log_info *info, const char *clock) {
    const char *all[] = {info->remark != NULL ? info->remark : "", clock,
                         etx__home_shared(home) && home->engine->seen == NULL
                             ? "without a state directory an older backup that is restored while "
                               "no node runs is not noticed"
                             : ""};
    size_t len = 0;
    pthread_mutex_lock(&home->lock);
    home->remark[0] = 0;
    for (int i = 0; i < 3; i++) {
        if (all[i][0] != 0 && len < sizeof home->remark) {
            len += (size_t)snprintf(home->remark + len, sizeof home->remark - len, "%s%.200s",
                                    len > 0 ? "; " : "", all[i]);
        }
    }
    pthread_mutex_unlock(&home->lock);
    atomic_store(&home->grade, info->grade);
}

/* In words how far this machine's clock is from the store's, or "". What the answer took is not
 * known to the side of either. */
static void compare_clocks(etx__home *home, char *ret_words, size_t size) {
    enum { FAR_MS = 10000 };
    uint64_t store = 0;
    uint64_t before = etx__clock_wall_ms();
    int rc = home->ops->clock(home->log, &store);
    uint64_t after = etx__clock_wall_ms();
    uint64_t ahead = before > store ? before - store : 0;
    uint64_t behind = store > after ? store - after : 0;
    ret_words[0] = 0;
    if (rc == 0 && (ahead > FAR_MS || behind > FAR_MS)) {
        snprintf(
            ret_words, size,
            "this machine's clock is %llu s %s the store's: deadlines are judged by it. Set it",
            (unsigned long long)((ahead > 0 ? ahead : behind) / 1000),
            ahead > 0 ? "ahead of" : "behind");
    }
}

void etx__home_look(etx__home *home) {
    static const char *const grades[] = {"", "volatile", "local", "replicated"};
    char clock[160];
    etx_log_info info = {.size = sizeof info};
    if (home->ops->info(home->log, &info) != 0) {
        return; /* what the keeper asks next says why */
    }
    etx_durability was = etx__home_grade(home);
    compare_clocks(home, clock, sizeof clock);
    note_remark(home, &info, clock);
    if (info.grade != was) {
        char why[300];
        snprintf(why, sizeof why, "it promises '%s' from now on, and '%s' before%s%.200s",
                 grades[info.grade & 3], grades[was & 3], info.remark != NULL ? ": " : "",
                 info.remark != NULL ? info.remark : "");
        etx__monitor_home(home, 0, ETX_EVENT_HOME_GRADED, why);
    }
    if (clock[0] != 0 && !home->clock_off) {
        etx__monitor_home(home, 0, ETX_EVENT_CLOCK_OFF, clock);
    }
    home->clock_off = clock[0] != 0;
}

static int open_log(etx__home *home, int create) {
    etx_engine *engine = home->engine;
    char message[256] = "";
    etx_log_config config = {.size = sizeof config,
                             .url = home->open_url,
                             .node = engine->node,
                             .allocator = &engine->allocator,
                             .message = message,
                             .message_size = sizeof message};
    config.flags = create ? 0 : ETX_LOG_NO_CREATE;
    config.flags |= etx__engine_reads_only(engine) ? ETX_LOG_READ_ONLY : 0;
    config.flags |= (engine->options.flags & (ETX_ALLOW_VOLATILE | ETX_INSPECT)) != 0
                        ? 0
                        : ETX_LOG_MAKE_DURABLE;
    int rc = home->ops->open(&config, &home->log);
    if (rc == ETX_ENOTFOUND && !create && !(engine->options.flags & ETX_INSPECT)) {
        return rc;
    }
    if (rc != 0) {
        return etx__engine_fail(engine, rc, "home %s: %s", home->url,
                                message[0] ? message : etx_strerror(rc));
    }
    home->info.size = sizeof home->info;
    rc = home->ops->info(home->log, &home->info);
    if (rc == 0 && home->info.grade == ETX_VOLATILE &&
        !(engine->options.flags & (ETX_ALLOW_VOLATILE | ETX_INSPECT))) {
        return etx__engine_fail(
            engine, ETX_EINVALID,
            "home %s promises durability 'volatile' only (%s): set it up durable, or allow it with "
            "ETX_ALLOW_VOLATILE (etxd: --allow-volatile)",
            home->url,
            home->info.remark != NULL ? home->info.remark : "it forgets with the process");
    }
    if (rc == 0 && (home->info.flags & ETX_LOG_LOOK) && !(engine->options.flags & ETX_INSPECT)) {
        return refuse_look(engine, home);
    }
    if (rc == 0) {
        note_remark(home, &home->info, "");
        rc = etx__seen_home(home);
        if (rc != 0) {
            return rc;
        }
    }
    rc = rc != 0 ? rc : make_partitions(home);
    return rc == 0 ? 0 : etx__engine_fail(engine, rc, "home %s: %s", home->url, etx_strerror(rc));
}

int etx__home_open(etx__home *home, int create) {
    int rc = open_log(home, create);
    if (rc == 0 && etx__home_shared(home) && etx__keeper_make(home) != 0) {
        rc = etx__engine_fail(home->engine, ETX_ENOMEM, "no memory for a shared home");
    }
    if (rc != 0) {
        etx__home_unopen(home);
    }
    return rc;
}

void etx__home_unopen(etx__home *home) {
    etx_engine *engine = home->engine;
    etx__keeper_free(home);
    for (uint32_t i = 0; home->partition != NULL && i < home->info.partitions; i++) {
        if (home->partition[i] != NULL) {
            etx__partition_free(home->partition[i]);
        }
    }
    etx__engine_release(engine, home->partition, home->info.partitions * sizeof *home->partition);
    home->partition = NULL;
    etx__seen_forget(home);
    etx__home_close(home, 0);
}

void etx__home_join(etx__home *home) {
    atomic_store(&home->partition_count, home->info.partitions);
    atomic_store(&home->opened, 1);
}

const char *etx__home_id(const etx__home *home) {
    return atomic_load(&home->opened) ? home->info.id : home->known_id;
}

void etx__home_close(etx__home *home, int clean) {
    if (home->log != NULL) {
        home->ops->close(home->log, clean);
        home->log = NULL;
    }
}

void etx__home_free(etx__home *home) {
    etx_engine *engine = home->engine;
    etx__home_unopen(home);
    etx__arrival_free(home);
    etx__engine_release(engine, home->open_url, strlen(home->open_url) + 1);
    pthread_mutex_destroy(&home->lock);
    etx__engine_release(engine, home, sizeof *home);
}

/* ---- health */

void etx__home_down(etx__home *home, int rc, const char *why) {
    why = why[0] ? why : "its log does not answer";
    pthread_mutex_lock(&home->lock);
    home->why_rc = rc == ETX_EFULL ? ETX_EFULL : ETX_EUNAVAILABLE;
    if (snprintf(home->why, sizeof home->why, "%s", why) >= (int)sizeof home->why) {
        memcpy(home->why + sizeof home->why - sizeof "...", "...", sizeof "...");
    }
    pthread_mutex_unlock(&home->lock);
    /* one that nodes share begins as down, and nobody was told */
    int told = atomic_exchange(&home->told_down, 1) != 0;
    if (atomic_exchange(&home->health, ETX__HOME_DOWN) != ETX__HOME_DOWN || !told) {
        atomic_store(&home->since_ms, etx__clock_wall_ms());
        etx__monitor_home(home, 0, ETX_EVENT_HOME_DOWN, why);
    }
    if (rc == ETX_EFULL && atomic_exchange(&home->told_full, 1) == 0) {
        etx__monitor_home(home, 0, ETX_EVENT_LOG_FULL, why);
    }
}

/* Of a shared home: all that this node is to have, but for what the store has lost; and it has
 * one. */
static int all_open(const etx__home *home) {
    uint32_t open = 0;
    for (uint32_t i = 0; i < home->partition_count; i++) {
        const etx__partition *partition = home->partition[i];
        if (partition->state == ETX__OPEN && !etx__partition_is_full(partition)) {
            open++;
        } else if (home->keeper == NULL ||
                   (partition->wish == ETX__WISH_OWN && !partition->regressed)) {
            return 0;
        }
    }
    return open > 0;
}

void etx__home_well(etx__home *home) {
    if (!all_open(home) || atomic_load(&home->health) != ETX__HOME_DOWN ||
        atomic_load(&home->drains)) {
        return;
    }
    int was_well = atomic_exchange(&home->well_ms, etx__clock_us() / 1000) > 0;
    int first = home->keeper != NULL && !was_well; /* it was not yet used: nothing is held down */
    atomic_store(&home->since_ms, etx__clock_wall_ms());
    atomic_store(&home->health, first ? ETX__HOME_UP : ETX__HOME_HELD);
    if (atomic_exchange(&home->told_full, 0) != 0) {
        etx__monitor_home(home, 0, ETX_EVENT_LOG_ROOM, "there is room again");
    }
    etx__monitor_home(
        home, 0, ETX_EVENT_HOME_UP,
        first && !atomic_load(&home->told_down) ? "opened: this node has its part" : "well again");
}

/* Held for long enough? */
static uint32_t health_now(etx__home *home) {
    uint32_t health = atomic_load_explicit(&home->health, memory_order_relaxed);
    if (health != ETX__HOME_HELD) {
        return health;
    }
    uint64_t until = atomic_load(&home->well_ms) + home->engine->options.hold_down_ms;
    if (etx__clock_us() / 1000 < until) {
        return ETX__HOME_HELD;
    }
    uint32_t expected = ETX__HOME_HELD;
    atomic_compare_exchange_strong(&home->health, &expected, ETX__HOME_UP);
    return atomic_load(&home->health);
}

etx__home *etx__home_best(etx_engine *engine, etx_durability durability) {
    etx__home *held = NULL;
    for (uint32_t i = 0; i < engine->home_count; i++) {
        etx__home *home = engine->home[i];
        if (!atomic_load(&home->opened) || etx__home_grade(home) < durability) {
            continue;
        }
        uint32_t health = health_now(home);
        if (health == ETX__HOME_UP) {
            return home;
        }
        if (health == ETX__HOME_HELD && held == NULL) {
            held = home;
        }
    }
    return held;
}

/* What is to be done stands at the end of why: a name that is too long for both is cut. */
int etx__home_why(etx__home *home, char *ret_why, size_t size) {
    pthread_mutex_lock(&home->lock);
    int rc = home->why_rc != 0 ? home->why_rc : ETX_EUNAVAILABLE;
    const char *why = home->why[0] ? home->why : "its log does not answer";
    size_t taken = strlen(why) + sizeof "home ...: ";
    size_t room = taken < size ? size - taken : 0;
    int cut = strlen(home->url) > room;
    snprintf(ret_why, size, "home %.*s%s: %s", (int)room, home->url, cut ? "..." : "", why);
    pthread_mutex_unlock(&home->lock);
    return rc;
}

int etx__home_none(etx_engine *engine, etx_durability durability, char *ret_why, size_t size) {
    int rc = 0;
    snprintf(ret_why, size, "no home of the list promises durability '%s'%s",
             etx_durability_name(durability),
             durability == ETX_LOCAL ? " (the default, and the least for XA)" : "");
    for (uint32_t i = 0; i < engine->home_count; i++) {
        etx__home *home = engine->home[i];
        char why[ETX_REASON_MAX + 1];
        if (atomic_load(&home->opened) && etx__home_grade(home) < durability) {
            continue; /* of one that is away nobody knows */
        }
        int one = etx__home_why(home, why, sizeof why);
        if (rc == 0 || (rc == ETX_EFULL && one != ETX_EFULL)) {
            rc = one;
            snprintf(ret_why, size, "%s", why);
        }
    }
    return rc != 0 ? rc : ETX_EUNAVAILABLE;
}

etx__home *etx__home_of(const etx_engine *engine, const char *id) {
    for (uint32_t i = 0; i < engine->home_count; i++) {
        if (strcmp(etx__home_id(engine->home[i]), id) == 0) {
            return engine->home[i];
        }
    }
    return NULL;
}

int etx__homes_away(const etx_engine *engine) {
    for (uint32_t i = 0; i < engine->home_count; i++) {
        if (!atomic_load(&engine->home[i]->opened)) {
            return 1;
        }
    }
    return 0;
}

/* A put costs about the same however full it is, and a second one at the same time is slower than
 * one: so new transactions go to one partition, the near one, until ENOUGH are in flight there.
 * Then to one of each shard, each shard's own if that is where they are begun; and if those have
 * FULL, to all. The near one takes turns, so that each partition's history reaches about as far
 * back. */
enum { ENOUGH = 64, FULL = 1024 };

/* UINT32_MAX: nothing new goes there. */
static uint32_t live_of(const etx__partition *partition) {
    int takes = atomic_load_explicit(&partition->state, memory_order_relaxed) == ETX__OPEN &&
                (partition->home->keeper == NULL ||
                 atomic_load_explicit(&partition->wish, memory_order_relaxed) == ETX__WISH_OWN);
    return takes ? atomic_load_explicit(&partition->live, memory_order_relaxed) : UINT32_MAX;
}

/* The one whose turn it is, or the next that takes something. */
static uint32_t near_of(const etx__home *home, uint32_t first) {
    uint32_t near = first;
    for (uint32_t i = 1; i < home->partition_count && live_of(home->partition[near]) == UINT32_MAX;
         i++) {
        near = (first + i) % home->partition_count;
    }
    return near;
}

static etx__partition *least_live(const etx__home *home, uint32_t first, uint32_t count) {
    etx__partition *least = NULL;
    uint32_t least_live = UINT32_MAX;
    for (uint32_t i = 0; i < count; i++) {
        etx__partition *partition = home->partition[(first + i) % home->partition_count];
        uint32_t live = live_of(partition);
        if (live < least_live) {
            least = partition;
            least_live = live;
        }
    }
    return least;
}

etx__partition *etx__home_partition(etx__home *home) {
    const etx_engine *engine = home->engine;
    uint32_t count = home->partition_count;
    uint32_t placed = atomic_fetch_add_explicit(&home->placed, 1, memory_order_relaxed);
    uint32_t near = near_of(home, placed / home->turn % count);
    if (live_of(home->partition[near]) < ENOUGH) {
        return home->partition[near];
    }
    /* Partitions belong to the shards in turn. */
    uint32_t shards = engine->shard_count < count ? engine->shard_count : count;
    etx__partition *least = least_live(home, near, shards);
    if (least == NULL || live_of(least) >= FULL) {
        return least_live(home, near, count);
    }
    const etx__shard *inside = etx__engine_inside(engine);
    for (uint32_t i = 0; inside != NULL && i < shards; i++) {
        etx__partition *own = home->partition[(near + i) % count];
        if (own->shard == inside && live_of(own) < live_of(least) + ENOUGH) {
            return own;
        }
    }
    return least;
}

etx__partition *etx__home_hashed(etx__home *home, uint32_t hash) {
    return home->partition[(uint64_t)hash * home->partition_count >> 32];
}

int etx_engine_home_status(etx_engine *engine, unsigned place, etx_home_status *ret_status) {
    int rc = etx__engine_serves(engine);
    if (rc != 0) {
        return rc;
    }
    if (ret_status == NULL || ret_status->size == 0) {
        return etx__engine_invalid(engine,
                                   "ret_status: its size must be set, to sizeof(etx_home_status)");
    }
    if (place >= engine->home_count) {
        return etx__engine_fail(engine, ETX_ENOTFOUND, "the engine has %u homes",
                                engine->home_count);
    }
    etx__home *home = engine->home[place];
    int opened = atomic_load(&home->opened) != 0;
    etx_home_status status = {.size = ret_status->size};
    memcpy(status.url, home->url, sizeof status.url);
    memcpy(status.id, etx__home_id(home), sizeof status.id);
    status.grade = opened ? etx__home_grade(home) : ETX_DURABILITY_DEFAULT;
    status.usable = health_now(home) != ETX__HOME_DOWN;
    status.in_use = etx__home_best(engine, engine->options.durability) == home;
    status.chosen = engine->chosen_home == place;
    status.partitions = home->partition_count;
    status.drained = atomic_load(&home->drains) != 0;
    status.since_ms = atomic_load(&home->since_ms);
    for (uint32_t i = 0; i < home->partition_count; i++) {
        status.in_flight += atomic_load(&home->partition[i]->live);
    }
    pthread_mutex_lock(&home->lock);
    if (opened) {
        memcpy(status.remark, home->remark, sizeof status.remark);
    }
    snprintf(status.why, sizeof status.why, "%s", status.usable ? "" : home->why);
    pthread_mutex_unlock(&home->lock);
    memcpy(ret_status, &status, status.size < sizeof status ? status.size : sizeof status);
    return 0;
}

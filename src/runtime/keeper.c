/* The keeper of a shared home: says that this node is there, and sees that each node has its share
 * of the partitions. */
#include "keeper.h"

#include <stdio.h>
#include <string.h>

#include "../protocol/hash.h"
#include "shard.h"
#include "survey.h"
#include "witness.h"

/* Who may write is settled in the log, by OWN and the predecessor of each put. Leases say when it
 * is polite to try. Each node looks at the same table, a moment of the store's clock, and computes
 * everybody's share from it: so nobody has to be asked. Who has less than its share takes what is
 * free; who has more hands over. A partition without its lease starts no new put; its own time,
 * counted from before the lease was asked for, is over before the store's is. */

enum { LOOK_MS = 60, LEAVE_MS = 1000 };
/* What is told stands there for so long at least, so that nobody misses it. */
enum { TELL_MS = 4 * LOOK_MS };
/* What could not be read so often is left to others for so long, or until one of them has had it;
 * what was moved away for as long as a lease. So long one that was moved here is waited for. */
enum { FAILURES_MAX = 6, SHUN_MS = 10000 };

/* A partition, as the keeper sees it. */
typedef struct holding {
    uint8_t held;       /* by this node, as far as it knows */
    uint8_t kept;       /* it was moved here: others are handed over before */
    uint8_t given;      /* it was moved away, and is being handed over */
    uint64_t wanted_us; /* it was moved here: taken until then, once it is free */
    uint64_t shun_us;   /* it cannot be read here, or was moved away: not taken before */
    uint64_t others_us; /* another has it until then, as was seen last; 0: none has */
} holding;

struct etx__keeper {
    etx__home *home;
    pthread_t thread;
    _Atomic uint32_t bell;     /* a futex */
    _Atomic uint32_t stopping; /* STOPS, LEAVES */
    _Atomic uint32_t over;     /* the thread is: a futex */
    uint64_t renew_us;         /* when to say again that it is there */
    holding *holding;          /* by partition */
    uint8_t absent;            /* ... and does not attend any more */
    uint8_t yields;            /* another process is the node of this name */
    uint8_t reread;            /* what a node of this name said before was read */
    uint8_t failing;           /* the store did not answer */
    uint8_t told_why;          /* ... and has said why: not every question has words for it */
    uint8_t hurries;           /* there is more to be told than what was */
    uint8_t has_thread;
    char message[200];
};

enum { STOPS = 1, LEAVES = 2 };

static const etx_engine *engine_of(const etx__keeper *keeper) {
    return keeper->home->engine;
}

static int is_mine(const etx__keeper *keeper, const char *node) {
    return strcmp(node, engine_of(keeper)->node) == 0;
}

static void wish(etx__partition *partition, etx__wish what) {
    if (atomic_exchange(&partition->wish, what) != what) {
        etx__shard_ring(partition->shard);
    }
}

/* ---- leases */

/* Its time is counted from before it was asked for. */
static int renew(etx__keeper *keeper, uint32_t number) {
    etx__home *home = keeper->home;
    uint32_t ttl_ms = home->engine->options.lease_ms;
    uint64_t asked_us = etx__clock_us();
    int rc = home->ops->renew(home->log, number, ttl_ms);
    if (rc >= 0) {
        etx__partition *partition = home->partition[number];
        keeper->holding[number].held = 1;
        if (rc > 0) {
            atomic_store(&partition->lapsed, 1);
        }
        if (atomic_exchange(&partition->lease_us, asked_us + etx__keeper_lease_us(ttl_ms)) <=
                etx__clock_us() ||
            rc > 0) {
            etx__shard_ring(partition->shard); /* puts may have waited for it */
        }
    }
    return rc < 0 ? rc : 0;
}

static void lose(etx__keeper *keeper, uint32_t number) {
    etx__partition *partition = keeper->home->partition[number];
    keeper->holding[number].held = 0;
    keeper->holding[number].kept = 0;
    keeper->holding[number].given = 0;
    atomic_store(&partition->lease_us, 0);
    if (atomic_exchange(&partition->regressed, 0)) {
        etx__witness_doubt(keeper->home); /* it may be there by now; if not, who has it is told */
    }
    wish(partition, ETX__WISH_AWAY);
}

static void lose_all(etx__keeper *keeper) {
    for (uint32_t i = 0; i < keeper->home->partition_count; i++) {
        lose(keeper, i);
    }
}

static int attend(etx__keeper *keeper) {
    etx__home *home = keeper->home;
    char where[ETX__WHERE_MAX];
    if (!keeper->reread) {
        int read = etx__survey_take(home, keeper->message, sizeof keeper->message);
        if (read != 0) {
            return read;
        }
        etx__survey_missed(home);
        keeper->reread = 1;
    }
    etx__survey_say(home->engine, where, ETX__ADDRESS_MAX + ETX__OWN_HOMES_MAX);
    keeper->hurries = etx__witness_say(home, where, sizeof where) != 0;
    int rc = home->ops->attend(home->log, where, home->engine->options.lease_ms, keeper->message,
                               sizeof keeper->message);
    if (rc == ETX_ECONFLICT && !keeper->yields) {
        char why[160];
        snprintf(why, sizeof why,
                 "another process is node %.64s now: this one takes no part meanwhile. Give "
                 "each a name of its own",
                 home->engine->node);
        keeper->yields = 1;
        lose_all(keeper);
        etx__home_down(home, ETX_EUNAVAILABLE, why);
    } else if (rc == 0) {
        keeper->yields = 0; /* the other is gone: what the others leave to this name is taken */
    }
    return rc;
}

/* Says that it is there, and what it still has. */
static int renew_all(etx__keeper *keeper) {
    const etx__home *home = keeper->home;
    int rc = keeper->absent ? 0 : attend(keeper);
    for (uint32_t i = 0; rc == 0 && i < home->partition_count; i++) {
        if (keeper->holding[i].held) {
            rc = renew(keeper, i);
            if (rc == ETX_EBUSY) {
                lose(keeper, i);
                rc = 0;
            }
        }
    }
    return rc;
}

/* ---- shares */

/* Of all partitions, as each node computes it for itself: the first in the order of names have one
 * more where they cannot be equal. 0: the store does not know of this one yet. */
static int share_of(const etx__keeper *keeper, uint32_t *ret_share) {
    uint32_t partitions = keeper->home->partition_count;
    uint32_t nodes = keeper->home->survey->seen.nodes;
    for (uint32_t i = 0; i < nodes; i++) {
        if (is_mine(keeper, keeper->home->survey->seen.node[i].name)) {
            *ret_share = partitions / nodes + (i < partitions % nodes);
            return 1;
        }
    }
    return 0;
}

static int is_owned(const etx__keeper *keeper, uint32_t number) {
    return keeper->holding[number].held &&
           atomic_load(&keeper->home->partition[number]->wish) == ETX__WISH_OWN;
}

static uint32_t count_owned(const etx__keeper *keeper) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < keeper->home->partition_count; i++) {
        count += is_owned(keeper, i) != 0;
    }
    return count;
}

static const char *holder_of(const etx__keeper *keeper, uint32_t number) {
    return keeper->home->survey->seen.holder[number].node;
}

/* Has another taken what was left to others? And is there another at all? */
static void end_shunning(etx__keeper *keeper) {
    int alone = keeper->home->survey->seen.nodes < 2;
    for (uint32_t i = 0; i < keeper->home->partition_count; i++) {
        const char *node = holder_of(keeper, i);
        if (alone || (node[0] != 0 && !is_mine(keeper, node))) {
            keeper->holding[i].shun_us = 0;
        }
    }
}

static int is_free(const etx__keeper *keeper, uint32_t number) {
    const char *node = holder_of(keeper, number);
    return (node[0] == 0 || is_mine(keeper, node)) &&
           atomic_load(&keeper->home->partition[number]->state) != ETX__GONE;
}

/* So that it can be told later what became of it. */
static void note_others(etx__keeper *keeper) {
    for (uint32_t i = 0; i < keeper->home->partition_count; i++) {
        const etx__lease *seen = &keeper->home->survey->seen.holder[i];
        if (seen->node[0] != 0 && !is_mine(keeper, seen->node)) {
            keeper->holding[i].others_us = seen->until_us;
        }
    }
}

/* Each renews after a quarter of its lease: what had so much left was given up. */
static void count_taken(etx__keeper *keeper, uint32_t number) {
    uint64_t *others_us = &keeper->holding[number].others_us;
    uint64_t quarter_us = engine_of(keeper)->options.lease_ms * 250ull;
    if (*others_us > 0) {
        int ran_out = *others_us < etx__clock_us() + quarter_us;
        etx__count(ran_out ? &keeper->home->taken_over : &keeper->home->handed_over, 1);
    }
    *others_us = 0;
}

/* 1: it is this node's now. 0: another was faster. */
static int take_one(etx__keeper *keeper, uint32_t number) {
    int rc = renew(keeper, number);
    if (rc == 0) {
        count_taken(keeper, number);
        wish(keeper->home->partition[number], ETX__WISH_OWN);
        return 1;
    }
    return rc == ETX_EBUSY ? 0 : rc;
}

/* Each node begins elsewhere, so that those who take at the same time seldom meet. */
static int take(etx__keeper *keeper, uint32_t wanted) {
    uint32_t count = keeper->home->partition_count;
    const char *name = engine_of(keeper)->node;
    uint32_t first = (uint32_t)(etx__hash(name, strlen(name)) % count);
    int rc = 0;
    for (uint32_t n = 0; n < count && wanted > 0 && rc >= 0; n++) {
        uint32_t i = (first + n) % count;
        const holding *one = &keeper->holding[i];
        if (is_free(keeper, i) && !is_owned(keeper, i) && !one->given &&
            one->shun_us <= etx__clock_us()) {
            rc = take_one(keeper, i);
            wanted -= rc > 0;
        }
    }
    return rc < 0 ? rc : 0;
}

static void hand_over_one(etx__partition *partition) {
    atomic_store(&partition->leave_us, etx__clock_us() + LEAVE_MS * 1000ull);
    wish(partition, ETX__WISH_LEAVE);
}

static void hand_over(etx__keeper *keeper, uint32_t surplus) {
    const etx__home *home = keeper->home;
    for (; surplus > 0; surplus--) {
        etx__partition *least = NULL;
        for (uint32_t i = 0; i < home->partition_count; i++) {
            etx__partition *partition = home->partition[i];
            /* who takes what was lost may remember less, and would go on there */
            if (is_owned(keeper, i) && !atomic_load(&partition->regressed) &&
                !keeper->holding[i].kept &&
                (least == NULL || atomic_load(&partition->live) < atomic_load(&least->live))) {
                least = partition;
            }
        }
        if (least == NULL) {
            return;
        }
        hand_over_one(least);
    }
}

/* A newer version has written there, or the log is damaged: another node may know better. */
static int is_hopeless(const etx__keeper *keeper, const etx__partition *partition) {
    return atomic_load(&partition->wish) == ETX__WISH_OWN && keeper->home->survey->seen.nodes > 1 &&
           atomic_load(&partition->load_failures) >= FAILURES_MAX;
}

/* Who was to take it may have died since: then it comes back as what he had would. */
static uint64_t shun_ms(const etx__keeper *keeper, uint32_t number, int hopeless) {
    return hopeless                        ? SHUN_MS
           : keeper->holding[number].given ? engine_of(keeper)->options.lease_ms
                                           : 0;
}

/* What was to be handed over, and has been forgotten here, is free for others; so is what was lost
 * to another's claim, and what cannot be read here. */
static int release_left(etx__keeper *keeper) {
    const etx__home *home = keeper->home;
    int rc = 0;
    for (uint32_t i = 0; i < home->partition_count && rc == 0; i++) {
        etx__partition *partition = home->partition[i];
        int hopeless = is_hopeless(keeper, partition);
        if (keeper->holding[i].held && atomic_load(&partition->state) == ETX__ELSEWHERE &&
            !atomic_load(&partition->loading) && /* else its claim may come after another's */
            (hopeless || atomic_load(&partition->wish) != ETX__WISH_OWN)) {
            keeper->holding[i].shun_us = etx__clock_us() + shun_ms(keeper, i, hopeless) * 1000ull;
            atomic_store(&partition->load_failures, 0);
            rc = home->ops->release(home->log, i);
            lose(keeper, i);
        }
    }
    return rc;
}

/* Takes note of what operators want. One that was moved here stays, and others make up for it. */
static void take_orders(etx__keeper *keeper) {
    for (uint32_t i = 0; i < keeper->home->partition_count; i++) {
        holding *one = &keeper->holding[i];
        uint32_t told = atomic_exchange(&keeper->home->partition[i]->order, ETX__ORDER_NONE);
        if (told == ETX__ORDER_TAKE) {
            one->given = 0;
            one->kept = is_owned(keeper, i) != 0;
            one->wanted_us = one->kept ? 0 : etx__clock_us() + SHUN_MS * 1000ull;
            one->shun_us = 0;
        } else if (told == ETX__ORDER_GIVE && one->held) {
            one->given = 1;
            one->kept = 0;
            hand_over_one(keeper->home->partition[i]);
        }
    }
}

static int take_wanted(etx__keeper *keeper) {
    int rc = 0;
    for (uint32_t i = 0; i < keeper->home->partition_count && rc >= 0; i++) {
        holding *one = &keeper->holding[i];
        if (one->wanted_us > etx__clock_us() && is_free(keeper, i)) {
            rc = take_one(keeper, i);
            one->kept = rc > 0;
            one->wanted_us = rc > 0 ? 0 : one->wanted_us;
        }
    }
    return rc < 0 ? rc : 0;
}

/* To have no partition it leaves first, so that others know that what it hands over is theirs. */
static int come_or_go(etx__keeper *keeper) {
    etx__home *home = keeper->home;
    uint32_t unfit = atomic_load(&home->unfit);
    uint32_t drains = atomic_load(&home->drains) | unfit;
    int rc = 0;
    if (drains && !keeper->absent) {
        rc = home->ops->attend(home->log, "", 0, keeper->message, sizeof keeper->message);
        if (rc == 0) {
            keeper->absent = 1;
            if (!unfit) { /* which says why itself */
                etx__home_down(home, ETX_EUNAVAILABLE, "this node is drained: ask another");
            }
        }
    } else if (!drains && keeper->absent) {
        keeper->absent = 0;
        keeper->renew_us = 0;
    }
    return rc;
}

/* The last node cannot be drained: nobody else is there to take what this one leaves. */
static int is_last(const etx__keeper *keeper) {
    const etx__home *home = keeper->home;
    return keeper->absent && home->survey->seen.nodes == 0 && atomic_load(&home->drains) &&
           !atomic_load(&home->unfit);
}

static void hand_over_all(etx__keeper *keeper) {
    for (uint32_t i = 0; i < keeper->home->partition_count; i++) {
        keeper->holding[i].wanted_us = 0;
        keeper->holding[i].kept = 0;
    }
    hand_over(keeper, count_owned(keeper));
}

/* ---- its round */

static int share(etx__keeper *keeper) {
    take_orders(keeper);
    int rc = release_left(keeper);
    rc = rc != 0 ? rc : etx__survey_take(keeper->home, keeper->message, sizeof keeper->message);
    if (rc == 0) {
        note_others(keeper);
    }
    if (rc == 0 && is_last(keeper)) {
        atomic_store(&keeper->home->drains, 0);
        etx__home_down(
            keeper->home, ETX_EUNAVAILABLE,
            "this node was drained, and no other is there any more: it takes part again");
        return 0;
    }
    if (rc == 0 && keeper->absent) {
        hand_over_all(keeper);
        return 0;
    }
    if (rc == 0) {
        end_shunning(keeper);
        rc = take_wanted(keeper);
    }
    if (rc != 0) {
        return rc;
    }
    uint32_t fair;
    uint32_t owned = count_owned(keeper);
    if (!share_of(keeper, &fair)) {
        return 0;
    }
    if (owned < fair) {
        return take(keeper, fair - owned);
    }
    hand_over(keeper, owned - fair);
    return 0;
}

/* A store that was away may be another: the claim is said again, and shows what is missing. */
static void doubt_own(etx__keeper *keeper) {
    for (uint32_t i = 0; i < keeper->home->partition_count; i++) {
        if (keeper->holding[i].held) {
            atomic_store(&keeper->home->partition[i]->lapsed, 1);
            etx__shard_ring(keeper->home->partition[i]->shard);
        }
    }
}

static void note(etx__keeper *keeper, int rc) {
    uint8_t says_why = keeper->message[0] != 0;
    if (rc != 0 && rc != ETX_ECONFLICT && (!keeper->failing || (says_why && !keeper->told_why))) {
        etx__home_down(keeper->home, rc, keeper->message);
        keeper->told_why = says_why;
    }
    int was = keeper->failing;
    keeper->failing = rc != 0;
    if (rc == 0 && was) {
        etx__witness_doubt(keeper->home);
        doubt_own(keeper);
        etx__home_well(keeper->home);
    }
}

static int one_round(etx__keeper *keeper) {
    uint64_t now = etx__clock_us();
    keeper->message[0] = 0;
    int rc = come_or_go(keeper);
    if (rc == 0 && now >= keeper->renew_us) {
        rc = renew_all(keeper);
        if (rc == 0) {
            etx__home_look(keeper->home);
            uint64_t pause_us = engine_of(keeper)->options.lease_ms * 250ull;
            keeper->renew_us = now + (keeper->hurries ? TELL_MS * 1000ull : pause_us);
        }
    }
    if (rc == 0 && keeper->yields) {
        return ETX_ECONFLICT; /* until it is asked again */
    }
    rc = rc != 0 ? rc : share(keeper);
    if (rc == 0 && etx__witness_look(keeper->home)) {
        keeper->renew_us = 0; /* the others are told at once */
    }
    return rc;
}

/* Gives up all leases, and its place: others may take them at once. */
static void leave(etx__keeper *keeper) {
    etx__home *home = keeper->home;
    for (uint32_t i = 0; i < home->partition_count; i++) {
        if (keeper->holding[i].held) {
            (void)home->ops->release(home->log, i); /* else it expires */
        }
    }
    if (!keeper->yields) {
        (void)home->ops->attend(home->log, "", 0, NULL, 0);
    }
}

static int keeper_turn(void *argument) {
    etx__keeper *keeper = argument;
    uint32_t bell = atomic_load(&keeper->bell);
    uint32_t stopping = atomic_load(&keeper->stopping);
    if (stopping) {
        etx_engine *engine = keeper->home->engine;
        if (stopping == LEAVES) {
            leave(keeper);
        }
        atomic_store(&keeper->over, 1);
        etx__futex_wake(&keeper->over, 1);
        etx__engine_drop(engine);
        return 0;
    }
    note(keeper, one_round(keeper));
    uint64_t pause_us = LOOK_MS * 750 + etx__random() % (LOOK_MS * 500);
    etx__futex_wait(&keeper->bell, bell, pause_us);
    return 1;
}

/* ---- its life */

int etx__keeper_make(etx__home *home) {
    etx_engine *engine = home->engine;
    etx__keeper *keeper = etx__engine_alloc(engine, sizeof *keeper);
    home->keeper = keeper;
    if (keeper == NULL) {
        return ETX_ENOMEM;
    }
    keeper->home = home;
    keeper->holding = etx__engine_alloc(engine, home->info.partitions * sizeof *keeper->holding);
    int rc = keeper->holding != NULL ? etx__survey_make(home) : ETX_ENOMEM;
    return rc != 0 ? rc : etx__witness_make(home);
}

int etx__keeper_first(etx__home *home) {
    int rc = one_round(home->keeper);
    note(home->keeper, rc);
    const char *message = home->keeper->message;
    return rc == 0 ? 0
                   : etx__engine_fail(home->engine, rc, "home %s: %s", home->url,
                                      message[0] != 0 ? message : etx_strerror(rc));
}

int etx__keeper_start(etx__home *home) {
    etx__keeper *keeper = home->keeper;
    etx_engine *engine = home->engine;
    etx__engine_hold(engine);
    int rc = etx__thread_start(&engine->allocator, &keeper->thread, "etx-keep", home->place,
                               keeper_turn, keeper);
    keeper->has_thread = rc == 0;
    if (rc != 0) {
        atomic_fetch_sub(&engine->holders, 1);
    }
    return rc;
}

int etx__keeper_stop(etx__home *home, int leaves, uint64_t until_us) {
    etx__keeper *keeper = home->keeper;
    if (keeper == NULL) {
        return 0;
    }
    if (!keeper->has_thread) { /* it was not started */
        if (leaves) {
            leave(keeper);
        }
        return 0;
    }
    keeper->has_thread = 0;
    atomic_store(&keeper->stopping, leaves ? LEAVES : STOPS);
    atomic_fetch_add(&keeper->bell, 1);
    etx__futex_wake(&keeper->bell, 1);
    for (uint64_t now; !atomic_load(&keeper->over) && (now = etx__clock_us()) < until_us;) {
        etx__futex_wait(&keeper->over, 0, until_us - now);
    }
    if (atomic_load(&keeper->over)) {
        etx__thread_join(keeper->thread);
        return 0;
    }
    etx__thread_detach(keeper->thread);
    return ETX_EBUSY;
}

void etx__keeper_free(etx__home *home) {
    etx__keeper *keeper = home->keeper;
    if (keeper == NULL) {
        return;
    }
    etx__witness_free(home);
    etx__survey_free(home);
    etx__engine_release(home->engine, keeper->holding,
                        home->info.partitions * sizeof *keeper->holding);
    etx__engine_release(home->engine, keeper, sizeof *keeper);
    home->keeper = NULL;
}

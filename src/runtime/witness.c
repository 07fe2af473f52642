/* What this node remembers of partitions that other nodes have, and they of its own. */
#include "witness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keeper.h"
#include "seen.h"
#include "shard.h"
#include "slot.h"
#include "survey.h"

/* Where a store was restored from an older backup, a partition may be taken by a node that
 * remembers less of it than another. So each node looks whether the slot that it remembers is still
 * there, whenever somebody else has come to have the partition. If it is not, and nobody has
 * accepted that, it says so beside its address. Who has the partition reads it anew, with that in
 * mind. */

enum { LOOK_US = 20000, AGAIN_US = 5000000, WORD_MAX = 64 };

/* A partition, as it was looked at last. */
typedef struct regard {
    char holder[ETX_NAME_MAX + 1];
    uint8_t looked;
    uint8_t missing; /* what is remembered; and nobody has accepted that */
    uint64_t again_us;
} regard;

struct etx__witness {
    uint32_t first; /* to be told first the next time */
    regard *of;     /* by partition */
};

int etx__witness_make(etx__home *home) {
    home->witness = etx__engine_alloc(home->engine, sizeof *home->witness);
    if (home->witness == NULL) {
        return ETX_ENOMEM;
    }
    size_t size = home->info.partitions * sizeof *home->witness->of;
    home->witness->of = etx__engine_alloc(home->engine, size);
    return home->witness->of != NULL ? 0 : ETX_ENOMEM;
}

void etx__witness_free(etx__home *home) {
    if (home->witness != NULL) {
        etx__engine_release(home->engine, home->witness->of,
                            home->info.partitions * sizeof *home->witness->of);
        etx__engine_release(home->engine, home->witness, sizeof *home->witness);
        home->witness = NULL;
    }
}

/* ---- looking */

typedef struct look {
    const etx__home *home;
    etx_seen_mark mark;
    etx_record_room room;
    int found;
    int beyond;
    int accepted;
} look;

enum { ENOUGH = 1 };

static int see_first(const etx_slot *slot, void *user) {
    look *l = user;
    l->beyond = slot->slot > l->mark.slot; /* it was trimmed */
    l->found = slot->slot == l->mark.slot && slot->checksum == l->mark.checksum;
    return ENOUGH;
}

static int see_record(const etx_record *record, size_t at, void *user) {
    look *l = user;
    (void)at;
    l->accepted |= record->type == ETX_RECORD_LOSS && record->u.loss.time_ms > l->mark.accepted_ms;
    return 0;
}

static int see_slot(const etx_slot *slot, void *user) {
    look *l = user;
    size_t at;
    return etx__slot_each(l->home->engine, slot, &l->room, see_record, l, &at);
}

/* 1: what is remembered is not there; 0: it is, or it was accepted that it is not. Errors: of the
 * store. */
static int misses(const etx__home *home, uint32_t number, etx_seen_mark mark) {
    look l = {.home = home, .mark = mark};
    uint64_t trimmed = 0;
    int rc = home->ops->get(home->log, number, mark.slot, see_first, &l, &trimmed, NULL, 0);
    if (rc < 0 || l.found || l.beyond || (rc == 0 && trimmed > mark.slot)) {
        return rc < 0 ? rc : 0;
    }
    rc = home->ops->get(home->log, number, 0, see_slot, &l, &trimmed, NULL, 0);
    etx__record_room_free(&home->engine->allocator, &l.room);
    return rc != 0 ? rc : !l.accepted;
}

/* Nobody of this node reads or writes there, nor begins to: only the keeper itself wishes that. */
static int is_others(const etx__partition *partition) {
    return atomic_load(&partition->wish) == ETX__WISH_AWAY && !atomic_load(&partition->loading) &&
           atomic_load(&partition->state) == ETX__ELSEWHERE;
}

static int is_due(const etx__home *home, uint32_t number, uint64_t now_us) {
    const regard *one = &home->witness->of[number];
    const char *holder = home->survey->seen.holder[number].node;
    return one->again_us <= now_us &&
           (!one->looked || one->missing || strcmp(one->holder, holder) != 0) &&
           is_others(home->partition[number]) && etx__seen_of(home->partition[number]).known;
}

static void alarm_others(etx__home *home, uint32_t number, etx_seen_mark mark) {
    char why[400];
    const char *holder = home->witness->of[number].holder;
    snprintf(
        why, sizeof why,
        "the store has lost what it acknowledged to this node in partition %u: slot %llu (%08x) "
        "is not there. Who has the partition is told, and says what to do: %s%.64s",
        number, (unsigned long long)mark.slot, mark.checksum,
        holder[0] != 0 ? "node " : "whoever takes it next", holder);
    etx__monitor_home(home, number, ETX_EVENT_LOG_REGRESSED, why);
}

/* 1: it is missing, which was not known. */
static int look_at(etx__home *home, uint32_t number, uint64_t now_us) {
    regard *one = &home->witness->of[number];
    etx_seen_mark mark = etx__seen_of(home->partition[number]);
    int was = one->missing;
    int rc = misses(home, number, mark);
    one->again_us = rc != 0 ? now_us + AGAIN_US : 0;
    if (rc < 0) {
        return 0;
    }
    one->looked = 1;
    one->missing = (uint8_t)rc;
    memcpy(one->holder, home->survey->seen.holder[number].node, sizeof one->holder);
    if (rc > 0 && !was) {
        alarm_others(home, number, mark);
    }
    return rc > 0 && !was;
}

int etx__witness_look(etx__home *home) {
    uint64_t now_us = etx__clock_us();
    int news = 0;
    for (uint32_t i = 0; i < home->partition_count && etx__clock_us() < now_us + LOOK_US; i++) {
        if (is_due(home, i, now_us)) {
            news |= look_at(home, i, now_us);
        }
    }
    return news;
}

void etx__witness_doubt(etx__home *home) {
    for (uint32_t i = 0; i < home->partition_count; i++) {
        home->witness->of[i].looked = 0;
    }
}

/* ---- telling */

int etx__witness_say(etx__home *home, char *text, size_t size) {
    struct etx__witness *witness = home->witness;
    uint32_t count = home->partition_count;
    size_t len = strlen(text);
    for (uint32_t n = 0, first = witness->first; n < count; n++) {
        uint32_t i = (first + n) % count;
        if (!witness->of[i].missing || !is_others(home->partition[i])) {
            continue; /* what has come to this node, it reads itself */
        }
        char word[WORD_MAX];
        etx_seen_mark mark = etx__seen_of(home->partition[i]);
        snprintf(word, sizeof word, " !%u:%llu:%08x:%llu", i, (unsigned long long)mark.slot,
                 mark.checksum, (unsigned long long)mark.accepted_ms);
        if (len + strlen(word) >= size) {
            witness->first = i;
            return 1;
        }
        memcpy(text + len, word, strlen(word) + 1);
        len += strlen(word);
    }
    return 0;
}

static int is_same(const etx_seen_mark *one, const etx_seen_mark *other) {
    return one->known == other->known && one->slot == other->slot &&
           one->checksum == other->checksum && one->accepted_ms == other->accepted_ms;
}

/* What that node has said of it; else where what it says goes. */
static etx__word *word_of(etx__partition *partition, const char *node) {
    for (uint32_t i = 0; i < ETX__WORDS; i++) {
        if (strcmp(partition->told[i].node, node) == 0) {
            return &partition->told[i];
        }
    }
    return &partition->told[partition->told_next++ % ETX__WORDS];
}

/* Several may say different things of a partition, again and again: each is news once. */
static void take_note(etx__partition *partition, const etx_seen_mark *mark, const char *node) {
    etx__home *home = partition->home;
    pthread_mutex_lock(&home->lock);
    etx__word *word = word_of(partition, node);
    int same = is_same(&word->mark, mark);
    word->mark = *mark;
    snprintf(word->node, sizeof word->node, "%s", node);
    pthread_mutex_unlock(&home->lock);
    if (!same) {
        atomic_store(&partition->told_new, 1);
        etx__shard_ring(partition->shard);
    }
}

/* A number, and the character behind it. */
static int read_number(const char **at, int base, char end, uint64_t *ret_number) {
    char *behind;
    *ret_number = strtoull(*at, &behind, base);
    int good = behind > *at && behind[0] == end;
    *at = behind + (good && end != 0);
    return good;
}

void etx__witness_hear(etx__home *home, const char *node, const char *words) {
    for (const char *at = words; (at = strstr(at, " !")) != NULL;) {
        char word[WORD_MAX];
        uint64_t number, slot, checksum, accepted;
        at += 2;
        snprintf(word, sizeof word, "%.*s", (int)strcspn(at, " "), at);
        const char *in = word;
        if (read_number(&in, 10, ':', &number) && read_number(&in, 10, ':', &slot) &&
            read_number(&in, 16, ':', &checksum) && read_number(&in, 10, 0, &accepted) &&
            number < home->partition_count) {
            etx_seen_mark mark = {slot, accepted, (uint32_t)checksum, 1};
            take_note(home->partition[number], &mark, node);
        }
    }
}

void etx__witness_of(const etx__partition *partition, etx__word ret_words[ETX__WORDS]) {
    pthread_mutex_lock(&partition->home->lock);
    memcpy(ret_words, partition->told, sizeof partition->told);
    pthread_mutex_unlock(&partition->home->lock);
}

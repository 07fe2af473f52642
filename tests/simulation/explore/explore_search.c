/* Breadth-first through all states: the shortest way to each is found first. */
#include "explore.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

/* A state is kept as 8 bytes of hash, and 8 that say how it was reached; whole ones only while
 * they wait for their turn. Two states with one hash would be taken for one: with 10^8 states the
 * chance that this happens at all is 3 in 10,000. */

typedef struct queue { /* of states: blocks, written at one end, read at the other */
    struct block {
        struct block *next;
        unsigned count;
        struct waiting {
            explore_world w;
            uint32_t number;
        } item[256];
    } * first, *last, *spare;
    unsigned read;
} queue;

typedef struct search {
    explorer x;
    const explore_limits *limits;
    explore_found *found;
    explore_way *way;
    uint64_t ways_max;
    uint64_t *seen; /* hashes; 0: none */
    uint64_t mask;
    queue waiting;
    struct timespec began;
} search;

static double seconds_since(const struct timespec *began) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - began->tv_sec) + (double)(now.tv_nsec - began->tv_nsec) * 1e-9;
}

static double cpu_seconds(void) {
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec * 1e-9;
}

/* ---- the queue */

static struct waiting *push(queue *q) {
    if (q->last == NULL || q->last->count == 256) {
        struct block *made = q->spare;
        q->spare = made != NULL ? made->next : NULL;
        made = made != NULL ? made : explore_make(1, sizeof *made);
        made->next = NULL;
        made->count = 0;
        if (q->last != NULL) {
            q->last->next = made;
        } else {
            q->first = made;
        }
        q->last = made;
    }
    return &q->last->item[q->last->count++];
}

static struct waiting *pop(queue *q) {
    while (q->first != NULL && q->read == q->first->count) {
        struct block *old = q->first;
        if (old == q->last) {
            return NULL;
        }
        q->first = old->next;
        q->read = 0;
        old->next = q->spare;
        q->spare = old;
    }
    return q->first != NULL ? &q->first->item[q->read++] : NULL;
}

static void queue_free(struct block *block) {
    while (block != NULL) {
        struct block *next = block->next;
        free(block);
        block = next;
    }
}

/* ---- what was seen */

static uint64_t *table_make(uint64_t slots) {
    void *table = mmap(NULL, slots * sizeof(uint64_t), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (table == MAP_FAILED) {
        fprintf(stderr, "explore: out of memory\n");
        exit(2);
    }
    madvise(table, slots * sizeof(uint64_t), MADV_HUGEPAGE);
    return table;
}

static uint64_t *place_of(const search *s, uint64_t hash) {
    uint64_t at = hash & s->mask;
    while (s->seen[at] != 0 && s->seen[at] != hash) {
        at = (at + 1) & s->mask;
    }
    return &s->seen[at];
}

static void table_grow(search *s) {
    uint64_t *old = s->seen;
    uint64_t slots = s->mask + 1;
    s->mask = slots * 2 - 1;
    s->seen = table_make(slots * 2);
    for (uint64_t i = 0; i < slots; i++) {
        if (old[i] != 0) {
            *place_of(s, old[i]) = old[i];
        }
    }
    munmap(old, slots * sizeof *old);
}

/* 1: it is new, and waits for its turn. */
static int note(search *s, const explore_world *w, uint64_t from, uint16_t action) {
    uint64_t hash = explore_hash(&s->x, w);
    hash = hash != 0 ? hash : 1;
    uint64_t *place = place_of(s, hash);
    if (*place != 0) {
        return 0;
    }
    *place = hash;
    uint64_t number = s->found->states++;
    uint16_t depth = from > 0 ? (uint16_t)(s->way[from - 1].depth + 1) : 0;
    s->way[number] = (explore_way){(uint32_t)from, action, depth};
    s->found->depth = depth;
    struct waiting *item = push(&s->waiting);
    item->w = *w;
    item->number = (uint32_t)number + 1;
    if (s->found->states * 4 > s->mask * 3) {
        table_grow(s);
    }
    return 1;
}

/* ---- the search */

static void broken(search *s) {
    s->found->broken = 1;
    snprintf(s->found->wrong, sizeof s->found->wrong, "%s", s->x.wrong);
}

static int expand(search *s, const struct waiting *item) {
    uint16_t actions[EXPLORE_ACTIONS_MAX];
    unsigned count = explore_actions(&s->x, &item->w, actions);
    explore_world next = item->w;
    uint64_t number = item->number;
    explore_world from = item->w;
    int moves = 0;
    s->found->at = number;
    for (unsigned i = 0; i < count; i++) {
        s->found->action = actions[i];
        if (!explore_act(&s->x, &next, actions[i])) {
            continue;
        }
        if (s->x.wrong != NULL) {
            return 0;
        }
        moves++;
        s->found->transitions++;
        note(s, &next, number, actions[i]);
        next = from;
    }
    s->found->action = 0;
    s->found->ends += moves == 0;
    if (moves == 0 || number % s->limits->fair_every == 0) {
        s->found->fair++;
        explore_fair(&s->x, &from);
    }
    return s->x.wrong == NULL;
}

static int goes_on(const search *s, uint64_t turn) {
    if (s->found->states + EXPLORE_ACTIONS_MAX >= s->ways_max ||
        (s->limits->states_max > 0 && s->found->states >= s->limits->states_max)) {
        return 0;
    }
    return s->limits->seconds == 0 || turn % 1024 != 0 ||
           seconds_since(&s->began) < s->limits->seconds;
}

void explore_search(const explore_config *config,
                    const explore_limits *limits,
                    explore_found *found,
                    explore_way *way,
                    uint64_t ways_max) {
    search s;
    memset(&s, 0, sizeof s);
    clock_gettime(CLOCK_MONOTONIC, &s.began);
    s.x.config = config;
    s.x.cores = explore_cores_make(config);
    s.limits = limits;
    s.found = found;
    s.way = way;
    s.ways_max = ways_max;
    s.mask = (1u << 16) - 1;
    s.seen = table_make(s.mask + 1);
    explore_world first;
    explore_world_make(&s.x, &first);
    note(&s, &first, 0, 0);
    if (s.x.wrong != NULL) {
        broken(&s);
    }
    struct waiting *item = NULL;
    uint64_t turn = 0;
    while (s.x.wrong == NULL && goes_on(&s, turn++) && (item = pop(&s.waiting)) != NULL) {
        if (!expand(&s, item)) {
            broken(&s);
        }
    }
    found->complete = item == NULL && !found->broken;
    found->cores = s.x.cores->memory.count;
    found->steps = s.x.cores->steps;
    found->bytes = s.x.cores->memory.total + s.x.cores->bytes.total;
    found->seconds = seconds_since(&s.began);
    found->cpu_seconds = cpu_seconds();
    munmap(s.seen, (s.mask + 1) * sizeof *s.seen);
    queue_free(s.waiting.first);
    queue_free(s.waiting.spare);
    explore_cores_free(s.x.cores);
}

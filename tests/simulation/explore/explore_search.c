/* Breadth-first through all states: the shortest way to each is found first. */
#include "explore.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

/* A state is kept as 8 bytes of hash, 4 that say what was left of the budget, and 8 that say how
 * it was reached; whole ones only while they wait for their turn. Two states with one hash would be
 * taken for one: with 10^8 states the chance that this happens at all is 3 in 10,000.
 *
 * A state that was seen with at least as much left of each fault is not looked at again: whatever
 * can happen to it could happen then, and the way there is no longer, since what is near comes
 * first. The budget is read where a fault is paid for, nowhere else; a run to the end has none. */

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

typedef struct seen {
    uint64_t *hash; /* 0: none */
    uint32_t *left;
    uint64_t mask, count;
} seen;

typedef struct search {
    explorer *x;
    const explore_limits *limits;
    explore_found *found;
    explore_way *way;
    uint64_t ways_max;
    uint64_t states;
    seen seen;
    const seen *covers; /* what was seen with reductions, and must be all; or NULL */
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

static void *table_make(uint64_t size) {
    void *table = mmap(NULL, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (table == MAP_FAILED) {
        fprintf(stderr, "explore: out of memory\n");
        exit(2);
    }
    madvise(table, size, MADV_HUGEPAGE);
    return table;
}

static void seen_make(seen *made, uint64_t slots) {
    made->hash = table_make(slots * sizeof *made->hash);
    made->left = table_make(slots * sizeof *made->left);
    made->mask = slots - 1;
    made->count = 0;
}

static void seen_free(seen *old) {
    munmap(old->hash, (old->mask + 1) * sizeof *old->hash);
    munmap(old->left, (old->mask + 1) * sizeof *old->left);
}

/* Four bits each: a budget is 7 at most. */
static uint32_t left_of(const explore_budget *left) {
    const uint8_t *each = (const uint8_t *)left;
    uint32_t all = 0;
    for (unsigned i = 0; i < sizeof *left; i++) {
        all |= (uint32_t)each[i] << (4 * i);
    }
    return all;
}

static int at_least(uint32_t left, uint32_t other) {
    const uint32_t top = 0x88888888u;
    return (((left | top) - other) & top) == top;
}

/* 1: with at least as much left. */
static int is_seen(const seen *in, uint64_t hash, uint32_t left) {
    for (uint64_t at = hash & in->mask; in->hash[at] != 0; at = (at + 1) & in->mask) {
        if (in->hash[at] == hash && at_least(in->left[at], left)) {
            return 1;
        }
    }
    return 0;
}

/* In place of one with less left, if there is one. */
static void seen_add(seen *in, uint64_t hash, uint32_t left) {
    uint64_t at = hash & in->mask;
    while (in->hash[at] != 0 && (in->hash[at] != hash || !at_least(left, in->left[at]))) {
        at = (at + 1) & in->mask;
    }
    in->count += in->hash[at] == 0;
    in->hash[at] = hash;
    in->left[at] = left;
}

static void seen_grow(seen *in) {
    seen old = *in;
    seen_make(in, (old.mask + 1) * 2);
    for (uint64_t i = 0; i <= old.mask; i++) {
        if (old.hash[i] != 0) {
            seen_add(in, old.hash[i], old.left[i]);
        }
    }
    seen_free(&old);
}

static uint64_t hash_of(const search *s, const explore_world *w) {
    uint64_t hash = s->x->whole ? explore_hash_whole(w) : explore_hash(s->x, w);
    return hash != 0 ? hash : 1;
}

static void check_covered(search *s, const explore_world *w) {
    uint64_t hash = explore_hash(s->x, w);
    if (!is_seen(s->covers, hash != 0 ? hash : 1, left_of(&w->left))) {
        s->x->wrong = "a state that the reductions leave out";
    }
}

/* If it is new, it waits for its turn. */
static void note(search *s, const explore_world *w, uint64_t from, uint16_t action) {
    uint64_t hash = hash_of(s, w);
    uint32_t left = left_of(&w->left);
    if (is_seen(&s->seen, hash, left)) {
        return;
    }
    seen_add(&s->seen, hash, left);
    uint64_t number = s->states++;
    uint16_t depth = from > 0 ? (uint16_t)(s->way[from - 1].depth + 1) : 0;
    s->way[number] = (explore_way){(uint32_t)from, action, depth};
    s->found->depth = depth;
    struct waiting *item = push(&s->waiting);
    item->w = *w;
    item->number = (uint32_t)number + 1;
    if (s->seen.count * 4 > s->seen.mask * 3) {
        seen_grow(&s->seen);
    }
    if (s->covers != NULL) {
        check_covered(s, w);
    }
}

/* ---- the search */

static int is_free(const explore_world *from, const explore_world *to) {
    return memcmp(&from->left, &to->left, sizeof to->left) == 0;
}

/* Nothing more can happen to it if nothing can that is not a fault: then it must end. */
static int expand(search *s, const struct waiting *item) {
    uint16_t actions[EXPLORE_ACTIONS_MAX];
    unsigned count = explore_actions(s->x, &item->w, actions);
    explore_world next = item->w;
    uint64_t number = item->number;
    explore_world from = item->w;
    int moves = 0;
    s->found->at = number;
    for (unsigned i = 0; i < count; i++) {
        s->found->action = actions[i];
        if (!explore_act(s->x, &next, actions[i])) {
            continue;
        }
        if (s->x->cores->told_apart) {
            s->x->wrong = "the core tells branches apart that are alike";
        }
        if (s->x->wrong != NULL) {
            return 0;
        }
        moves += is_free(&from, &next);
        s->found->transitions++;
        note(s, &next, number, actions[i]);
        if (s->x->wrong != NULL) {
            return 0;
        }
        next = from;
    }
    s->found->action = 0;
    s->found->ends += moves == 0;
    if (moves == 0 || number % s->limits->fair_every == 0) {
        s->found->fair++;
        explore_fair(s->x, &from);
    }
    return s->x->wrong == NULL;
}

static int goes_on(const search *s, uint64_t turn) {
    if (s->states + EXPLORE_ACTIONS_MAX >= s->ways_max ||
        (s->limits->states_max > 0 && s->states >= s->limits->states_max)) {
        return 0;
    }
    return s->limits->seconds == 0 || turn % 1024 != 0 ||
           seconds_since(&s->began) < s->limits->seconds;
}

/* 1: to the fixpoint, and nothing is broken. */
static int run(search *s) {
    explore_world first;
    clock_gettime(CLOCK_MONOTONIC, &s->began);
    seen_make(&s->seen, 1u << 16);
    explore_world_make(s->x, &first);
    note(s, &first, 0, 0);
    struct waiting *item = NULL;
    uint64_t turn = 0;
    while (s->x->wrong == NULL && goes_on(s, turn++) && (item = pop(&s->waiting)) != NULL) {
        expand(s, item);
    }
    if (s->x->wrong != NULL) {
        s->found->broken = 1;
        snprintf(s->found->wrong, sizeof s->found->wrong, "%s", s->x->wrong);
    }
    queue_free(s->waiting.first);
    queue_free(s->waiting.spare);
    return item == NULL && !s->found->broken;
}

void explore_search(const explore_config *config,
                    const explore_limits *limits,
                    explore_found *found,
                    explore_way *way,
                    uint64_t ways_max) {
    explorer x = {.config = config, .whole = limits->whole, .cores = explore_cores_make(config)};
    search reduced = {.x = &x, .limits = limits, .found = found, .way = way, .ways_max = ways_max};
    found->complete = (uint8_t)run(&reduced);
    found->states = reduced.states;
    if (limits->check && !limits->whole && found->complete) {
        search whole = reduced;
        memset(&whole.waiting, 0, sizeof whole.waiting);
        whole.states = 0;
        whole.covers = &reduced.seen;
        x.whole = 1;
        found->complete = (uint8_t)run(&whole);
        found->states = whole.states;
        found->reduced = reduced.states;
        seen_free(&whole.seen);
    }
    found->cores = x.cores->memory.count;
    found->steps = x.cores->steps;
    found->bytes = x.cores->memory.total + x.cores->bytes.total;
    found->seconds = seconds_since(&reduced.began);
    found->cpu_seconds = cpu_seconds();
    seen_free(&reduced.seen);
    explore_cores_free(x.cores);
}

/* The world: chance, time, memory, the course of a seed. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "operator.h"
#include "sim.h"

enum { ARENA = 64 << 20, LIMIT_EVENTS = 2000000 };

struct sim_event {
    uint64_t at_us, order;
    sim_act act;
    void *what;
};

/* ---- chance */

uint64_t sim_random(sim *s, sim_stream stream) {
    uint64_t z = s->random[stream] += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint32_t sim_below(sim *s, sim_stream stream, uint32_t bound) {
    return (uint32_t)((sim_random(s, stream) >> 32) * bound >> 32);
}

static sim_stream stream_of(sim_fault fault) {
    if (fault == SIM_ORDER) {
        return SIM_ORDERS;
    }
    if (fault <= SIM_TAKEOVER || fault == SIM_CLOCK || fault == SIM_LATE_NAME) {
        return SIM_CRASHES;
    }
    if (fault >= SIM_PUT_UNKNOWN && fault <= SIM_FLIP) {
        return SIM_STORING;
    }
    return fault >= SIM_OPERATOR || fault == SIM_REFUSE ? SIM_LOAD : SIM_NET;
}

int sim_happens(sim *s, sim_fault fault) {
    /* Drawn in any case, so that leaving out one fault leaves the chances of the others. */
    uint32_t drawn = sim_below(s, stream_of(fault), 10000);
    return !s->healing && drawn < s->chance[fault];
}

uint64_t sim_about(sim *s, uint64_t us) {
    uint64_t drawn = us / 4 + sim_below(s, SIM_NET, (uint32_t)(us + 1));
    return sim_below(s, SIM_NET, 50) == 0 ? drawn * 10 : drawn;
}

const char *sim_fault_name(sim_fault fault) {
    static const char *const names[] = {
#define X(name, text, most) text,
        SIM_FAULT_MAP(X)
#undef X
    };
    return names[fault];
}

/* ---- memory */

void *sim_alloc(sim *s, size_t size) {
    size = (size + 15) & ~(size_t)15;
    if (s->arena_used + size > s->arena_size) {
        fprintf(stderr, "a seed needs more memory than a simulation has\n");
        abort();
    }
    void *block = s->arena + s->arena_used;
    s->arena_used += size;
    memset(block, 0, size);
    return block;
}

sim *sim_make(void) {
    sim *s = calloc(1, sizeof *s);
    if (s == NULL || (s->arena = malloc(ARENA)) == NULL) {
        fprintf(stderr, "out of memory\n");
        abort();
    }
    s->arena_size = ARENA;
    return s;
}

void sim_free(sim *s) {
    sim_local_free(s);
    for (uint32_t i = 0; i < SIM_NODES; i++) {
        sim_machine_free(&s->node[i]);
    }
    etx_record_room_free(&s->room);
    free(s->heap);
    free(s->arena);
    free(s);
}

/* ---- events: a heap by time, then by order */

static int is_before(const struct sim_event *a, const struct sim_event *b) {
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

void sim_at(sim *s, uint64_t in_us, sim_act act, void *what) {
    if (s->events == s->events_room) {
        uint32_t room = s->events_room > 0 ? s->events_room * 2 : 1024;
        s->heap = realloc(s->heap, room * sizeof *s->heap);
        if (s->heap == NULL) {
            abort();
        }
        s->events_room = room;
    }
    struct sim_event made = {s->now_us + in_us, s->order++, act, what};
    uint32_t at = s->events++;
    while (at > 0 && is_before(&made, &s->heap[(at - 1) / 2])) {
        s->heap[at] = s->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    s->heap[at] = made;
}

static struct sim_event take_first(sim *s) {
    struct sim_event first = s->heap[0];
    struct sim_event last = s->heap[--s->events];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = at * 2 + 1;
        if (child >= s->events) {
            break;
        }
        child += child + 1 < s->events && is_before(&s->heap[child + 1], &s->heap[child]);
        if (!is_before(&s->heap[child], &last)) {
            break;
        }
        s->heap[at] = s->heap[child];
        at = child;
    }
    s->heap[at] = last;
    return first;
}

/* ---- the story */

static void digest_line(sim *s, const char *line) {
    for (; *line != 0; line++) {
        s->digest = (s->digest ^ (uint8_t)*line) * 0x100000001b3u;
    }
}

/* The same, a child, or a parent. */
static int is_kin(const char *gid, const char *other) {
    size_t len = strlen(gid);
    size_t other_len = strlen(other);
    size_t least = len < other_len ? len : other_len;
    return strncmp(gid, other, least) == 0 &&
           (len == other_len || (len < other_len ? other[least] : gid[least]) == '/');
}

void sim_say(sim *s, const char *gid, const char *format, ...) {
    char line[600];
    int head = snprintf(line, sizeof line, "%8llu.%03u ", (unsigned long long)(s->now_us / 1000),
                        (unsigned)(s->now_us % 1000));
    va_list list;
    va_start(list, format);
    vsnprintf(line + head, sizeof line - (size_t)head, format, list);
    va_end(list);
    digest_line(s, line);
    if (s->options.trace != NULL &&
        (s->options.only == NULL || gid == NULL || is_kin(gid, s->options.only))) {
        fprintf(s->options.trace, "%s%s%s\n", line, gid != NULL ? "  " : "",
                gid != NULL ? gid : "");
    }
}

void sim_break(sim *s, const char *promise, const char *gid, const char *format, ...) {
    va_list list;
    snprintf(s->broken, sizeof s->broken, "%s", promise);
    snprintf(s->broken_gid, sizeof s->broken_gid, "%s", gid != NULL ? gid : "");
    va_start(list, format);
    vsnprintf(s->story, sizeof s->story, format, list);
    va_end(list);
    sim_say(s, gid, "BROKEN: %s: %s", s->broken, s->story);
    longjmp(s->over, 1);
}

/* ---- the course of a seed */

void sim_run_until(sim *s, uint64_t until_us) {
    while (s->events > 0 && s->heap[0].at_us <= until_us) {
        struct sim_event event = take_first(s);
        s->now_us = event.at_us > s->now_us ? event.at_us : s->now_us;
        if (++s->stats.events > LIMIT_EVENTS) {
            sim_break(s, "it ends", NULL, "more events than any seed should need");
        }
        event.act(s, event.what);
    }
    s->now_us = until_us > s->now_us ? until_us : s->now_us;
}

static void fault_of_node(sim *s, sim_node *node) {
    if (node->up && sim_happens(s, SIM_CRASH)) {
        sim_node_crash(node);
    } else if (node->up && sim_happens(s, SIM_PAUSE)) {
        sim_node_pause(node, sim_about(s, 3000000));
    } else if (sim_happens(s, SIM_CLOCK)) {
        int64_t to = node->wall_offset_ms + (int64_t)sim_below(s, SIM_CRASHES, 120000) - 60000;
        node->wall_offset_ms = to;
        node->wall_least_ms = to < node->wall_least_ms ? to : node->wall_least_ms;
        node->wall_most_ms = to > node->wall_most_ms ? to : node->wall_most_ms;
        sim_say(s, NULL, "%s: its wall clock jumps to %+lld ms", node->name,
                (long long)node->wall_offset_ms);
    } else if (node->up && sim_happens(s, SIM_TAKEOVER)) {
        sim_say(s, NULL, "%s: is started anew, and takes over", node->name);
        if (sim_below(s, SIM_CRASHES, 2) == 0 && !node->paused) {
            sim_node_close(node);
        } else {
            sim_node_crash(node);
        }
    }
}

void sim_store_back(sim *s, void *what) {
    sim_store *store = what;
    (void)s;
    store->down = 0;
    for (uint32_t i = 0; i < s->nodes; i++) {
        s->node[i].cut[store->place] = 0;
    }
    sim_say(s, NULL, "store %u: reachable again", store->place);
}

static void fault_of_store(sim *s, sim_store *store) {
    if (!store->down && sim_happens(s, SIM_OUTAGE)) {
        uint32_t whom = sim_below(s, SIM_STORING, s->nodes + 1);
        store->down = whom == s->nodes;
        if (whom < s->nodes) {
            s->node[whom].cut[store->place] = 1;
        }
        sim_say(s, NULL, "store %u: not reachable from %s", store->place,
                whom < s->nodes ? s->node[whom].name : "anywhere");
        s->stats.outages++;
        sim_at(s, sim_about(s, 4000000), sim_store_back, store);
    } else if (store->leased && sim_happens(s, SIM_LEASE)) {
        sim_store_jump(store);
    } else if (sim_happens(s, SIM_FAILOVER)) {
        sim_store_failover(store);
    } else if (sim_happens(s, SIM_REGRESS)) {
        sim_store_regress(store);
    }
}

/* What comes without anybody doing anything. */
static void misfortune(sim *s, void *what) {
    (void)what;
    for (uint32_t i = 0; i < s->nodes; i++) {
        fault_of_node(s, &s->node[i]);
        sim_local_fault(&s->node[i]);
        if (sim_below(s, SIM_STORING, 4) == 0) {
            sim_local_help(&s->node[i]);
        }
        if (sim_node_ready(&s->node[i]) && sim_below(s, SIM_NET, 64) == 0) {
            sim_refold_check(s, &s->node[i]);
        }
    }
    for (uint32_t i = 0; i < s->stores; i++) {
        fault_of_store(s, &s->store[i]);
    }
    if (sim_happens(s, SIM_LOOK)) {
        sim_client_look(s);
    }
    if (sim_happens(s, SIM_OPERATOR)) {
        sim_operator_act(s);
    }
    if (s->leased && s->nodes > 1 && sim_happens(s, SIM_ORDER)) {
        sim_operator_order(s);
    }
    if (!s->healing) {
        sim_at(s, 20000, misfortune, NULL);
    }
}

static void clean(sim *s, const sim_options *options) {
    sim_local_free(s);
    sim_node kept[SIM_NODES];
    memcpy(kept, s->node, sizeof kept);
    struct sim_event *heap = s->heap;
    uint32_t room = s->events_room;
    uint8_t *arena = s->arena;
    etx_record_room decode = s->room;
    memset(s, 0, sizeof *s);
    for (uint32_t i = 0; i < SIM_NODES; i++) {
        s->node[i].arena = kept[i].arena;
        s->node[i].arena_used = kept[i].arena_used;
        s->node[i].arena_large = kept[i].arena_large;
        sim_machine_forget(&s->node[i]);
    }
    s->heap = heap;
    s->events_room = room;
    s->arena = arena;
    s->arena_size = ARENA;
    s->room = decode;
    s->options = *options;
    s->digest = 0xcbf29ce484222325u;
    s->now_us = 1000000;
    for (int i = 0; i < SIM_STREAMS; i++) {
        s->random[i] = options->seed * SIM_STREAMS_AT_FIRST + (uint64_t)i;
        s->random[i] = sim_random(s, (sim_stream)i);
    }
}

static void run_all(sim *s) {
    uint32_t busy_ms = s->options.busy_ms > 0 ? s->options.busy_ms : SIM_BUSY_MS;
    sim_draw(s);
    sim_local_make(s);
    for (uint32_t i = 0; i < s->nodes; i++) {
        sim_node_boot(&s->node[i]);
    }
    sim_client_start(s);
    sim_at(s, 20000, misfortune, NULL);
    sim_run_until(s, s->now_us + busy_ms * 1000ull);
    sim_live_on(s);
    sim_truth_audit(s);
}

int sim_run(sim *s, const sim_options *options) {
    clean(s, options);
    *sim_current() = s;
    if (setjmp(s->over) == 0) {
        run_all(s);
    }
    return s->broken[0] != 0;
}

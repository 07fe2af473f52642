/* The machine that the nodes run on: its clock is the world's, its threads take turns when the
 * world says so. It stands in the place of src/runtime/machine.c. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "sim.h"

/* The one variable that is not a member of something: the runtime asks for the time, and knows
 * nothing of worlds. */
sim **sim_current(void) {
    static sim *current;
    return &current;
}

/* ---- clocks and chance */

uint64_t etx__clock_us(void) {
    return (*sim_current())->now_us;
}

uint64_t etx__clock_wall_ms(void) {
    const sim *s = *sim_current();
    int64_t offset = s->running != NULL ? s->running->wall_offset_ms : 0;
    return (uint64_t)((int64_t)(1700000000000 + s->now_us / 1000) + offset);
}

uint64_t etx__random(void) {
    return sim_random(*sim_current(), SIM_INSIDE);
}

uint32_t etx__processors(void) {
    return 1;
}

/* ---- memory: what a node had is gone at once when it crashes */

/* Large blocks are pages that are zero until they are touched, as those of the real machine. */
enum { NODE_ARENA = 256 << 20, LARGE = 64 << 10, PAGE = 4096 };

static void **free_list(sim_node *node, size_t size) {
    for (int i = 0; i < SIM_SIZES; i++) {
        if (node->free_size[i] == size || node->free_size[i] == 0) {
            node->free_size[i] = size;
            return &node->free_block[i];
        }
    }
    return NULL;
}

static size_t block_size(size_t size) {
    return size < LARGE ? (size + 63) & ~(size_t)63 : (size + PAGE - 1) & ~(size_t)(PAGE - 1);
}

static uint8_t *arena_of(sim_node *node) {
    if (node->arena == NULL) {
        node->arena = mmap(NULL, NODE_ARENA, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (node->arena == MAP_FAILED) {
            fprintf(stderr, "out of memory\n");
            abort();
        }
    }
    return node->arena;
}

/* Small blocks grow upwards, large ones downwards. */
static void *take_new(sim_node *node, size_t size) {
    uint8_t *arena = arena_of(node);
    size_t *used = size < LARGE ? &node->arena_used : &node->arena_large;
    if (node->arena_used + node->arena_large + size > NODE_ARENA) {
        fprintf(stderr, "a node needs more memory than a simulation gives it\n");
        abort();
    }
    *used += size;
    return size < LARGE ? arena + *used - size : arena + NODE_ARENA - *used;
}

static void *node_allocate(void *user, size_t wanted) {
    sim_node *node = (*sim_current())->running;
    size_t size = block_size(wanted);
    void **list = free_list(node, size);
    void *block = list != NULL ? *list : NULL;
    (void)user;
    if (block != NULL) {
        *list = *(void **)block;
    } else {
        block = take_new(node, size);
    }
    memset(block, 0, size < LARGE ? size : sizeof(void *));
    return block;
}

static void node_release(void *user, void *block, size_t wanted) {
    sim_node *node = (*sim_current())->running;
    size_t size = block_size(wanted);
    (void)user;
    if (block == NULL) {
        return;
    }
    if (size >= LARGE) {
        madvise(block, size, MADV_DONTNEED);
    }
    void **list = free_list(node, size);
    if (list != NULL) {
        *(void **)block = *list;
        *list = block;
    }
}

void sim_machine_forget(sim_node *node) {
    if (node->arena_large > 0) {
        madvise(node->arena + NODE_ARENA - node->arena_large, node->arena_large, MADV_DONTNEED);
    }
    node->arena_used = 0;
    node->arena_large = 0;
    memset(node->free_block, 0, sizeof node->free_block);
    memset(node->free_size, 0, sizeof node->free_size);
}

void sim_machine_free(sim_node *node) {
    if (node->arena != NULL) {
        munmap(node->arena, NODE_ARENA);
    }
}

const etx_allocator etx__allocator = {node_allocate, node_release, NULL};

/* ---- threads */

static void take_turn(sim *s, void *what);

/* What an event about a thread refers to: one turn of one life. */
typedef struct due_turn {
    sim_thread *thread;
    uint32_t number, life;
} due_turn;

void sim_thread_wake(sim_thread *thread, uint64_t in_us) {
    sim *s = thread->node->world;
    due_turn *due = sim_alloc(s, sizeof *due);
    *due = (due_turn){thread, ++thread->number, thread->node->life};
    sim_at(s, in_us, take_turn, due);
}

static void do_turn(sim_node *node, void *what) {
    sim_thread *thread = what;
    thread->word = NULL;
    thread->alive = thread->turn(thread->argument) != 0;
    (void)node;
}

static void take_turn(sim *s, void *what) {
    const due_turn *due = what;
    sim_thread *thread = due->thread;
    sim_node *node = thread->node;
    if (node->life != due->life || thread->number != due->number || !thread->alive) {
        return;
    }
    if (node->paused) {
        sim_thread_wake(thread, node->paused_until_us - s->now_us + sim_about(s, 100));
        return;
    }
    uint32_t number = thread->number;
    node->current = thread;
    int lives = sim_node_run(node, do_turn, thread);
    node->current = NULL;
    if (!lives) {
        return;
    }
    if (thread->alive && thread->word == NULL && thread->number == number) {
        sim_thread_wake(thread, sim_about(s, 10)); /* it did not wait: it goes on */
    }
}

int etx__thread_start(const etx_allocator *allocator,
                      pthread_t *ret_thread,
                      const char *name,
                      uint32_t number,
                      etx__turn_fn turn,
                      void *argument) {
    sim *s = *sim_current();
    sim_node *node = s->running;
    (void)allocator;
    (void)number;
    if (node->threads == SIM_THREADS) {
        return ETX_ENOMEM;
    }
    sim_thread *thread = &node->thread[node->threads++];
    uint32_t turns = thread->number;
    *thread = (sim_thread){.node = node, .turn = turn, .argument = argument, .number = turns};
    thread->alive = 1;
    thread->writer = strcmp(name, "etx-log") == 0;
    thread->core = strcmp(name, "etx-core") == 0;
    memcpy(ret_thread, &thread, sizeof thread);
    sim_thread_wake(thread, sim_about(s, 20));
    return 0;
}

void etx__thread_join(pthread_t which) {
    sim_thread *thread;
    memcpy(&thread, &which, sizeof thread);
    while (thread->alive) {
        do_turn(thread->node, thread);
    }
}

void etx__thread_detach(pthread_t which) {
    (void)which;
}

/* Whoever waits outside a thread's turn (a start, a close) lets the writers work meanwhile. */
static void let_writers_work(sim *s, uint64_t us) {
    sim_node *node = s->running;
    sim_thread *current = node->current;
    for (uint32_t i = 0; i < node->threads; i++) {
        if (node->thread[i].alive && node->thread[i].writer) {
            node->current = &node->thread[i];
            do_turn(node, &node->thread[i]);
        }
    }
    node->current = current;
    s->now_us += us;
}

void etx__futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t timeout_us) {
    sim *s = *sim_current();
    sim_thread *thread = s->running->current;
    if (thread == NULL) {
        let_writers_work(s, timeout_us < 100 ? timeout_us : 100);
        return;
    }
    if (atomic_load(word) != value) {
        return;
    }
    thread->word = word;
    thread->value = value;
    if (timeout_us != UINT64_MAX) {
        sim_thread_wake(thread, timeout_us);
    } else {
        thread->number++; /* no turn is due */
    }
}

/* A write that hangs comes back in a time that the wait for the end knows of (live.c). */
enum { HANG_US = 5000000, HANG_MOST_US = 7000000 };

void etx__futex_wake(_Atomic uint32_t *word, int count) {
    sim *s = *sim_current();
    sim_node *node = s->running;
    for (uint32_t i = 0; i < node->threads && count > 0; i++) {
        sim_thread *thread = &node->thread[i];
        if (thread->alive && thread->word == word) {
            uint64_t us = 40; /* to the store, and back */
            if (thread->writer) {
                us = sim_happens(s, SIM_PUT_HANGS) ? HANG_US : 300;
            }
            us = sim_about(s, us);
            thread->word = NULL;
            sim_thread_wake(thread, us < HANG_MOST_US ? us : HANG_MOST_US);
            count--;
        }
    }
}

void etx__thread_yield(void) {
}

void etx__pause_us(uint32_t us) {
    let_writers_work(*sim_current(), us);
}

/* ---- forks: there are none */

uint32_t *etx__alive_make(void) {
    static uint32_t alive = 1;
    return &alive;
}

void etx__alive_free(const uint32_t *alive) {
    (void)alive;
}

int etx__module_load(const char *name,
                     const char *function,
                     void **ret_function,
                     char *why,
                     size_t size) {
    (void)name;
    (void)function;
    (void)ret_function;
    (void)why;
    (void)size;
    return ETX_ENOTFOUND; /* its logs are its own */
}

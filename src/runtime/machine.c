/* The machine: clocks, random bits, memory, threads. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>

#include "runtime.h"

uint64_t etx__clock_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t etx__clock_wall_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t etx__random(void) {
    uint64_t bits = 0;
    size_t have = 0;
    while (have < sizeof bits) {
        ssize_t got = getrandom((uint8_t *)&bits + have, sizeof bits - have, 0);
        if (got > 0) {
            have += (size_t)got;
        } else if (errno != EINTR) {
            return bits ^ etx__clock_us() ^ ((uint64_t)(uintptr_t)&bits << 20);
        }
    }
    return bits;
}

/* Large blocks are address space until they are touched: a table for a million transactions
 * costs nothing in a service that has ten. */
enum { LARGE = 1 << 20 };

static void *machine_allocate(void *user, size_t size) {
    (void)user;
    if (size < LARGE) {
        return calloc(1, size);
    }
    void *block = mmap(NULL, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return block != MAP_FAILED ? block : NULL;
}

static void machine_release(void *user, void *block, size_t size) {
    (void)user;
    if (block == NULL) {
        return;
    }
    if (size < LARGE) {
        free(block);
    } else {
        munmap(block, size);
    }
}

const etx_allocator etx__allocator = {machine_allocate, machine_release, NULL};

void *etx__engine_alloc(const etx_engine *engine, size_t size) {
    return engine->allocator.allocate(engine->allocator.user, size);
}

void etx__engine_release(const etx_engine *engine, void *block, size_t size) {
    if (block != NULL) {
        engine->allocator.release(engine->allocator.user, block, size);
    }
}

int etx__thread_start(pthread_t *ret_thread,
                      const char *name,
                      uint32_t number,
                      void *(*body)(void *),
                      void *argument) {
    sigset_t all;
    sigset_t before;
    char text[16];
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(ret_thread, NULL, body, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        return ETX_ENOMEM;
    }
    snprintf(text, sizeof text, "%s-%u", name, number % 1000);
    pthread_setname_np(*ret_thread, text);
    return 0;
}

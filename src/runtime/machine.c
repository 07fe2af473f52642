/* The machine: clocks, random bits, memory, threads, as Linux has them. */
#include "machine.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

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

uint32_t etx__processors(void) {
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    return processors > 1 ? (uint32_t)processors : 1;
}

/* ---- threads */

typedef struct body {
    etx_allocator allocator; /* its own */
    etx__turn_fn turn;
    void *argument;
} body;

static void *thread_main(void *user) {
    body own = *(body *)user;
    etx__cancel_off(); /* a callback that cancels the thread it is called on cancels nothing */
    own.allocator.release(own.allocator.user, user, sizeof own);
    while (own.turn(own.argument)) {
    }
    return NULL;
}

int etx__thread_start(const etx_allocator *allocator,
                      pthread_t *ret_thread,
                      const char *name,
                      uint32_t number,
                      etx__turn_fn turn,
                      void *argument) {
    sigset_t all;
    sigset_t before;
    char text[16];
    body *own = allocator->allocate(allocator->user, sizeof *own);
    if (own == NULL) {
        return ETX_ENOMEM;
    }
    *own = (body){*allocator, turn, argument};
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(ret_thread, NULL, thread_main, own);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        allocator->release(allocator->user, own, sizeof *own);
        return ETX_ENOMEM;
    }
    snprintf(text, sizeof text, "%s-%u", name, number % 1000);
    pthread_setname_np(*ret_thread, text);
    return 0;
}

void etx__thread_join(pthread_t thread) {
    pthread_join(thread, NULL);
}

void etx__thread_detach(pthread_t thread) {
    pthread_detach(thread);
}

void etx__futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t timeout_us) {
    struct timespec timeout = {(time_t)(timeout_us / 1000000), (long)(timeout_us % 1000000) * 1000};
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, timeout_us == UINT64_MAX ? NULL : &timeout,
            NULL, 0);
}

void etx__futex_wake(_Atomic uint32_t *word, int count) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

void etx__thread_yield(void) {
    sched_yield();
}

void etx__pause_us(uint32_t us) {
    int before = etx__cancel_off();
    usleep(us);
    etx__cancel_back(before);
}

/* ---- forks */

/* A page that a fork wipes. */
uint32_t *etx__alive_make(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint32_t *alive = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (alive == MAP_FAILED) {
        return NULL;
    }
    if (madvise(alive, page, MADV_WIPEONFORK) != 0) {
        munmap(alive, page);
        return NULL;
    }
    *alive = 1;
    return alive;
}

void etx__alive_free(const uint32_t *alive) {
    munmap((void *)(uintptr_t)alive, (size_t)sysconf(_SC_PAGESIZE));
}

/* ---- modules */

/* The directory of libetx.so, if it is one; "" if not, or if whoever started the program has not
 * the rights that it runs with, and could name a place of theirs. */
static void find_own_folder(char *folder, size_t size) {
    Dl_info own;
    folder[0] = 0;
    if (getauxval(AT_SECURE) != 0 || dladdr((void *)(uintptr_t)etx__module_load, &own) == 0 ||
        own.dli_fname == NULL || own.dli_fname[0] != '/') {
        return;
    }
    const char *file = strrchr(own.dli_fname, '/') + 1;
    if (strncmp(file, "libetx.so", 9) == 0) {
        snprintf(folder, size, "%.*s", (int)(file - own.dli_fname), own.dli_fname);
    }
}

/* Beneath libetx.so, where both are installed; beside it, as they are built; or where the build
 * meant it to be, for a program that has libetx in itself. No search path, no environment. */
static int find_module(const char *name, char *path, size_t size) {
    char folder[400];
    find_own_folder(folder, sizeof folder);
    if (folder[0]) {
        snprintf(path, size, "%setx/%s.so", folder, name);
        if (access(path, F_OK) == 0) {
            return 1;
        }
        snprintf(path, size, "%s%s.so", folder, name);
        if (access(path, F_OK) == 0) {
            return 1;
        }
    }
    snprintf(path, size, "%s/%s.so", ETX_MODULE_DIR, name);
    return access(path, F_OK) == 0;
}

int etx__module_load(const char *name,
                     const char *function,
                     void **ret_function,
                     char *why,
                     size_t size) {
    char path[512];
    if (!find_module(name, path, sizeof path)) {
        snprintf(why, size, "%s is not there", path);
        return ETX_ENOTFOUND;
    }
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    void *found = module != NULL ? dlsym(module, function) : NULL;
    if (found == NULL) {
        const char *error = dlerror();
        snprintf(why, size, "%s", error != NULL ? error : path);
    }
    if (module != NULL) {
        dlclose(module); /* it stays */
    }
    if (found == NULL) {
        return ETX_EINVALID;
    }
    *ret_function = found;
    return 0;
}

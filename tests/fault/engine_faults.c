/* Fault loops on the whole engine, with its threads: each operation of the disk, and each
 * allocation, fails in turn, once and for good, while it starts, runs, closes and starts again.
 * Whatever fails: an error, or unknown, or a clean stop; no leak; and an engine that starts on a
 * disk that is well knows all that was told, and ends all that was begun.
 *
 * engine_faults [STEP [FROM]]: every STEP-th place, from FROM on. */
#include "shop.h"

#include "../simulation/disk/disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOUNT "/sim/shop"
#define URL "file:" MOUNT "/log?partitions=1&segment=64K"

typedef struct trial {
    shop shop;
    disk *on;
    char wrong[600];
} trial;

typedef struct loops {
    uint64_t step;
    uint64_t from;
    uint64_t trials;
    uint64_t violations;
} loops;

static void wrong(trial *of, const char *what) {
    if (!of->wrong[0])
        snprintf(of->wrong, sizeof of->wrong, "%s: %s", what, of->shop.message);
}

/* A few transactions; who hears that the log cannot say stops. */
static void customers(trial *of, uint32_t from, uint32_t to) {
    for (uint32_t i = from; i < to; i++) {
        if (shop_run(&of->shop, i, i % 4 == 2))
            return;
    }
}

static void life(trial *of) {
    if (shop_start(&of->shop, URL, 60) == 0) {
        customers(of, 0, 6);
        shop_stop(&of->shop, ETX_CLOSE_FINISH);
    }
    if (shop_start(&of->shop, URL, 60) == 0) {
        customers(of, 6, 8);
        shop_stop(&of->shop, ETX_CLOSE_ABRUPT);
    }
}

static void leaks_judge(trial *of) {
    if (of->shop.memory.outstanding || of->shop.memory.wrong) {
        snprintf(of->shop.message, sizeof of->shop.message, "%llu blocks",
                 (unsigned long long)of->shop.memory.outstanding);
        wrong(of, "memory leaks");
    }
    if (disk_descriptors(of->on))
        wrong(of, "descriptors leak");
}

/* The disk is well again. */
static void next_start(trial *of) {
    if (shop_start(&of->shop, URL, 20000)) {
        wrong(of, "the next start");
        return;
    }
    if (!shop_quiet(&of->shop, 20))
        wrong(of, "what was begun does not end");
    for (uint32_t i = 0; i < SHOP_ROWS && !of->wrong[0]; i++) {
        if (of->shop.rows[i].told && shop_ask(&of->shop, i, of->shop.rows[i].told))
            wrong(of, "the next start");
    }
    if (shop_run(&of->shop, SHOP_ROWS - 1, 0))
        wrong(of, "the next start takes no transaction");
    if (!of->wrong[0] && shop_agrees(&of->shop))
        wrong(of, "participants");
    shop_stop(&of->shop, ETX_CLOSE_FINISH);
}

/* 1: the fault struck. */
static int trial_run(loops *all, const disk_fault *fault, uint64_t memory_at, int for_good) {
    static trial of; /* large */
    disk_rng rng = {.state = all->trials};
    int struck;
    memset(&of, 0, sizeof of);
    memory_make(&of.shop.memory);
    of.on = disk_make(MOUNT);
    if (fault)
        disk_fault_add(of.on, fault);
    of.shop.memory.fail_at = memory_at;
    of.shop.memory.for_good = for_good;
    life(&of);
    struck = disk_struck(of.on) || of.shop.memory.failed;
    disk_fault_clear(of.on);
    of.shop.memory.fail_at = 0;
    leaks_judge(&of);
    disk_crash(of.on, disk_rng_choose, &rng);
    next_start(&of);
    leaks_judge(&of);
    all->trials++;
    if (of.wrong[0]) {
        all->violations++;
        printf("VIOLATION: %s\n  %s number %llu fails, %s, error %d\n", of.wrong,
               fault ? disk_kind_name(fault->kind) : "allocation",
               (unsigned long long)(fault ? fault->at : memory_at), for_good ? "for good" : "once",
               fault ? fault->error : ENOMEM);
    }
    disk_free(of.on);
    return struck;
}

/* With threads not all lives are alike: it ends when three in a row went by without the fault. */
static uint64_t loop(loops *all, const disk_fault *fault, int for_good) {
    uint64_t at = all->from;
    for (int spared = 0; spared < 3 && all->violations < 10; at += all->step) {
        disk_fault now = {0};
        if (fault)
            now = *fault;
        now.at = at;
        now.for_good = for_good;
        if (trial_run(all, fault ? &now : NULL, fault ? 0 : at, for_good))
            spared = 0;
        else
            spared++;
        if (fault && fault->kind == DISK_LIST && at > 200)
            break;
    }
    return at;
}

static const disk_fault variants[] = {{.kind = DISK_OPEN, .error = EIO},
                                      {.kind = DISK_READ, .error = EIO},
                                      {.kind = DISK_LIST, .error = EIO},
                                      {.kind = DISK_STAT, .error = EIO},
                                      {.kind = DISK_LOCK, .error = ENOLCK},
                                      {.kind = DISK_CREATE, .error = ENOSPC},
                                      {.kind = DISK_WRITE, .error = EIO, .first = 512},
                                      {.kind = DISK_WRITE, .error = EIO, .first = SIZE_MAX},
                                      {.kind = DISK_WRITE, .error = ENOSPC},
                                      {.kind = DISK_ALLOCATE, .error = ENOSPC},
                                      {.kind = DISK_SYNC, .error = EIO},
                                      {.kind = DISK_SYNC_DIR, .error = EIO},
                                      {.kind = DISK_RENAME, .error = EIO},
                                      {.kind = DISK_UNLINK, .error = EIO},
                                      {.kind = DISK_MKDIR, .error = ENOSPC}};

int main(int argc, char **argv) {
    loops all = {.step = argc > 1 ? strtoull(argv[1], NULL, 10) : 1,
                 .from = argc > 2 ? strtoull(argv[2], NULL, 10) : 1};
    disk_threads(1);
    for (int for_good = 0; for_good < 2; for_good++) {
        for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
            uint64_t before = all.trials;
            loop(&all, &variants[i], for_good);
            printf("%s, %s, %s: %llu lives\n", disk_kind_name(variants[i].kind),
                   strerror(variants[i].error), for_good ? "for good" : "once",
                   (unsigned long long)(all.trials - before));
            fflush(stdout);
        }
        uint64_t before = all.trials;
        loop(&all, NULL, for_good);
        printf("memory, %s: %llu lives\n", for_good ? "for good" : "once",
               (unsigned long long)(all.trials - before));
    }
    printf("%llu lives of engines, each with a fault, %llu violations\n",
           (unsigned long long)all.trials, (unsigned long long)all.violations);
    return all.violations || !all.trials;
}

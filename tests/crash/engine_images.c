/* Crash images of the engine: an engine starts on each, knows what callers had been told by then,
 * ends what was begun, and takes another transaction. */
#include "engine_images.h"

#include "../fault/shop.h"
#include "../simulation/disk/disk.h"

#include <stdio.h>
#include <string.h>

#define TRANSACTIONS 12
#define OPTIONS "?partitions=1&segment=1M"

typedef struct engine_run {
    shop shop;
    disk *on;
    disk_journal journal;
} engine_run;

/* `note` of the journal: so many transactions, in order, were told. */
static void run_make(engine_run *run) {
    memset(run, 0, sizeof *run);
    memory_make(&run->shop.memory);
    run->on = disk_make("/sim/engine");
    disk_journal_start(&run->journal, run->on);
    for (uint32_t life = 0; life < 2; life++) {
        if (shop_start(&run->shop, "file:/sim/engine/log" OPTIONS, 20000))
            return;
        for (uint32_t i = 0; i < TRANSACTIONS / 2; i++) {
            uint32_t number = life * TRANSACTIONS / 2 + i;
            if (shop_run(&run->shop, number, number % 4 == 2) == 0)
                run->journal.note = number + 1;
        }
        shop_stop(&run->shop, life ? ETX_CLOSE_FINISH : ETX_CLOSE_ABRUPT);
    }
    disk_journal_stop(&run->journal);
}

static void image_work(shop *on, const engine_run *run, uint64_t told, char *wrong, size_t size) {
    if (shop_start(on, "file:/sim/engine-image/log" OPTIONS, 20000)) {
        snprintf(wrong, size, "the engine does not start: %s", on->message);
        return;
    }
    if (!shop_quiet(on, 20))
        snprintf(wrong, size, "what was begun does not end");
    for (uint32_t i = 0; i < told && !wrong[0]; i++) {
        if (shop_ask(on, i, run->shop.rows[i].told))
            snprintf(wrong, size, "%s", on->message);
    }
    if (!wrong[0] && shop_run(on, SHOP_ROWS - 1, 0))
        snprintf(wrong, size, "no transaction can be run");
    shop_stop(on, ETX_CLOSE_LEAVE);
    if (!wrong[0] && (on->memory.outstanding || on->memory.wrong))
        snprintf(wrong, size, "memory leaks");
}

static void image_judge(const engine_run *run, uint64_t seed, uint64_t n, engine_tally *tally) {
    static shop on; /* large */
    disk_rng rng = {.state = seed * 7919 + n};
    size_t at = (size_t)(n * 2654435761u % run->journal.count);
    const disk_moment *moment = &run->journal.moments[at];
    disk *image = disk_clone(moment->state, "/sim/engine-image");
    char wrong[600] = "";
    if (n % 8)
        disk_crash(image, disk_rng_choose, &rng);
    memset(&on, 0, sizeof on);
    memory_make(&on.memory);
    image_work(&on, run, moment->note, wrong, sizeof wrong);
    if (!wrong[0] && disk_descriptors(image))
        snprintf(wrong, sizeof wrong, "descriptors leak");
    tally->images++;
    if (wrong[0]) {
        tally->violations++;
        printf("VIOLATION: engine: %s\n  at moment %zu of %zu (%s %s), image %llu of seed %llu\n",
               wrong, at, run->journal.count, disk_kind_name(moment->kind), moment->name,
               (unsigned long long)n, (unsigned long long)seed);
    }
    disk_free(image);
}

void engine_images_judge(uint64_t seed, uint64_t images, engine_tally *tally) {
    static engine_run run; /* large */
    disk_threads(1);
    run_make(&run);
    if (run.journal.note != TRANSACTIONS) {
        tally->violations++;
        printf("VIOLATION: engine: the run itself: %s\n", run.shop.message);
    }
    for (uint64_t n = 0; n < images && run.journal.count && tally->violations < 10; n++)
        image_judge(&run, seed, n, tally);
    disk_journal_free(&run.journal);
    disk_free(run.on);
    disk_threads(0);
}

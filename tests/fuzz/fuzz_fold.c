/* Fuzzes recovery's fold: records that decode, in an order that no core would have written. The
 * core refuses them or takes them; what it then holds it can say again (as MOVE records), and a
 * core that folds those holds the same. After that it goes on: recovered, ticked, every record
 * durable, every call unanswered. */
#include "fuzz.h"

#include "../../src/core/rules.h"

#include <stdlib.h>
#include <string.h>

enum { MEMORY = 1 << 16, TICKS = 8, STEPS_MAX = 4096 };

typedef struct image {
    etx_record_branch branches[ETX_BRANCHES_MAX];
    etx_record_progress progress[ETX_BRANCHES_MAX];
    etx_record move;
} image;

static etx__core_options options_make(unsigned how) {
    return (etx__core_options){
        .transactions_max = 8,
        .branches_max = 16,
        .history_max = 8,
        .history_age_ms = 1000,
        .participants_max = 4,
        .image_max = MEMORY / 4,
        .call_timeout_ms = 1000,
        .retry_first_ms = 100,
        .retry_cap_ms = 1000,
        .working_ms = 1000,
        .park_after = 3,
        .inspect = how & 1,
        .history_strict = how >> 1 & 1,
        .first_serial = 1,
        .pool_size = MEMORY,
    };
}

/* What is used again from input to input: fresh memory would cost more than the fold. */
typedef struct fold_bed {
    void *memory[2]; /* of cores with the same sizes */
    image image;
} fold_bed;

static fold_bed *bed_make(const etx__core_options *options) {
    fold_bed *bed = fuzz_alloc(sizeof *bed);
    for (int i = 0; i < 2; i++) {
        bed->memory[i] = calloc(1, etx__core_size(options));
        fuzz_check(bed->memory[i] != NULL);
    }
    return bed;
}

/* A new core in memory that one has used before: all but its outputs and scratch is cleared. */
static etx__core *core_make(void *memory, const etx__core_options *options) {
    etx__core *core = etx__core_init(memory, options);
    size_t before = (size_t)((uint8_t *)core->entry - (uint8_t *)memory);
    memset(core->entry, 0, etx__core_size(options) - before);
    return etx__core_init(memory, options);
}

static etx_bytes image_take(const etx__core *core, const etx__entry *entry, image *to) {
    etx__core_image(core, entry, to->branches, to->progress, &to->move);
    fuzz_check(etx_record_check(&to->move) == 0);
    return fuzz_encode(etx_codec_binary(), &to->move);
}

/* The entry's MOVE, folded by a core that knows nothing else, gives the same MOVE. */
static void check_moved(fold_bed *bed, const etx__core *core, const etx__entry *entry) {
    etx__core *fresh = core_make(bed->memory[1], &core->options);
    image *scratch = &bed->image;
    etx_bytes move = image_take(core, entry, scratch);
    int rc = etx__core_fold(fresh, &scratch->move);
    fuzz_check(rc == 0);
    etx_bytes gid = {entry->gid, entry->gid_len};
    const etx__entry *twin = etx__core_find(fresh, gid, etx__core_hash(gid));
    fuzz_check(twin != NULL && (twin->tx == NULL) == (entry->tx == NULL));
    etx_bytes again = image_take(fresh, twin, scratch);
    fuzz_check(fuzz_equal(move, again));
    fuzz_free(again);
    fuzz_free(move);
}

static void check_all(fold_bed *bed, const etx__core *core) {
    uint32_t live = 0;
    uint32_t remembered = 0;
    for (uint32_t i = 0; i < core->entries_top; i++) {
        const etx__entry *entry = &core->entry[i];
        if (entry->gid != NULL) {
            check_moved(bed, core, entry);
            live += entry->tx != NULL;
            remembered += entry->tx == NULL;
        }
    }
    fuzz_check(live == core->live && remembered == core->remembered);
}

static void step(etx__core *core, etx__event *event, unsigned *steps) {
    const etx__out *out;
    do {
        out = etx__core_step(core, event);
        for (uint32_t i = 0; i < out->record_count; i++) {
            fuzz_check(etx_record_check(&out->record[i]) == 0);
        }
        for (uint32_t i = 0; i < out->call_count; i++) {
            fuzz_check(out->call[i].rests_on <= core->durable);
        }
        fuzz_check(++*steps < STEPS_MAX);
    } while (out->more);
}

static void go_on(etx__core *core) {
    const etx__policy policy = {.name_len = 3, .name = "pay"};
    etx__event event = {.type = ETX__EV_REGISTERED,
                        .now = {.mono_ms = 1000, .mono_us = 1000000, .wall_ms = 100000}};
    unsigned steps = 0;
    event.u.registered.policy = &policy;
    step(core, &event, &steps);
    event.type = ETX__EV_RECOVERED;
    event.u.recovered.slot = 1;
    step(core, &event, &steps);
    for (unsigned i = 0; i < TICKS; i++) {
        event.type = ETX__EV_TICK;
        event.now.mono_ms += 200u << i;
        event.now.mono_us = event.now.mono_ms * 1000;
        event.now.wall_ms += 200u << i;
        step(core, &event, &steps);
        event.type = ETX__EV_DURABLE;
        event.u.durable.seq = core->seq;
        step(core, &event, &steps);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static fold_bed *bed;
    fuzz_input input = {data, size};
    unsigned how = fuzz_byte(&input);
    etx_bytes rest = {input.at, input.left};
    etx__core_options options = options_make(how);
    bed = bed != NULL ? bed : bed_make(&options);
    etx__core *core = core_make(bed->memory[0], &options);
    etx_record_room room = {0};
    etx_record record;
    size_t used = 0;
    int rc = 0;
    while (rc == 0 && rest.len > 0 &&
           fuzz_decode(etx_codec_binary(), rest, &room, &record, &used) == 0) {
        rc = etx__core_fold(core, &record);
        fuzz_check(rc == 0 || rc == ETX_EBUSY || rc == ETX_ECORRUPT);
        rest = (etx_bytes){(const uint8_t *)rest.data + used, rest.len - used};
    }
    if (rc == 0) {
        check_all(bed, core);
        go_on(core);
    }
    etx_record_room_free(&room);
    return 0;
}

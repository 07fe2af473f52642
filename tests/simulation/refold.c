/* Live state equals refolded state: a node's core beside a new one that reads the same log. */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

static int fold_slot(sim *s, etx__core *core, const sim_slot *slot) {
    size_t at = 1;
    while (at < slot->len) {
        etx_record record;
        size_t used = 0;
        int rc = etx_codec_binary()->decode((etx_bytes){slot->bytes + at, slot->len - at}, &s->room,
                                            &record, &used);
        if (rc == ETX_EBUSY && etx_record_room_grow(&s->room) == 0) {
            continue;
        }
        rc = rc != 0 ? rc : etx__core_fold(core, &record);
        if (rc != 0) {
            return rc;
        }
        at += used;
    }
    return 0;
}

typedef struct image {
    uint8_t bytes[8192];
    size_t len;
} image;

static void image_of(const etx__core *core, const etx__entry *entry, image *ret_image) {
    etx_record_branch branches[SIM_BRANCHES];
    etx_record_progress progress[SIM_BRANCHES];
    etx_record move;
    etx__core_image(core, entry, branches, progress, &move);
    etx_assert(etx_codec_binary()->bound(&move) <= sizeof ret_image->bytes);
    ret_image->len = etx_codec_binary()->encode(&move, ret_image->bytes);
}

static void compare(sim *s, const etx__core *live, const etx__core *folded) {
    for (uint32_t i = 0; i < live->entries_top; i++) {
        const etx__entry *entry = &live->entry[i];
        if (entry->gid == NULL || entry->tx == NULL) {
            continue;
        }
        etx_bytes gid = {entry->gid, entry->gid_len};
        const etx__entry *twin = etx__core_find(folded, gid, etx__core_hash(gid));
        image a;
        image b;
        if (twin == NULL) {
            sim_break(s, "live state equals refolded state", (const char *)entry->gid,
                      "it is not in the log");
        }
        image_of(live, entry, &a);
        image_of(folded, twin, &b);
        if (a.len == 0 || a.len != b.len || memcmp(a.bytes, b.bytes, a.len) != 0) {
            sim_break(s, "live state equals refolded state", (const char *)entry->gid,
                      "the log gives another one");
        }
    }
    if (live->live != folded->live) {
        sim_break(s, "live state equals refolded state", NULL, "%u live, %u in the log", live->live,
                  folded->live);
    }
}

static void check_partition(sim *s, const etx__partition *partition) {
    const sim_store *store = ((const sim_adapter *)(const void *)partition->home->log)->store;
    if (store->regressed || partition->state != ETX__OPEN || partition->flying != NULL ||
        partition->first != NULL || partition->busy) {
        return;
    }
    const sim_shelf *shelf = &store->shelf[partition->number];
    if (partition->owner.slot != shelf->count || shelf->told != shelf->count) {
        return; /* another owns it by now */
    }
    const etx__core *live = partition->memory->core;
    void *memory = calloc(1, etx__core_size(&live->options));
    if (memory == NULL) {
        abort();
    }
    etx__core *folded = etx__core_init(memory, &live->options);
    for (uint64_t i = shelf->mark; i < shelf->count; i++) {
        int rc = fold_slot(s, folded, &shelf->slot[i]);
        if (rc != 0) {
            sim_break(s, "live state equals refolded state", NULL, "slot %llu folds with %s",
                      (unsigned long long)i, etx_error_name(rc));
        }
    }
    compare(s, live, folded);
    free(memory);
}

void sim_refold_check(sim *s, sim_node *node) {
    for (uint32_t i = 0; i < node->engine->partition_count; i++) {
        check_partition(s, node->engine->partition[i]);
    }
}

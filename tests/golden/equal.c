/* Live state equals refolded state: compared as the bytes of each transaction's MOVE. */
#include "world.h"

#include <stdlib.h>
#include <string.h>

typedef struct image {
    etx_record_branch branches[ETX_BRANCHES_MAX];
    etx_record_progress progress[ETX_BRANCHES_MAX];
    etx_record move;
    uint8_t *bytes;
    size_t len;
} image;

static image *image_of(const world *w, const etx__core *core, const etx__entry *entry) {
    image *made = malloc(sizeof *made);
    if (made == NULL) {
        abort();
    }
    etx__core_image(core, entry, made->branches, made->progress, &made->move);
    made->bytes = malloc(w->codec->bound(&made->move));
    if (made->bytes == NULL) {
        abort();
    }
    made->len = w->codec->encode(&made->move, made->bytes);
    return made;
}

static void image_free(image *of) {
    free(of->bytes);
    free(of);
}

static int is_equal(const world *w,
                    const etx__entry *live,
                    const etx__core *folded_core,
                    const etx__entry *folded) {
    image *a = image_of(w, w->core, live);
    image *b = image_of(w, folded_core, folded);
    int equal = a->len == b->len && a->len > 0 && memcmp(a->bytes, b->bytes, a->len) == 0;
    image_free(a);
    image_free(b);
    return equal;
}

/* What has ended may be forgotten at other moments: by age, or while it is not durable. */
void equal_check(world *w) {
    void *memory = NULL;
    etx__core *folded = world_fold(w, w->first, w->records, &memory);
    for (uint32_t i = 0; i < w->core->entries_top; i++) {
        const etx__entry *live = &w->core->entry[i];
        if (live->gid == NULL) {
            continue;
        }
        const char *gid = (const char *)live->gid;
        const etx__entry *twin = etx__core_find(folded, (etx_bytes){live->gid, live->gid_len},
                                                etx__core_hash_of(w->core, live));
        if (twin == NULL && live->tx != NULL) {
            world_fail(w, "a live transaction is not in its log", gid);
        } else if (twin != NULL && !is_equal(w, live, folded, twin)) {
            world_fail(w, "refolded it is another", gid);
        }
    }
    if (folded->live != w->core->live) {
        world_fail(w, "refolded there are more or fewer live ones", "");
    }
    free(memory);
}

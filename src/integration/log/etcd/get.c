/* Reads slots from etcd in pages, all of one revision: the first page's. Where that is compacted
 * meanwhile it goes on at a newer one: slots are written once, so nothing is lost by that, unless
 * what was not yet read has been trimmed; then the reader has to begin again.
 *
 * All reads are linearizable, as they are unless it is said otherwise: what was acknowledged is
 * among them. */
#include "etcd.h"

#include <inttypes.h>
#include <string.h>

enum { PAGE_SLOTS = 16, PAGE_SLOTS_MAX = 4096 };

typedef struct page_reader {
    etx__store_reader slots;
    etx__etcd_log *log;
    etx__etcd_session *session;
    uint32_t number;
    uint64_t at;       /* the slot that comes next */
    uint64_t revision; /* of all pages; 0: the next one tells */
    uint64_t mark;
    uint32_t limit; /* slots in the next page */
} page_reader;

static int say(const page_reader *reader, int rc, const char *text) {
    return etx__store_say(reader->slots.message, reader->slots.message_size, rc, "%s", text);
}

static void add_range(page_reader *reader, etx__etcd_text *to) {
    const etx__etcd_store *store = &reader->log->store;
    etx__etcd_key(to, RANGE_KEY, store, "p/%03u/s/%016" PRIx64, reader->number, reader->at);
    etx__etcd_key(to, RANGE_END, store, "p/%03u/s0", reader->number);
    etx__etcd_number(to, RANGE_LIMIT, reader->limit);
}

/* With the mark, of the same moment. */
static int ask_first(page_reader *reader, etx_bytes *ret_answer) {
    etx__etcd_text *to = etx__etcd_begin(reader->session);
    for (int i = 0; i < 2; i++) {
        size_t operation = etx__etcd_open(to, TXN_SUCCESS);
        size_t range = etx__etcd_open(to, OP_RANGE);
        if (i == 0)
            etx__etcd_key(to, RANGE_KEY, &reader->log->store, "p/%03u/below", reader->number);
        else
            add_range(reader, to);
        etx__etcd_close(to, range);
        etx__etcd_close(to, operation);
    }
    return etx__etcd_run(reader->session, "KV/Txn", ret_answer);
}

static int ask_next(page_reader *reader, etx_bytes *ret_answer) {
    etx__etcd_text *to = etx__etcd_begin(reader->session);
    add_range(reader, to);
    etx__etcd_number(to, RANGE_REVISION, reader->revision);
    return etx__etcd_run(reader->session, "KV/Range", ret_answer);
}

static int take_mark(page_reader *reader, etx_bytes answer) {
    uint64_t before = reader->mark;
    etx_bytes kv = etx__etcd_part_of(etx__etcd_found(answer, 0), RANGE_KVS, 0);
    if (etx__etcd_mark_read(kv, &reader->mark))
        return say(reader, ETX_ECORRUPT,
                   "the partition's own key is gone, or is not as ETX made it");
    reader->revision = etx__etcd_number_of(etx__etcd_part_of(answer, HEADER, 0), HEADER_REVISION);
    if (reader->slots.any && reader->mark > before && reader->mark > reader->at)
        return say(reader, ETX_EUNAVAILABLE, "the partition was trimmed while it was read");
    return 0;
}

static int take_one(page_reader *reader, etx_bytes kv) {
    etx_slot slot = {.partition = reader->number};
    if (etx__etcd_slot_number(kv, &slot.slot))
        return say(reader, ETX_ECORRUPT, "the partition has a key that is not as ETX makes it");
    reader->at = slot.slot + 1;
    if (slot.slot < reader->mark)
        return 0;                         /* trimmed, and about to be deleted */
    (void)etx__etcd_slot_read(kv, &slot); /* where it is no slot, its checksum tells */
    int rc = etx__store_reader_take(&reader->slots, &slot);
    if (rc == 0)
        etx__etcd_sizes_take(reader->log, reader->number, slot.slot, slot.batch.len);
    return rc;
}

/* As many slots in the next page as make up its bytes, if they are as large as those of this. */
static void set_limit(page_reader *reader, size_t count) {
    size_t each = reader->session->answer.len / (count ? count : 1) + 1;
    size_t limit = ETX__ETCD_PAGE_BYTES / each + 1;
    reader->limit = limit < PAGE_SLOTS_MAX ? (uint32_t)limit : PAGE_SLOTS_MAX;
}

/* *ret_more: there may be another page. */
static int take_page(page_reader *reader, etx_bytes answer, int first, int *ret_more) {
    etx_bytes page = first ? etx__etcd_found(answer, 1) : answer;
    etx__etcd_field one;
    size_t count = 0;
    int rc = first ? take_mark(reader, answer) : 0;
    while (rc == 0 && etx__etcd_next(&page, &one)) {
        if (one.field == RANGE_KVS) {
            rc = take_one(reader, one.bytes);
            count++;
        }
    }
    *ret_more = count == reader->limit;
    set_limit(reader, count);
    return rc;
}

static int read_pages(page_reader *reader) {
    int more = 1;
    int rc = 0;
    while (rc == 0 && more) {
        etx_bytes answer;
        int first = reader->revision == 0;
        rc = first ? ask_first(reader, &answer) : ask_next(reader, &answer);
        if (rc == ETX_ECONFLICT && !first) {
            reader->revision = 0; /* compacted */
            rc = 0;
            continue;
        }
        rc = rc ? say(reader, rc, reader->session->text) : take_page(reader, answer, first, &more);
    }
    return rc;
}

int etx__etcd_get(etx_log *head,
                  uint32_t number,
                  uint64_t from,
                  etx_slot_fn visit,
                  void *user,
                  uint64_t *ret_mark,
                  char *message,
                  size_t message_size) {
    etx__etcd_log *log = (etx__etcd_log *)head;
    page_reader reader = {.slots = {visit, user, message, message_size},
                          .log = log,
                          .number = number,
                          .at = from,
                          .limit = PAGE_SLOTS};
    if (number >= log->partition_count)
        return say(&reader, ETX_EINVALID, "there is no such partition");
    reader.session = &log->partition[number].session;
    int rc = read_pages(&reader);
    if (rc == 0 && ret_mark)
        *ret_mark = reader.mark;
    return rc;
}

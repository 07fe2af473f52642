/* Trims a MariaDB log: the mark, then the rows, some at a time, so that no statement takes long.
 *
 * InnoDB's purge gives the room back to the table soon after, and the next slots use it: nothing is
 * to be said to it. What it cannot do, since another session has a transaction open for long, it
 * does later. */
#include "mariadb.h"

#include <inttypes.h>

enum { ROWS = 250 };

typedef struct span {
    uint64_t first; /* the oldest slot */
    uint64_t newest;
    int any;
} span;

static int find_span(etx__maria_session *session, uint32_t number, span *ret_span) {
    MYSQL_RES *result = NULL;
    if (etx__maria_ask(session, &result, "SELECT min(slot), max(slot) FROM #slot WHERE part = %u",
                       number) != ETX__MARIA_DONE)
        return session->rc;
    MYSQL_ROW row = mysql_fetch_row(result);
    *ret_span = (span){.any = row && row[0]};
    if (ret_span->any) {
        ret_span->first = etx__maria_number(row[0]);
        ret_span->newest = etx__maria_number(row[1]);
    }
    mysql_free_result(result);
    return 0;
}

/* The mark as it stands. */
static int read_mark(etx__maria_session *session, uint32_t number, uint64_t *ret_mark) {
    MYSQL_RES *result = NULL;
    if (etx__maria_ask(session, &result, "SELECT below FROM #partition WHERE part = %u", number) !=
        ETX__MARIA_DONE)
        return session->rc;
    MYSQL_ROW row = mysql_fetch_row(result);
    *ret_mark = row ? etx__maria_number(row[0]) : 0;
    mysql_free_result(result);
    return 0;
}

static int delete_some(etx__maria_log *log, uint32_t number, uint64_t from, uint64_t below) {
    etx__maria_partition *partition = &log->partition[number];
    MYSQL_RES *result = NULL;
    MYSQL_ROW row;
    uint64_t bytes = 0;
    if (etx__maria_ask(&partition->session, &result,
                       "DELETE FROM #slot WHERE part = %u AND slot >= %" PRIu64
                       " AND slot < %" PRIu64 " RETURNING size",
                       number, from, below) != ETX__MARIA_DONE)
        return partition->session.rc;
    while ((row = mysql_fetch_row(result)) != NULL)
        bytes += etx__maria_number(row[0]) + ETX__STORE_SLOT_COST;
    mysql_free_result(result);
    uint64_t had = atomic_load(&partition->bytes);
    atomic_store(&partition->bytes, had > bytes ? had - bytes : 0);
    return 0;
}

int etx__maria_trim(etx_log *head, uint32_t number, uint64_t below) {
    etx__maria_log *log = (etx__maria_log *)head;
    span there = {.any = 0};
    uint64_t mark = 0;
    if (log->store.common.read_only || number >= log->partition_count)
        return ETX_EINVALID;
    etx__maria_session *session = &log->partition[number].session;
    int rc = find_span(session, number, &there);
    if (rc || !there.any)
        return rc;
    /* never above the newest slot; there may be a newer one by now, and never an older */
    below = below < there.newest ? below : there.newest;
    rc = etx__maria_run(
        session, "UPDATE #partition SET below = %" PRIu64 " WHERE part = %u AND below < %" PRIu64,
        below, number, below);
    rc = rc ? rc : read_mark(session, number, &mark);
    for (uint64_t from = there.first; !rc && from < mark; from += ROWS)
        rc = delete_some(log, number, from, mark - from < ROWS ? mark : from + ROWS);
    return rc;
}

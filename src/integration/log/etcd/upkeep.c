/* How full the store is, and what may be done about it.
 *
 * etcd keeps what was deleted and overwritten until its history is compacted, and its database must
 * not grow beyond a quota: at that it takes no more writes, of anybody, until it is compacted,
 * defragmented and told so. So the log says that it is full before that. Compacting takes history
 * away from all who use the cluster; only who gives the option compact= has the log do it. */
#include "etcd.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EVERY_MS = 1000, FULL_MS = 300, RESERVE_PART = 16, RESERVE_LEAST = 4 << 20, ASK_MAX = 10 };

/* The quota stands only among etcd's metrics; who does not show them is not asked for ever. Where
 * there was no memory for them, a later look asks as if this one had not. */
static void read_quota(etx__etcd_log *log) {
    static const char name[] = "\netcd_server_quota_backend_bytes ";
    etx__etcd_session *care = &log->care;
    int64_t time;
    if (log->quota_asked == ASK_MAX)
        return;
    int rc = etx__etcd_page(care, "/metrics", &time);
    if (!rc)
        etx__etcd_text_add(&care->answer, "", 1);
    if (rc == ETX_ENOMEM || (!rc && care->answer.failed))
        return;
    log->quota_asked = (uint8_t)(rc ? log->quota_asked + 1 : ASK_MAX);
    if (rc)
        return;
    const char *at = strstr(care->answer.bytes, name);
    double quota = at ? strtod(at + sizeof name - 1, NULL) : 0;
    if (isfinite(quota) && quota >= 1 && quota < 1e15)
        log->quota_bytes = (uint64_t)quota;
}

static int read_status(etx__etcd_log *log, uint64_t *ret_revision) {
    etx_bytes answer;
    etx__etcd_begin(&log->care);
    int rc = etx__etcd_run(&log->care, "Maintenance/Status", &answer);
    if (!rc) {
        log->db_bytes = etx__etcd_number_of(answer, STATUS_BYTES);
        *ret_revision = etx__etcd_number_of(etx__etcd_part_of(answer, HEADER, 0), HEADER_REVISION);
    }
    return rc;
}

static int is_full(const etx__etcd_log *log) {
    uint64_t reserve = log->quota_bytes / RESERVE_PART;
    reserve = reserve > RESERVE_LEAST ? reserve : RESERVE_LEAST;
    return log->quota_bytes && log->db_bytes + reserve > log->quota_bytes;
}

/* To the revision that was the newest so long ago. That another was faster is no failure. */
static void compact(etx__etcd_log *log, uint64_t revision) {
    uint64_t now = etx__etcd_now_ms();
    etx_bytes answer;
    if (!log->store.compact_s || log->store.common.read_only)
        return;
    if (log->compact_revision && now - log->compact_ms < log->store.compact_s * 1000ull)
        return;
    if (log->compact_revision) {
        etx__etcd_number(etx__etcd_begin(&log->care), COMPACT_REVISION, log->compact_revision);
        (void)etx__etcd_run(&log->care, "KV/Compact", &answer);
    }
    log->compact_revision = revision;
    log->compact_ms = now;
}

int etx__etcd_upkeep(etx__etcd_log *log) {
    uint64_t revision = 0;
    log->upkeep_ms = etx__etcd_now_ms();
    int rc = read_status(log, &revision);
    if (rc)
        return rc;
    read_quota(log);
    atomic_store(&log->full, is_full(log));
    compact(log, revision);
    return 0;
}

void etx__etcd_upkeep_now_and_then(etx__etcd_log *log) {
    uint64_t pause_ms = atomic_load(&log->full) ? FULL_MS : EVERY_MS;
    if (etx__etcd_now_ms() - log->upkeep_ms >= pause_ms)
        (void)etx__etcd_upkeep(log);
}

/* What an acknowledged put survives on this PostgreSQL, as it is set up now. */
#include "postgres.h"

#include <stdio.h>
#include <string.h>

typedef struct settings {
    char fsync;
    char full_page_writes;
    char data_sync_retry;
    char logged;
    const char *standby_names;
    int64_t standbys;
    int64_t synchronous; /* of them, as far as this user may see */
} settings;

static const char read_settings[] =
    "SELECT current_setting('fsync') = 'on', current_setting('full_page_writes') = 'on',"
    " current_setting('data_sync_retry') = 'on',"
    " (SELECT bool_and(relpersistence = 'p') FROM pg_class WHERE oid IN"
    "  ('etx_log_slot'::regclass, 'etx_log_partition'::regclass)),"
    " current_setting('synchronous_standby_names'),"
    " (SELECT count(*) FROM pg_stat_replication),"
    " (SELECT count(*) FROM pg_stat_replication"
    "  WHERE sync_state IS NULL OR sync_state IN ('sync', 'quorum'))";

/* What makes a crash of the server lose or damage what it acknowledged; NULL: nothing. */
static const char *weakness_of(const settings *s) {
    if (s->fsync != 't')
        return "fsync is off: a crash of its machine loses what was acknowledged. Set fsync = on";
    if (s->full_page_writes != 't')
        return "full_page_writes is off: a crash of its machine can damage the log's tables. Set "
               "full_page_writes = on";
    if (s->data_sync_retry == 't')
        return "data_sync_retry is on: after a failed write to its disk it goes on as if nothing "
               "was lost. Set data_sync_retry = off";
    if (s->logged != 't')
        return "the log's tables are UNLOGGED: a crash empties them. ALTER TABLE ... SET LOGGED";
    return NULL;
}

static void judge(etx__pg_log *log, const settings *s) {
    const char *weakness = weakness_of(s);
    log->remark[0] = 0;
    if (weakness) {
        log->grade = ETX_VOLATILE;
        snprintf(log->remark, sizeof log->remark, "%s", weakness);
    } else if (s->standby_names[0]) {
        log->grade = ETX_REPLICATED;
        if (s->synchronous == 0)
            snprintf(log->remark, sizeof log->remark,
                     "no synchronous standby is connected: puts wait until one of "
                     "synchronous_standby_names is");
    } else {
        log->grade = ETX_LOCAL;
        if (s->standbys > 0)
            snprintf(log->remark, sizeof log->remark,
                     "its %lld standbys are asynchronous: a failover loses what they have not "
                     "received. Name them in synchronous_standby_names",
                     (long long)s->standbys);
        else
            snprintf(log->remark, sizeof log->remark,
                     "it has no synchronous standby: what was acknowledged is lost with its disk. "
                     "Set one up, and synchronous_standby_names");
    }
}

int etx__pg_grade(etx__pg_log *log) {
    PGresult *result = NULL;
    if (etx__pg_exec(&log->care, read_settings, NULL, &result) != ETX__PG_DONE)
        return log->care.rc;
    const settings s = {.fsync = PQgetvalue(result, 0, 0)[0],
                        .full_page_writes = PQgetvalue(result, 0, 1)[0],
                        .data_sync_retry = PQgetvalue(result, 0, 2)[0],
                        .logged = PQgetvalue(result, 0, 3)[0],
                        .standby_names = PQgetvalue(result, 0, 4),
                        .standbys = etx__pg_number_at(result, 0, 5),
                        .synchronous = etx__pg_number_at(result, 0, 6)};
    judge(log, &s);
    PQclear(result);
    return 0;
}

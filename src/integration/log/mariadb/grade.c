/* What an acknowledged put survives on this MariaDB, as it is set up now. */
#include "mariadb.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

typedef struct settings {
    char flush_log[8]; /* innodb_flush_log_at_trx_commit */
    char doublewrite[8];
    char flush_method[32];
    char log_bin[8];
    char sync_binlog[16];
    char semi_sync[8]; /* rpl_semi_sync_master_..., as the next */
    char semi_sync_timeout[24];
    char semi_sync_point[16];
    char semi_sync_alone[8];
    char semi_sync_clients[16];
    char galera[8];
    char galera_provider[8192]; /* its options */
    char galera_size[16];
    char galera_status[32];
    uint64_t tables; /* of the log's, those that are there; as the next */
    uint64_t innodb; /* those that InnoDB has */
} settings;

typedef struct setting {
    const char *name;
    size_t offset;
    size_t size;
} setting;

#define SETTING(name, member) \
    { name, offsetof(settings, member), sizeof(((settings *)0)->member) }

/* A server that does not know one leaves it out. */
static const setting known[] = {
    SETTING("innodb_flush_log_at_trx_commit", flush_log),
    SETTING("innodb_doublewrite", doublewrite),
    SETTING("innodb_flush_method", flush_method),
    SETTING("log_bin", log_bin),
    SETTING("sync_binlog", sync_binlog),
    SETTING("rpl_semi_sync_master_enabled", semi_sync),
    SETTING("rpl_semi_sync_master_timeout", semi_sync_timeout),
    SETTING("rpl_semi_sync_master_wait_point", semi_sync_point),
    SETTING("rpl_semi_sync_master_wait_no_slave", semi_sync_alone),
    SETTING("rpl_semi_sync_master_clients", semi_sync_clients),
    SETTING("wsrep_on", galera),
    SETTING("wsrep_provider_options", galera_provider),
    SETTING("wsrep_cluster_size", galera_size),
    SETTING("wsrep_cluster_status", galera_status),
};

static const char read_variables[] =
    "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('innodb_flush_log_at_trx_commit',"
    " 'innodb_doublewrite', 'innodb_flush_method', 'log_bin', 'sync_binlog', 'wsrep_on',"
    " 'wsrep_provider_options') OR Variable_name LIKE 'rpl_semi_sync_master_%'";
static const char read_status[] =
    "SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_cluster_size', 'wsrep_cluster_status',"
    " 'Rpl_semi_sync_master_clients')";
static const char count_tables[] =
    "SELECT count(*), coalesce(sum(engine = 'InnoDB'), 0) FROM information_schema.tables WHERE "
    "table_schema = database()"
    " AND table_name IN ('#slot', '#partition')";

static int is_on(const char *value) {
    return strcasecmp(value, "ON") == 0 || strcmp(value, "1") == 0;
}

static int is_off(const char *value) {
    return strcasecmp(value, "OFF") == 0 || strcmp(value, "0") == 0;
}

/* What makes a crash of the server lose or damage what it acknowledged; NULL: nothing. */
static const char *weakness_of(const settings *s) {
    if (s->tables < 2)
        return "a table of the log is gone, or this user may not see it any more: was it dropped? "
               "Restore a backup";
    if (s->innodb < 2)
        return "a table of the log is not InnoDB's: a crash can lose or tear what was "
               "acknowledged. ALTER TABLE ... ENGINE=InnoDB";
    if (strcmp(s->flush_log, "1") != 0 && strcmp(s->flush_log, "3") != 0)
        return "innodb_flush_log_at_trx_commit is not 1: a crash loses what was acknowledged in "
               "the last second. Set innodb_flush_log_at_trx_commit = 1";
    if (is_on(s->log_bin) && strcmp(s->sync_binlog, "1") != 0)
        return "sync_binlog is not 1: a crash of its machine rolls back what the binary log has "
               "lost. Set sync_binlog = 1";
    if (is_off(s->doublewrite))
        return "innodb_doublewrite is off: a crash of its machine can damage the log's tables. Set "
               "innodb_doublewrite = 1";
    if (strcasecmp(s->flush_method, "nosync") == 0 ||
        strcasecmp(s->flush_method, "littlesync") == 0)
        return "innodb_flush_method does not sync: a crash of its machine loses what was "
               "acknowledged. Set innodb_flush_method = O_DIRECT";
    return NULL;
}

/* Each node of a Galera cluster has received a transaction before its commit is acknowledged, and
 * a part that has lost others without their leave stops when it is no majority. */
static const char *galera_weakness_of(const settings *s) {
    if (strcasecmp(s->galera_status, "Primary") != 0)
        return "the node is cut off from its Galera cluster: puts are refused";
    if (etx__maria_number(s->galera_size) < 2)
        return "its Galera cluster has no other node: what was acknowledged is lost with its disk. "
               "Start the others";
    if (strstr(s->galera_provider, "pc.ignore_quorum = true") ||
        strstr(s->galera_provider, "pc.ignore_sb = true"))
        return "Galera goes on without a majority: a part that is cut off acknowledges what the "
               "others never see. Set pc.ignore_quorum and pc.ignore_sb to false";
    return NULL;
}

/* A commit waits for a semi-synchronous replica for so long only, and then goes on without it and
 * says nothing; with wait_point AFTER_COMMIT others see it, and may act on it, before the replica
 * has it. A time of eleven days is taken for no limit. */
static const char *replica_weakness_of(const settings *s) {
    enum { ENDLESS_MS = 1000000000 };
    if (!is_on(s->semi_sync))
        return "it has no copy that is waited for: what was acknowledged is lost with its disk, "
               "and a failover loses what the replica lacks. Set rpl_semi_sync_master_enabled, or "
               "use a Galera cluster";
    if (etx__maria_number(s->semi_sync_timeout) < ENDLESS_MS)
        return "its semi-synchronous replicas are no promise: the server stops waiting for them "
               "without saying so. Set rpl_semi_sync_master_timeout = 4294967295";
    if (strcasecmp(s->semi_sync_point, "AFTER_SYNC") != 0)
        return "its replicas are waited for after the commit, which others may have seen by then. "
               "Set rpl_semi_sync_master_wait_point = AFTER_SYNC";
    if (!is_on(s->semi_sync_alone))
        return "it does not wait where no replica is connected. Set "
               "rpl_semi_sync_master_wait_no_slave = 1";
    return NULL;
}

static void judge(etx__maria_log *log, const settings *s) {
    const char *why = weakness_of(s);
    log->grade = ETX_VOLATILE;
    if (!why) {
        why = is_on(s->galera) ? galera_weakness_of(s) : replica_weakness_of(s);
        log->grade = why ? ETX_LOCAL : ETX_REPLICATED;
    }
    if (!why && !is_on(s->galera) && etx__maria_number(s->semi_sync_clients) == 0)
        why = "no semi-synchronous replica is connected: puts wait until one is";
    snprintf(log->remark, sizeof log->remark, "%s", why ? why : "");
}

static int read_settings(etx__maria_session *session, const char *sql, settings *to) {
    MYSQL_RES *result = NULL;
    MYSQL_ROW row;
    if (etx__maria_ask(session, &result, "%s", sql) != ETX__MARIA_DONE)
        return session->rc;
    while ((row = mysql_fetch_row(result)) != NULL)
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
            if (strcasecmp(row[0], known[i].name) == 0)
                snprintf((char *)to + known[i].offset, known[i].size, "%s", row[1]);
    mysql_free_result(result);
    return 0;
}

int etx__maria_grade(etx__maria_log *log) {
    settings s = {.tables = 0};
    MYSQL_RES *result = NULL;
    int rc = read_settings(&log->care, read_variables, &s);
    rc = rc ? rc : read_settings(&log->care, read_status, &s);
    if (!rc && etx__maria_ask(&log->care, &result, count_tables) != ETX__MARIA_DONE)
        rc = log->care.rc;
    if (rc)
        return rc;
    MYSQL_ROW row = mysql_fetch_row(result);
    s.tables = etx__maria_number(row[0]);
    s.innodb = etx__maria_number(row[1]);
    mysql_free_result(result);
    judge(log, &s);
    return 0;
}

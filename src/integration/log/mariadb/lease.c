/* Nodes and their leases on partitions, by MariaDB's clock: who should write, never who may. */
#include "mariadb.h"

#include <inttypes.h>
#include <stdio.h>

/* Assigned in order: the process asks until when the one that was is there, and the time who it is
 * by then. A row that is left as it was counts as none. */
static const char attend[] =
    "INSERT INTO #node(name, address, process, until)"
    " VALUES(%s, %s, %s, UTC_TIMESTAMP(6) + INTERVAL %u000 MICROSECOND)"
    " ON DUPLICATE KEY UPDATE"
    " process = IF(%d = 0 OR until < UTC_TIMESTAMP(6), VALUES(process), process),"
    " address = IF(process = VALUES(process), VALUES(address), address),"
    " until = IF(process = VALUES(process), VALUES(until), until)";
/* What is told of nodes that are gone stays. */
static const char leave[] =
    "DELETE FROM #node WHERE name = %s AND process = %s AND LOCATE(' ', address) = 0";
static const char leave_word[] =
    "UPDATE #node SET until = UTC_TIMESTAMP(6)"
    " WHERE name = %s AND process = %s AND until > UTC_TIMESTAMP(6)";
/* Each partition has its row, of nobody at first. 1: it was ours and has not run out; 2: it is now.
 * The first assignment asks for what was. */
static const char renew[] =
    "UPDATE #lease SET node = IF(LAST_INSERT_ID(IF(node = %s AND until >= UTC_TIMESTAMP(6), 1, 2)),"
    " %s, node), until = UTC_TIMESTAMP(6) + INTERVAL %u000 MICROSECOND"
    " WHERE part = %u AND (node = %s OR until < UTC_TIMESTAMP(6))";
static const char release[] =
    "UPDATE #lease SET node = '', until = '2000-01-01' WHERE part = %u AND node = %s";
/* One moment for all rows; names are bytes, and so is their order. */
static const char survey_all[] =
    "SELECT 0, name, address, 0,"
    " CEILING(TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), until) / 1000)"
    " FROM #node WHERE until > UTC_TIMESTAMP(6)"
    " UNION ALL SELECT 1, node, '', part,"
    " CEILING(TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), until) / 1000)"
    " FROM #lease WHERE until > UTC_TIMESTAMP(6)"
    " UNION ALL SELECT 2, name, address, 0, 0 FROM #node WHERE until <= UTC_TIMESTAMP(6)"
    " AND until > UTC_TIMESTAMP(6) - INTERVAL 30 DAY AND LOCATE(' ', address) > 0"
    " ORDER BY 1, 4, 2";
static const char read_clock[] = "SELECT FLOOR(UNIX_TIMESTAMP(NOW(6)) * 1000)";

static int tell(const etx__maria_log *log, int rc, char *message, size_t message_size) {
    return rc ? etx__store_say(message, message_size, rc, "%s", log->care.text) : 0;
}

static int attend_as(etx__maria_log *log, const char *address, uint32_t ttl_ms) {
    etx__maria_literal name;
    etx__maria_literal process;
    etx__maria_literal at;
    etx__maria_quote(&name, log->store.common.node);
    etx__maria_quote(&process, log->store.common.process);
    if (ttl_ms == 0) {
        int gone = etx__maria_run(&log->care, leave, name.text, process.text);
        return gone ? gone : etx__maria_run(&log->care, leave_word, name.text, process.text);
    }
    int rc = etx__maria_run(&log->care, attend, name.text, etx__maria_quote(&at, address),
                            process.text, ttl_ms, log->attended);
    if (!rc && log->care.changed == 0) {
        rc = ETX_ECONFLICT;
        etx__maria_say(&log->care, rc, "another process has said that it is node %s",
                       log->store.common.node);
    }
    log->attended |= rc == 0;
    return rc;
}

int etx__maria_attend(etx_log *head,
                      const char *address,
                      uint32_t ttl_ms,
                      char *message,
                      size_t message_size) {
    etx__maria_log *log = (etx__maria_log *)head;
    if (log->store.common.read_only)
        return ETX_EINVALID;
    pthread_mutex_lock(&log->care_lock);
    int rc = tell(log, attend_as(log, address, ttl_ms), message, message_size);
    pthread_mutex_unlock(&log->care_lock);
    return rc;
}

int etx__maria_renew(etx_log *head, uint32_t number, uint32_t ttl_ms) {
    etx__maria_log *log = (etx__maria_log *)head;
    etx__maria_literal name;
    if (log->store.common.read_only || number >= log->partition_count)
        return ETX_EINVALID;
    etx__maria_quote(&name, log->store.common.node);
    pthread_mutex_lock(&log->care_lock);
    int rc = etx__maria_run(&log->care, renew, name.text, name.text, ttl_ms, number, name.text);
    if (!rc)
        rc = log->care.changed ? log->care.chosen == 2 : ETX_EBUSY;
    pthread_mutex_unlock(&log->care_lock);
    return rc;
}

int etx__maria_release(etx_log *head, uint32_t number) {
    etx__maria_log *log = (etx__maria_log *)head;
    etx__maria_literal name;
    if (log->store.common.read_only || number >= log->partition_count)
        return ETX_EINVALID;
    pthread_mutex_lock(&log->care_lock);
    int rc = etx__maria_run(&log->care, release, number,
                            etx__maria_quote(&name, log->store.common.node));
    pthread_mutex_unlock(&log->care_lock);
    return rc;
}

static void tell_row(MYSQL_ROW row, const etx_log_survey *survey) {
    uint64_t left_ms = etx__maria_number(row[4]);
    etx_log_node node = {sizeof node, row[1], row[2], left_ms};
    if (row[0][0] == '0') {
        survey->on_node(&node, survey->user);
    } else if (row[0][0] == '2') {
        etx__store_tell_gone(survey, &node);
    } else {
        etx_log_lease lease = {sizeof lease, (uint32_t)etx__maria_number(row[3]), row[1], left_ms};
        survey->on_lease(&lease, survey->user);
    }
}

int etx__maria_survey(etx_log *head,
                      const etx_log_survey *survey,
                      char *message,
                      size_t message_size) {
    etx__maria_log *log = (etx__maria_log *)head;
    MYSQL_RES *result = NULL;
    MYSQL_ROW row;
    pthread_mutex_lock(&log->care_lock);
    etx__maria_outcome outcome = etx__maria_ask(&log->care, &result, survey_all);
    int rc = outcome == ETX__MARIA_DONE ? 0 : tell(log, log->care.rc, message, message_size);
    while (result && (row = mysql_fetch_row(result)) != NULL)
        tell_row(row, survey);
    mysql_free_result(result);
    pthread_mutex_unlock(&log->care_lock);
    return rc;
}

int etx__maria_clock(etx_log *head, uint64_t *ret_ms) {
    etx__maria_log *log = (etx__maria_log *)head;
    MYSQL_RES *result = NULL;
    pthread_mutex_lock(&log->care_lock);
    int rc = etx__maria_ask(&log->care, &result, read_clock) == ETX__MARIA_DONE ? 0 : log->care.rc;
    if (!rc)
        *ret_ms = etx__maria_number(mysql_fetch_row(result)[0]);
    mysql_free_result(result);
    pthread_mutex_unlock(&log->care_lock);
    return rc;
}

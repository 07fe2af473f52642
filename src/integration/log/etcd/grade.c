/* What an acknowledged put survives on this cluster, as it is set up now.
 *
 * etcd acknowledges what a majority of its members has on disk. That a member was started with
 * --unsafe-no-fsync cannot be seen over its API, nor whether two run on one machine. */
#include "etcd.h"

#include <stdio.h>
#include <string.h>

static int count_voters(etx__etcd_log *log, uint32_t *ret_voters) {
    json_t *answer = NULL;
    size_t i;
    json_t *member;
    etx__etcd_text_add(etx__etcd_begin(&log->care), "{}");
    int rc = etx__etcd_run(&log->care, "/v3/cluster/member/list", &answer);
    *ret_voters = 0;
    json_array_foreach(json_object_get(answer, "members"), i, member) *ret_voters +=
        !json_is_true(json_object_get(member, "isLearner"));
    json_decref(answer);
    return rc;
}

/* The alarms that are raised: "NOSPACE", "CORRUPT"; "": none. */
static int read_alarm(etx__etcd_log *log, char *ret_alarm, size_t size) {
    json_t *answer = NULL;
    etx__etcd_text_add(etx__etcd_begin(&log->care), "{\"action\":\"GET\"}");
    int rc = etx__etcd_run(&log->care, "/v3/maintenance/alarm", &answer);
    const json_t *alarm = json_array_get(json_object_get(answer, "alarms"), 0);
    const char *name = json_string_value(json_object_get(alarm, "alarm"));
    snprintf(ret_alarm, size, "%s", name ? name : "");
    json_decref(answer);
    return rc;
}

static void judge(etx__etcd_log *log, uint32_t voters, const char *alarm) {
    unsigned long long mib = log->db_bytes >> 20;
    unsigned long long quota_mib = log->quota_bytes >> 20;
    log->grade = voters > 1 ? ETX_REPLICATED : ETX_LOCAL;
    log->remark[0] = 0;
    if (alarm[0])
        snprintf(log->remark, sizeof log->remark,
                 "etcd has raised the alarm %.20s: see etcdctl alarm list", alarm);
    else if (log->quota_bytes && log->db_bytes > log->quota_bytes / 2)
        snprintf(log->remark, sizeof log->remark,
                 "etcd's database has %llu MiB, and takes no more writes at %llu MiB: set "
                 "--auto-compaction-retention or compact=, and etcdctl defrag",
                 mib, quota_mib);
    else if (voters == 1)
        snprintf(log->remark, sizeof log->remark,
                 "the cluster has one member: what was acknowledged is lost with its disk. Three "
                 "survive the loss of one");
    else if (voters == 2)
        snprintf(log->remark, sizeof log->remark,
                 "the cluster has two members: it stops when one is away. Add a third");
}

int etx__etcd_grade(etx__etcd_log *log) {
    uint32_t voters = 0;
    char alarm[24] = "";
    int rc = etx__etcd_upkeep(log);
    rc = rc ? rc : count_voters(log, &voters);
    rc = rc ? rc : read_alarm(log, alarm, sizeof alarm);
    if (!rc)
        judge(log, voters, alarm);
    return rc;
}

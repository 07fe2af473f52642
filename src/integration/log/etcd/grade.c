/* What an acknowledged put survives on this cluster, as it is set up now.
 *
 * etcd acknowledges what a majority of its members has on disk. That a member was started with
 * --unsafe-no-fsync cannot be seen over its API, nor whether two run on one machine. */
#include "etcd.h"

#include <stdio.h>

static int count_voters(etx__etcd_log *log, uint32_t *ret_voters) {
    etx__etcd_field one;
    etx_bytes answer;
    etx__etcd_begin(&log->care);
    int rc = etx__etcd_run(&log->care, "Cluster/MemberList", &answer);
    *ret_voters = 0;
    while (etx__etcd_next(&answer, &one))
        *ret_voters += one.field == MEMBERS && !etx__etcd_number_of(one.bytes, MEMBER_LEARNER);
    return rc;
}

/* The first alarm that is raised; NULL: none. */
static int read_alarm(etx__etcd_log *log, const char **ret_alarm) {
    etx_bytes answer;
    etx__etcd_begin(&log->care); /* all of it 0: what alarms are there? */
    int rc = etx__etcd_run(&log->care, "Maintenance/Alarm", &answer);
    uint64_t what = etx__etcd_number_of(etx__etcd_part_of(answer, ALARMS, 0), ALARM_WHAT);
    *ret_alarm = what == 0               ? NULL
                 : what == ALARM_NOSPACE ? "NOSPACE"
                 : what == ALARM_CORRUPT ? "CORRUPT"
                                         : "that this ETX does not know";
    return rc;
}

static void judge(etx__etcd_log *log, uint32_t voters, const char *alarm) {
    unsigned long long mib = log->db_bytes >> 20;
    unsigned long long quota_mib = log->quota_bytes >> 20;
    log->grade = voters > 1 ? ETX_REPLICATED : ETX_LOCAL;
    log->remark[0] = 0;
    if (alarm)
        snprintf(log->remark, sizeof log->remark,
                 "etcd has raised the alarm %s: see etcdctl alarm list", alarm);
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
    const char *alarm = NULL;
    int rc = etx__etcd_upkeep(log);
    rc = rc ? rc : count_voters(log, &voters);
    rc = rc ? rc : read_alarm(log, &alarm);
    if (!rc)
        judge(log, voters, alarm);
    return rc;
}

/* What an acknowledged put survives on this Redis, as it is set up now, and whether its memory has
 * room. */
#include "redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SERVER_MIN = 7, FULL_PERCENT = 90 };

typedef struct settings {
    int told; /* INFO may be asked; else nothing of it is known */
    uint64_t version;
    int cluster;
    int aof;
    int aof_begins;       /* the first is being made: nothing of it counts yet */
    char fsync[16];       /* appendfsync; "": not known */
    char on_rewrite[8];   /* no-appendfsync-on-rewrite */
    char policy[32];      /* maxmemory-policy */
    uint64_t memory_most; /* maxmemory; 0: as much as there is */
    uint64_t memory_used;
    uint64_t replicas;
} settings;

/* INFO says "name:value" in lines. */
static void info_text(const char *info, const char *name, char *to, size_t size) {
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\n%s:", name);
    const char *at = strstr(info, wanted);
    at = at ? at + strlen(wanted) : "";
    snprintf(to, size, "%.*s", (int)strcspn(at, "\r\n"), at);
}

static uint64_t info_number(const char *info, const char *name) {
    char digits[24];
    info_text(info, name, digits, sizeof digits);
    return strtoull(digits, NULL, 10);
}

/* A reply, or NULL if this user may not ask; 0, or why it was not got. */
static int ask(etx__redis_log *log, const etx__redis_command *command, redisReply **ret_reply) {
    if (etx__redis_exec(&log->care, command, ret_reply) == ETX__REDIS_DONE)
        return 0;
    return strcmp(log->care.code, "NOPERM") == 0 ? 0 : log->care.rc;
}

static void take_memory(etx__redis_log *log, const char *info, settings *s) {
    s->memory_most = info_number(info, "maxmemory");
    s->memory_used = info_number(info, "used_memory");
    int64_t most = (int64_t)(s->memory_most / 100 * FULL_PERCENT);
    log->weighed_ms = etx__redis_now_ms();
    atomic_store(&log->room, most ? most - (int64_t)s->memory_used : INT64_MAX);
}

/* Which data this is: another id since a restart, or since this server became the primary. It stays
 * what it was when the log was opened, since others may be looking at it. */
static void take_identity(etx__redis_log *log, const char *info) {
    char id[48];
    info_text(info, "master_replid", id, sizeof id);
    if (!log->identity[0] && id[0])
        snprintf(log->identity, sizeof log->identity, "Redis replication id %s", id);
}

static int read_info(etx__redis_log *log, settings *s) {
    etx__redis_command command = {.count = 0};
    redisReply *reply = NULL;
    etx__redis_word(&command, "INFO");
    int rc = ask(log, &command, &reply);
    s->told = reply && reply->type == REDIS_REPLY_STRING;
    if (!rc) {
        const char *info = s->told ? reply->str : "";
        s->version = info_number(info, "redis_version");
        s->cluster = info_number(info, "cluster_enabled") == 1;
        s->aof = info_number(info, "aof_enabled") == 1;
        s->aof_begins = info_number(info, "aof_rewrite_in_progress") == 1 &&
                        info_number(info, "aof_base_size") == 0;
        info_text(info, "maxmemory_policy", s->policy, sizeof s->policy);
        s->replicas = info_number(info, "connected_slaves");
        take_identity(log, info);
        take_memory(log, info, s);
    }
    freeReplyObject(reply);
    return rc;
}

static int read_config(etx__redis_log *log, const char *name, char *to, size_t size) {
    etx__redis_command command = {.count = 0};
    redisReply *reply = NULL;
    etx__redis_word(&command, "CONFIG");
    etx__redis_word(&command, "GET");
    etx__redis_word(&command, name);
    int rc = ask(log, &command, &reply);
    etx_bytes value = etx__redis_text_at(reply, 1);
    snprintf(to, size, "%.*s", (int)value.len, value.data ? (const char *)value.data : "");
    freeReplyObject(reply);
    return rc;
}

/* What makes a crash of the server lose what it acknowledged; NULL: nothing. */
static const char *weakness_of(const settings *s) {
    if (!s->told || !s->fsync[0])
        return "this user may not ask how Redis keeps its data (ACL SETUSER ... +info "
               "+config|get), "
               "so nothing is promised";
    if (!s->aof)
        return "appendonly is off: a crash of Redis loses what was acknowledged. Set appendonly "
               "yes "
               "and appendfsync always";
    if (strcmp(s->fsync, "always") != 0)
        return "a crash of its machine loses what was acknowledged in the last second or more. Set "
               "appendfsync always";
    if (strcmp(s->on_rewrite, "no") != 0)
        return "no-appendfsync-on-rewrite is on: a crash during a rewrite loses what was "
               "acknowledged. Set it to no";
    if (s->aof_begins)
        return "its first append-only file is still being written: a crash now loses what was "
               "acknowledged";
    if (s->memory_most > 0 && strncmp(s->policy, "allkeys", 7) == 0)
        return "it deletes any key when its memory is full, so also the log. Set maxmemory-policy "
               "noeviction";
    return NULL;
}

static void judge(etx__redis_log *log, const settings *s) {
    const char *weakness = weakness_of(s);
    log->grade = weakness ? ETX_VOLATILE : ETX_LOCAL;
    if (weakness)
        snprintf(log->remark, sizeof log->remark, "%s", weakness);
    else if (atomic_load(&log->room) <= 0)
        snprintf(log->remark, sizeof log->remark,
                 "its memory is full: %llu of %llu MB. Raise maxmemory, or delete something",
                 (unsigned long long)(s->memory_used >> 20),
                 (unsigned long long)(s->memory_most >> 20));
    else if (s->replicas > 0)
        snprintf(log->remark, sizeof log->remark,
                 "its %llu replicas are asynchronous: a failover loses what they have not received",
                 (unsigned long long)s->replicas);
    else
        snprintf(log->remark, sizeof log->remark,
                 "Redis keeps it on one disk: what was acknowledged is lost with that");
}

static int refuse(etx__redis_log *log, const settings *s) {
    if (s->told && s->version < SERVER_MIN)
        return etx__redis_say(&log->care, ETX_EINVALID,
                              "Redis %llu is too old for a log: %d or newer",
                              (unsigned long long)s->version, SERVER_MIN);
    if (s->cluster)
        return etx__redis_say(&log->care, ETX_EINVALID,
                              "this Redis is a cluster, which cannot keep a log: name a server "
                              "without cluster-enabled");
    return 0;
}

int etx__redis_grade(etx__redis_log *log) {
    settings s = {.told = 0};
    int rc = read_info(log, &s);
    rc = rc ? rc : refuse(log, &s);
    rc = rc ? rc : read_config(log, "appendfsync", s.fsync, sizeof s.fsync);
    rc = rc ? rc : read_config(log, "no-appendfsync-on-rewrite", s.on_rewrite, sizeof s.on_rewrite);
    if (!rc)
        judge(log, &s);
    return rc;
}

void etx__redis_weigh(etx__redis_log *log) {
    etx__redis_command command = {.count = 0};
    redisReply *reply = NULL;
    settings s = {.told = 0};
    etx__redis_word(&command, "INFO");
    etx__redis_word(&command, "memory");
    int rc = ask(log, &command, &reply);
    if (!rc) /* who may not ask tries */
        take_memory(log, reply && reply->type == REDIS_REPLY_STRING ? reply->str : "", &s);
    freeReplyObject(reply);
}

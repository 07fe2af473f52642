/* What an error of Redis means: whether anything may have happened, and what to do. */
#include "redis.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int etx__redis_say(etx__redis_session *session, int rc, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(session->text, sizeof session->text, format, args);
    va_end(args);
    session->rc = rc;
    etx__store_redact(&session->store->common, session->text, sizeof session->text);
    return rc;
}

int etx__redis_gone(etx__redis_session *session, const char *key) {
    return etx__redis_say(
        session, ETX_ECORRUPT,
        "the key %s is not there, or another log's: Redis was emptied, evicted it "
        "or started without its data. Restore a backup",
        key);
}

typedef struct failure {
    const char *words; /* how the error begins; the first that fits holds */
    int rc;
    const char *advice;
} failure;

/* Each is said before the command does anything: scripts of ours that write say so in their first
 * line, and are refused as a whole. */
static const failure known[] = {
    {"READONLY", ETX_EUNAVAILABLE,
     "this is a replica: name the primary, or several hosts of which one is"},
    {"NOREPLICAS", ETX_EUNAVAILABLE, "min-replicas-to-write asks for more replicas than there are"},
    {"MASTERDOWN", ETX_EUNAVAILABLE, "this is a replica, and cut off: name the primary"},
    {"LOADING", ETX_EUNAVAILABLE, "it is starting, and reads its data"},
    {"BUSY ", ETX_EUNAVAILABLE, "another program's script holds it up: see SCRIPT KILL"},
    {"MISCONF", ETX_EUNAVAILABLE, "it cannot write to its disk: see its log"},
    {"OOM", ETX_EFULL, "its memory is full: raise maxmemory, or delete something"},
    {"NOSCRIPT", ETX_EUNAVAILABLE, "it has forgotten the script again and again"},
    {"NOAUTH", ETX_EINVALID, "it asks for a password: name a password_file="},
    {"WRONGPASS", ETX_EINVALID, "check user and password"},
    {"ERR AUTH", ETX_EINVALID, "check user and password"},
    {"NOPERM", ETX_EINVALID, "this user lacks a right: see ACL SETUSER in docs/redis-log.md"},
    {"WRONGTYPE", ETX_EINVALID, "the key is another program's: name another prefix="},
    {"MOVED", ETX_EINVALID, "this is a cluster, which cannot keep a log: name a server without"},
    {"CLUSTERDOWN", ETX_EINVALID, "this is a cluster, which cannot keep a log"},
    {"ERR DB index", ETX_EINVALID, "the URL's DBNUMBER is more than it has"},
    {"ERR SELECT", ETX_EINVALID, "the URL's DBNUMBER must be 0 here"},
    {"ERR max number of clients", ETX_EUNAVAILABLE, "see maxclients"},
    {"ERR unknown command", ETX_EINVALID, "a command of the log's has been taken away or renamed"},
    {"ERR Protocol error: invalid bulk length", ETX_EINVALID,
     "its proto-max-bulk-len is less than a batch has"},
};

static const failure *failure_of(const char *words) {
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strncmp(words, known[i].words, strlen(known[i].words)) == 0)
            return &known[i];
    return NULL;
}

etx__redis_outcome etx__redis_failed(etx__redis_session *session, const char *words) {
    const failure *why = failure_of(words);
    snprintf(session->code, sizeof session->code, "%.*s", (int)strcspn(words, " "), words);
    etx__redis_say(session, why ? why->rc : ETX_EUNAVAILABLE, "Redis says: %.150s%s%s", words,
                   why ? ": " : "", why ? why->advice : "");
    return why ? ETX__REDIS_REFUSED : ETX__REDIS_LOST;
}

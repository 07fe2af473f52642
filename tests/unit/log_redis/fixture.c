/* Makes a log with a prefix of its own, and says things to its server as an administrator. */
#include "fixture.h"

#include <etx/log_redis.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { AWAIT_STEPS = 6000 };

/* The server may be on its way back from a kill. */
static redisContext *connect_admin(void) {
    for (int i = 0; i < AWAIT_STEPS; i++) {
        redisContext *admin = redisConnectUnix(getenv("REDIS_SOCKET"));
        redisReply *pong = admin && !admin->err ? redisCommand(admin, "PING") : NULL;
        int up = pong && pong->type == REDIS_REPLY_STATUS;
        freeReplyObject(pong);
        if (up)
            return admin;
        redisFree(admin);
        usleep(10000);
    }
    fail_msg("no server");
    return NULL;
}

/* What a test that failed has left. */
static void forget_settings(fixture *f) {
    fixture_ask(f, "REPLICAOF NO ONE");
    fixture_set(f, "maxmemory", "0");
    fixture_set(f, "maxmemory-policy", "noeviction");
    fixture_set(f, "min-replicas-to-write", "0");
    fixture_set(f, "save", "");
    fixture_ask(f, "FLUSHALL");
}

int fixture_setup(void **state) {
    uint32_t random;
    fixture *f = calloc(1, sizeof *f);
    if (!f || !getenv("REDIS_SOCKET") || getentropy(&random, sizeof random))
        return -1;
    f->admin = connect_admin();
    *state = f;
    forget_settings(f);
    snprintf(f->prefix, sizeof f->prefix, "t_%x", random);
    f->subject.ops = etx_log_redis();
    f->subject.persistent = 1;
    snprintf(f->subject.url, sizeof f->subject.url,
             "redis:///0?partitions=3&timeout_ms=1000&socket=%s&prefix=%s", getenv("REDIS_SOCKET"),
             f->prefix);
    int rc = subject_open(&f->subject, 0);
    if (rc)
        print_message("%s\n", f->subject.message);
    return rc;
}

int fixture_teardown(void **state) {
    fixture *f = *state;
    if (f->subject.log)
        f->subject.ops->close(f->subject.log, 1);
    redisFree(f->admin);
    free(f);
    return 0;
}

static void tell(fixture *f, const redisReply *reply) {
    f->text[0] = 0;
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements > 0)
        tell(f, reply->element[reply->elements - 1]);
    else if (reply->type == REDIS_REPLY_INTEGER)
        snprintf(f->text, sizeof f->text, "%lld", reply->integer);
    else if (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS)
        snprintf(f->text, sizeof f->text, "%s", reply->str);
}

const char *fixture_ask(fixture *f, const char *format, ...) {
    redisReply *reply = NULL;
    void (*was)(int) = signal(SIGPIPE, SIG_IGN); /* hiredis writes to whom was killed */
    for (int i = 0; !reply && i < 2; i++) {
        va_list args;
        va_start(args, format);
        reply = redisvCommand(f->admin, format, args);
        va_end(args);
        if (!reply) { /* killed: once more, to the next one */
            redisFree(f->admin);
            f->admin = NULL;
            f->admin = connect_admin();
        }
    }
    signal(SIGPIPE, was);
    if (!reply || reply->type == REDIS_REPLY_ERROR)
        fail_msg("%s: %s", format, reply ? reply->str : f->admin->errstr);
    tell(f, reply);
    freeReplyObject(reply);
    return f->text;
}

redisContext *fixture_send(const char *format, ...) {
    redisContext *context = connect_admin();
    int done = 0;
    va_list args;
    va_start(args, format);
    assert_int_equal(redisvAppendCommand(context, format, args), REDIS_OK);
    va_end(args);
    while (!done)
        assert_int_equal(redisBufferWrite(context, &done), REDIS_OK);
    return context;
}

pid_t fixture_server(fixture *f) {
    const char *at = strstr(fixture_ask(f, "INFO server"), "process_id:");
    assert_non_null(at);
    pid_t server = (pid_t)strtol(at + strlen("process_id:"), NULL, 10);
    assert_true(server > 1);
    return server;
}

void fixture_kill_server(fixture *f) {
    pid_t server = fixture_server(f);
    assert_int_equal(kill(server, SIGKILL), 0);
    for (int i = 0; i < AWAIT_STEPS; i++) {
        if (fixture_server(f) != server)
            return;
        usleep(10000);
    }
    fail_msg("the server is still there");
}

void fixture_set(fixture *f, const char *name, const char *value) {
    fixture_ask(f, "CONFIG SET %s %s", name, value);
}

/* What a put comes to when the server, the session or another writer gets in between. Runs beside
 * scripts/with-redis --durable. */
#include "../../conformance/server_pause.h"
#include "fixture.h"
#include "relay.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A put is refused before it has any effect, with this error and these words, also on a new
 * connection. */
static void expect_refusal(log_chain *chain, int error, const char *words) {
    for (int i = 0; i < 2; i++) {
        etx_put put;
        etx_put_result result = chain_put_next(chain, &put);
        if (result != ETX_PUT_NOT_WRITTEN || put.error != error || !strstr(put.message, words))
            fail_msg("result %d, error %d, %s", (int)result, put.error, put.message);
    }
}

static int see_any(const etx_slot *slot, void *user) {
    (void)slot;
    (void)user;
    return 0;
}

static int read_all(const fixture *f, char *message, size_t size) {
    uint64_t mark;
    message[0] = 0;
    return f->subject.ops->get(f->subject.log, 0, 0, see_any, NULL, &mark, message, size);
}

/* The log through the relay. */
static void open_relayed(fixture *f, relay *between, log_subject *ret_subject) {
    char more[128];
    relay_start(between);
    snprintf(more, sizeof more, "&socket=%s", between->path);
    assert_int_equal(subject_beside(&f->subject, ret_subject, more, 0), 0);
}

/* ---- unknown, and what settles it */

/* It is executed when the server goes on, although nobody waits for it any more. */
static void test_hung_server(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    etx_put put;
    chain_put_surely(&chain);
    pid_t server = fixture_server(f);
    server_pause(server);
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_UNKNOWN);
    assert_int_equal(put.error, ETX_EUNAVAILABLE);
    assert_non_null(strstr(put.message, "not answered"));
    /* a new connection is not answered either, and the put not sent */
    expect_refusal(&chain, ETX_EUNAVAILABLE, "not answered");
    assert_int_equal(kill(server, SIGCONT), 0);
    chain_settle(&chain);
    assert_int_equal(chain_check(&f->subject, 0, 0, NULL), 3);
}

static void test_answer_lost(void **state) {
    fixture *f = *state;
    log_subject relayed;
    relay between;
    etx_put put;
    open_relayed(f, &between, &relayed);
    log_chain chain = chain_make(&relayed, 7);
    chain_put_surely(&chain);
    between.swallow = 1;
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_UNKNOWN);
    relay_await_answer(&between);
    assert_non_null(strstr(between.answer, "written"));
    between.swallow = 0;
    chain_settle(&chain);
    relayed.ops->close(relayed.log, 0);
    relay_end(&between);
}

/* An error that Redis does not say, as one of a proxy in between: it may come after the put. */
static void test_odd_error(void **state) {
    fixture *f = *state;
    log_subject relayed;
    relay between;
    etx_put put;
    open_relayed(f, &between, &relayed);
    log_chain chain = chain_make(&relayed, 7);
    chain_put_surely(&chain);
    between.instead = "-ERR upstream failure\r\n";
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_UNKNOWN);
    assert_int_equal(put.error, ETX_EUNAVAILABLE);
    assert_non_null(strstr(put.message, "upstream failure"));
    between.instead = "HTTP/1.1 400 Bad Request\r\n";
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_NOT_WRITTEN); /* it does not connect */
    assert_non_null(strstr(put.message, "is no Redis"));
    between.instead = NULL;
    chain_settle(&chain);
    relayed.ops->close(relayed.log, 0);
    relay_end(&between);
}

/* From before its slot was filled, trimmed and deleted. */
static void test_late_put(void **state) {
    fixture *f = *state;
    log_subject relayed;
    relay between;
    etx_put put;
    open_relayed(f, &between, &relayed);
    log_chain late = chain_make(&relayed, 7);
    for (int i = 0; i < 5; i++)
        chain_put_surely(&late);
    log_chain other = late;
    other.subject = &f->subject;
    other.nonce = 99;
    between.hold = 1;
    assert_int_equal(chain_put_next(&late, &put), ETX_PUT_UNKNOWN);
    for (int i = 0; i < 3; i++)
        chain_put_surely(&other);
    assert_int_equal(f->subject.ops->trim(f->subject.log, 0, 7), 0);
    between.hold = 0;
    relay_await_answer(&between);
    assert_non_null(strstr(between.answer, "trimmed"));
    assert_string_equal(fixture_ask(f, "HEXISTS {%s}:0 0000000000000000005", f->prefix), "0");
    assert_int_equal(chain_put_next(&late, &put), ETX_PUT_OCCUPIED);
    assert_int_equal(put.found_trimmed, 1);
    assert_int_equal(chain_check(&f->subject, 0, 0, NULL), 1);
    relayed.ops->close(relayed.log, 0);
    relay_end(&between);
}

/* ---- refused before anything was done */

static void test_replica(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    char message[300];
    chain_put_surely(&chain);
    assert_int_equal(read_all(f, message, sizeof message), 0);
    fixture_ask(f, "REPLICAOF 127.0.0.1 1");
    expect_refusal(&chain, ETX_EUNAVAILABLE, "name the primary");
    fixture_ask(f, "REPLICAOF NO ONE");
    chain_put_surely(&chain);
    fixture_ask(f, "REPLICAOF 127.0.0.1 1");
    fixture_set(f, "replica-read-only", "no");
    /* the session is from before; who follows another may lag */
    assert_int_equal(read_all(f, message, sizeof message), ETX_EUNAVAILABLE);
    assert_non_null(strstr(message, "READONLY"));
    expect_refusal(&chain, ETX_EUNAVAILABLE, "name the primary"); /* a new one sees it */
    fixture_set(f, "replica-read-only", "yes");
    fixture_ask(f, "REPLICAOF NO ONE");
    chain_put_surely(&chain);
    assert_int_equal(chain_check(&f->subject, 0, 0, NULL), 3);
}

static void test_too_few_replicas(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    chain_put_surely(&chain);
    fixture_set(f, "min-replicas-to-write", "1");
    expect_refusal(&chain, ETX_EUNAVAILABLE, "min-replicas-to-write");
    assert_int_equal(chain_check(&f->subject, 0, 0, NULL), 1);
    fixture_set(f, "min-replicas-to-write", "0");
    chain_put_surely(&chain);
}

static void no_node(const etx_log_node *node, void *user) {
    (void)node;
    (void)user;
}

static void no_lease(const etx_log_lease *lease, void *user) {
    (void)lease;
    (void)user;
}

static int space_full(const fixture *f) {
    etx_log_space space = {.size = sizeof space};
    assert_int_equal(f->subject.ops->space(f->subject.log, 0, &space), 0);
    return space.full;
}

/* What makes room goes on, and so do leases. */
static void test_memory_full(void **state) {
    fixture *f = *state;
    const etx_log_ops *ops = f->subject.ops;
    etx_log *log = f->subject.log;
    etx_log_space space = {.size = sizeof space};
    log_chain chain = chain_make(&f->subject, 7);
    for (int i = 0; i < 300; i++)
        chain_put_surely(&chain);
    assert_int_equal(ops->attend(log, "", 60000, NULL, 0), 0);
    assert_int_equal(ops->renew(log, 1, 60000), 1);
    fixture_set(f, "maxmemory", "1000");
    expect_refusal(&chain, ETX_EFULL, "maxmemory");
    assert_int_equal(ops->space(log, 0, &space), 0);
    assert_int_equal(space.full, 1);
    assert_int_equal(ops->attend(log, "", 60000, NULL, 0), 0);
    assert_int_equal(ops->renew(log, 1, 60000), 0);
    assert_int_equal(ops->trim(log, 0, 295), 0);
    assert_int_equal(chain_check(&f->subject, 0, 0, NULL), 5);
    assert_string_equal(fixture_ask(f, "HLEN {%s}:0", f->prefix), "11");
    fixture_set(f, "maxmemory", "0");
    assert_int_equal(ops->attend(log, "", 60000, NULL, 0), 0);
    assert_int_equal(ops->space(log, 0, &space), 0);
    assert_int_equal(space.full, 0);
    chain_put_surely(&chain);
    /* who looks at the nodes, which is often, hears soon that there is room again */
    const etx_log_survey survey = {sizeof survey, no_node, no_lease, NULL};
    fixture_set(f, "maxmemory", "1000");
    expect_refusal(&chain, ETX_EFULL, "maxmemory");
    fixture_set(f, "maxmemory", "0");
    for (int i = 0; i < 2000 && space_full(f); i++) {
        assert_int_equal(ops->survey(log, &survey, NULL, 0), 0);
        usleep(10000);
    }
    assert_int_equal(space_full(f), 0);
    chain_put_surely(&chain);
}

/* New transactions are refused while there is room for those that have begun. */
static void test_full_in_time(void **state) {
    enum { LEN = 100000, MOST = 300, LIMIT = 20000000 };
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    etx_log_space space = {.size = sizeof space};
    uint8_t *bytes = malloc(LEN);
    assert_non_null(bytes);
    fixture_set(f, "maxmemory", "20000000");
    assert_int_equal(f->subject.ops->attend(f->subject.log, "", 60000, NULL, 0), 0);
    while (!space.full && chain.next < MOST) {
        batch_fill(chain.next, bytes, LEN);
        assert_int_equal(chain_put(&chain, bytes, LEN), ETX_PUT_WRITTEN);
        assert_int_equal(f->subject.ops->space(f->subject.log, 0, &space), 0);
    }
    assert_int_equal(space.full, 1);
    assert_true(chain.next * LEN > LIMIT / 2 && chain.next * LEN < LIMIT / 10 * 9);
    assert_int_equal(chain_put(&chain, bytes, LEN), ETX_PUT_WRITTEN);
    fixture_set(f, "maxmemory", "0");
    free(bytes);
}

static void test_disk_fails(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    chain_put_surely(&chain);
    fixture_set(f, "save", "3600 1");
    assert_int_equal(chmod(getenv("REDIS_DIR"), 0500), 0);
    for (int i = 0;
         i < 6000 && !strstr(fixture_ask(f, "INFO persistence"), "rdb_last_bgsave_status:err");
         i++) {
        redisReply *reply = redisCommand(f->admin, "BGSAVE"); /* refused while one is under way */
        freeReplyObject(reply);
        usleep(10000);
    }
    expect_refusal(&chain, ETX_EUNAVAILABLE, "cannot write to its disk");
    assert_int_equal(chmod(getenv("REDIS_DIR"), 0700), 0);
    fixture_set(f, "save", "");
    chain_put_surely(&chain);
}

static void test_busy_server(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    chain_put_surely(&chain);
    fixture_set(f, "busy-reply-threshold", "1");
    redisContext *other = fixture_send("EVAL %s 0", "while true do end");
    etx_put put = {.message = ""};
    for (int i = 0; i < 6000 && !strstr(put.message, "SCRIPT KILL"); i++)
        (void)chain_put_next(&chain, &put);
    expect_refusal(&chain, ETX_EUNAVAILABLE, "SCRIPT KILL");
    fixture_ask(f, "SCRIPT KILL");
    redisReply *killed = NULL;
    assert_int_equal(redisGetReply(other, (void **)&killed), REDIS_OK);
    freeReplyObject(killed);
    redisFree(other);
    fixture_set(f, "busy-reply-threshold", "5000");
    chain_put_surely(&chain);
    assert_int_equal(chain_check(&f->subject, 0, 0, NULL), chain.next);
}

static void test_script_forgotten(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    etx_put put;
    for (int i = 0; i < 3; i++) {
        fixture_ask(f, "SCRIPT FLUSH");
        assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_WRITTEN);
        assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_WRITTEN);
    }
    /* by its name from then on */
    assert_non_null(strstr(fixture_ask(f, "INFO commandstats"), "cmdstat_evalsha:"));
    assert_int_equal(chain_check(&f->subject, 0, 0, NULL), 6);
}

/* ---- servers and sessions that die */

static void cut_sessions(fixture *f) {
    fixture_ask(f, "CLIENT KILL TYPE normal SKIPME yes");
}

static void write_while(fixture *f, void (*act)(fixture *f), int times) {
    log_writer writer;
    writer_begin(&writer, &f->subject);
    for (int i = 0; i < times; i++) {
        writer_await(&writer, 5);
        act(f);
    }
    writer_end(&writer);
}

static void test_sessions_cut(void **state) {
    write_while(*state, cut_sessions, 20);
}

static void test_killed_server(void **state) {
    write_while(*state, fixture_kill_server, 3);
}

/* A server that was restarted has closed the connection: that is seen before anything is sent, so
 * nothing becomes unknown. */
static void test_idle_session_lost(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    etx_put put;
    chain_put_surely(&chain);
    cut_sessions(f);
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_WRITTEN);
}

/* ---- data that goes away */

static void run_shell(const char *command) {
    if (system(command) != 0)
        fail_msg("%s", command);
}

/* A backup of the whole server that is older than what was acknowledged. */
static void test_restored(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    etx_put put;
    for (int i = 0; i < 3; i++)
        chain_put_surely(&chain);
    run_shell("cp -a \"$REDIS_DIR/appendonlydir\" \"$REDIS_DIR/backup\"");
    chain_put_surely(&chain);
    chain_put_surely(&chain);
    pid_t server = fixture_server(f);
    server_pause(server);
    run_shell("cd \"$REDIS_DIR\" && rm -r appendonlydir && mv backup appendonlydir");
    assert_int_equal(kill(server, SIGKILL), 0);
    assert_string_equal(fixture_ask(f, "HGET {%s}:0 newest", f->prefix), "0000000000000000002");
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_PREDECESSOR);
    assert_int_equal(chain_check(&f->subject, 0, 0, NULL), 3);
}

static void test_emptied(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    log_chain fresh = chain_make(&f->subject, 8);
    char message[300];
    etx_put put;
    chain_put_surely(&chain);
    fixture_ask(f, "FLUSHALL");
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_PREDECESSOR);
    expect_refusal(&fresh, ETX_ECORRUPT, "is not there");
    assert_int_equal(read_all(f, message, sizeof message), ETX_ECORRUPT);
    assert_non_null(strstr(message, "is not there"));
    /* another log of this name is not this one */
    log_subject other;
    assert_int_equal(subject_beside(&f->subject, &other, "", 0), 0);
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_PREDECESSOR);
    expect_refusal(&fresh, ETX_ECORRUPT, "another log's");
    other.ops->close(other.log, 1);
}

/* ---- other writers */

static void test_two_owners(void **state) {
    fixture *f = *state;
    race_check(&f->subject, &f->subject);
}

static void *trim_on(void *user) {
    log_writer *w = user;
    while (!w->stop) {
        for (int i = 0; i < 400; i++)
            chain_put_surely(&w->chain);
        w->chain.subject->ops->trim(w->chain.subject->log, 0, w->chain.next - 10);
        w->written = w->chain.next;
    }
    return NULL;
}

/* A reader is given a chain without gap from the mark that it is told, whatever is trimmed while it
 * reads its pages. */
static void test_read_while_trimmed(void **state) {
    fixture *f = *state;
    log_writer w = {.chain = chain_make(&f->subject, 7)};
    log_subject reader;
    uint64_t last = 0;
    assert_int_equal(subject_beside(&f->subject, &reader, "", ETX_LOG_READ_ONLY), 0);
    assert_int_equal(pthread_create(&w.thread, NULL, trim_on, &w), 0);
    while (w.written < 3200) {
        uint64_t mark;
        uint64_t count = chain_check(&reader, 0, 0, &mark);
        assert_true(mark + count >= last);
        last = mark + count;
    }
    w.stop = 1;
    pthread_join(w.thread, NULL);
    assert_int_equal(chain_check(&reader, 0, 0, NULL), 10);
    reader.ops->close(reader.log, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_hung_server),   CASE(test_answer_lost),       CASE(test_odd_error),
        CASE(test_late_put),      CASE(test_replica),           CASE(test_too_few_replicas),
        CASE(test_memory_full),   CASE(test_full_in_time),      CASE(test_disk_fails),
        CASE(test_busy_server),   CASE(test_script_forgotten),  CASE(test_sessions_cut),
        CASE(test_killed_server), CASE(test_idle_session_lost), CASE(test_restored),
        CASE(test_emptied),       CASE(test_two_owners),        CASE(test_read_while_trimmed),
    };
    return cmocka_run_group_tests_name("log_redis_settle", tests, NULL, NULL);
}

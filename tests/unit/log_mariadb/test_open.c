/* Opening a MariaDB log: what its URL may say, what is refused and in which words, and that the
 * process is left as it was. Runs beside scripts/with-mariadb --durable. */
#include "../../conformance/log_leases.h"
#include "../../conformance/server_pause.h"
#include "fixture.h"

#include <etx/log_mariadb.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* The URL of that user, database and options, at the server of this test. */
static const char *url_of(fixture *f, const char *user, const char *database, const char *options) {
    snprintf(f->text, sizeof f->text, "mariadb://%s@/%s?socket=%s%s", user, database,
             getenv("MARIADB_SOCKET"), options);
    return f->text;
}

static void test_urls(void **state) {
    fixture *f = *state;
    subject_refused(&f->subject, url_of(f, "etx", "etx", "&partitions=0"), 0, ETX_EINVALID,
                    "partitions is 1 to 256");
    subject_refused(&f->subject, url_of(f, "etx", "etx", "&timeout_ms=99"), 0, ETX_EINVALID,
                    "timeout_ms is 100 to");
    subject_refused(&f->subject, url_of(f, "etx", "etx", "&prefix=Shop"), 0, ETX_EINVALID,
                    "prefix is of a-z");
    subject_refused(&f->subject, url_of(f, "etx", "etx", "&prefix="), 0, ETX_EINVALID,
                    "prefix is of a-z");
    subject_refused(&f->subject, url_of(f, "etx", "etx", "&prefix=a`b"), 0, ETX_EINVALID,
                    "prefix is of a-z");
    subject_refused(&f->subject, url_of(f, "etx", "etx", "&schema=x"), 0, ETX_EINVALID,
                    "no option 'schema'");
    subject_refused(&f->subject, url_of(f, "etx", "etx", "&password=secret"), 0, ETX_EINVALID,
                    "password_file");
    subject_refused(&f->subject, url_of(f, "etx", "etx", "&password_file=/nowhere/x"), 0,
                    ETX_EINVALID, "/nowhere/x");
    subject_refused(&f->subject, url_of(f, "etx", "etx", "&tls=maybe"), 0, ETX_EINVALID,
                    "tls is off");
    subject_refused(&f->subject, url_of(f, "etx", "etx", "&tls=verify"), 0, ETX_EINVALID,
                    "tls_ca=FILE");
    subject_refused(&f->subject, url_of(f, "etx", "etx", "&tls=off&tls_ca=/x"), 0, ETX_EINVALID,
                    "tls=verify");
    subject_refused(&f->subject, url_of(f, "etx", "etx", "&tls_ca=x"), 0, ETX_EINVALID, "absolute");
    subject_refused(&f->subject, url_of(f, "etx", "etx", "&tls=require&tls_key=/x"), 0,
                    ETX_EINVALID, "together");
    subject_refused(&f->subject, url_of(f, "", "etx", ""), 0, ETX_EINVALID,
                    "no user or no database");
    subject_refused(&f->subject, url_of(f, "etx", "", ""), 0, ETX_EINVALID,
                    "no user or no database");
    subject_refused(&f->subject, "mariadb://u@/d", 0, ETX_EINVALID, "a host, or the option socket");
    subject_refused(&f->subject, "mariadb://u@h/d?socket=/x", 0, ETX_EINVALID,
                    "a host, or the option socket");
    subject_refused(&f->subject, "mariadb://u@/d?socket=x", 0, ETX_EINVALID, "absolute path");
    subject_refused(&f->subject, "mariadb://u:secret@h:x%zz/d", 0, ETX_EINVALID, "URL");
    subject_refused(&f->subject, "mysql://u:secret@h/d", 0, ETX_EINVALID, "mariadb://");
}

static void test_unreachable(void **state) {
    fixture *f = *state;
    subject_refused(&f->subject, "mariadb://u:secret@/d?socket=/nowhere", 0, ETX_EUNAVAILABLE,
                    "/nowhere");
    subject_refused(&f->subject, "mariadb://u:secret@127.0.0.1:1/d", 0, ETX_EUNAVAILABLE,
                    "127.0.0.1");
    subject_refused(&f->subject, url_of(f, "root", "nodb", ""), 0, ETX_EINVALID, "nodb");
    subject_refused(&f->subject, url_of(f, "nobody_here:secret", "etx", ""), 0, ETX_EINVALID,
                    "nobody_here");
    fixture_set(f, "read_only = 1");
    subject_refused(&f->subject, f->subject.url, 0, ETX_EUNAVAILABLE, "read-only");
}

static void test_not_ours(void **state) {
    fixture *f = *state;
    fixture_say(f, "UPDATE %s_log_meta SET version = 2");
    subject_refused(&f->subject, f->subject.url, 0, ETX_EVERSION, "version 2");
    fixture_say(f, "UPDATE %s_log_meta SET version = 1, partitions = 0");
    subject_refused(&f->subject, f->subject.url, 0, ETX_ECORRUPT, "log_meta");
    fixture_say(f, "ALTER TABLE %s_log_meta DROP COLUMN home");
    subject_refused(&f->subject, f->subject.url, 0, ETX_EINVALID, "another prefix=");
    fixture_say(f, "DROP TABLE %s_log_meta");
    subject_refused(&f->subject, f->subject.url, ETX_LOG_NO_CREATE, ETX_ENOTFOUND, f->prefix);
}

/* Another program's table of one such name: nothing is made beside it. */
static void test_name_taken(void **state) {
    static const char *const names[] = {"meta", "partition", "lease", "node", "slot"};
    fixture *f = *state;
    char url[600];
    char sql[128];
    snprintf(url, sizeof url, "%s_taken", f->subject.url);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(sql, sizeof sql, "CREATE TABLE %%s_taken_log_%s(id int)", names[i]);
        fixture_say(f, sql);
        subject_refused(&f->subject, url, 0, ETX_EINVALID, "another prefix=");
        assert_int_equal(fixture_count(f,
                                       "SELECT count(*) FROM information_schema.tables WHERE"
                                       " table_schema = 'etx' AND table_name LIKE '%s_taken_log%'"),
                         1);
        snprintf(sql, sizeof sql, "DROP TABLE %%s_taken_log_%s", names[i]);
        fixture_say(f, sql);
    }
}

/* What a crash has left half made is made by the next one. */
static void test_half_made(void **state) {
    fixture *f = *state;
    fixture_say(f, "DELETE FROM %s_log_meta");
    fixture_say(f, "DELETE FROM %s_log_partition");
    fixture_say(f, "DELETE FROM %s_log_lease");
    fixture_say(f, "DROP TABLE %s_log_slot");
    subject_refused(&f->subject, f->subject.url, ETX_LOG_READ_ONLY, ETX_ENOTFOUND, f->prefix);
    subject_reopen(&f->subject, 0);
    log_chain chain = chain_make(&f->subject, 7);
    chain_put_surely(&chain);
    assert_int_equal(fixture_count(f, "SELECT count(*) FROM %s_log_partition"), 3);
}

typedef struct maker {
    pthread_t thread;
    log_subject subject;
    etx_log_info info;
    int rc;
} maker;

static void *make(void *user) {
    maker *m = user;
    m->rc = subject_open(&m->subject, 0);
    m->rc = m->rc ? m->rc : m->subject.ops->info(m->subject.log, &m->info);
    return NULL;
}

static void test_made_at_once(void **state) {
    enum { MAKERS = 6 };
    fixture *f = *state;
    maker makers[MAKERS];
    for (int i = 0; i < MAKERS; i++) {
        makers[i] = (maker){.subject = f->subject, .info = {.size = sizeof(etx_log_info)}};
        makers[i].subject.log = NULL;
        snprintf(makers[i].subject.url, sizeof makers[i].subject.url,
                 "%.400s_at_once&timeout_ms=60000", f->subject.url);
        assert_int_equal(pthread_create(&makers[i].thread, NULL, make, &makers[i]), 0);
    }
    for (int i = 0; i < MAKERS; i++) {
        pthread_join(makers[i].thread, NULL);
        if (makers[i].rc)
            print_message("%s\n", makers[i].subject.message);
        assert_int_equal(makers[i].rc, 0);
        assert_string_equal(makers[i].info.id, makers[0].info.id);
    }
    for (int i = 0; i < MAKERS; i++)
        makers[i].subject.ops->close(makers[i].subject.log, 1);
}

static const char *const rights[][2] = {
    {"partition", "UPDATE"}, {"slot", "INSERT"}, {"slot", "DELETE"}, {"lease", "UPDATE"},
    {"node", "INSERT"},      {"node", "UPDATE"}, {"node", "DELETE"}};
enum { RIGHTS = sizeof rights / sizeof rights[0] };

static void give(fixture *f, size_t right) {
    char sql[128];
    snprintf(sql, sizeof sql, "GRANT %s ON etx.%%s_log_%s TO poor@localhost", rights[right][1],
             rights[right][0]);
    fixture_say(f, sql);
}

static void take_back(fixture *f, size_t right) {
    char sql[128];
    snprintf(sql, sizeof sql, "REVOKE %s ON etx.%%s_log_%s FROM poor@localhost", rights[right][1],
             rights[right][0]);
    fixture_say(f, sql);
}

/* Without one of the rights that serving takes no log is opened for writing, and one is for
 * reading; these are enough. */
static void lack_each_right(fixture *f, const char *url) {
    log_subject other = f->subject;
    char words[64];
    snprintf(other.url, sizeof other.url, "%s", url);
    for (size_t i = 0; i < RIGHTS; i++)
        give(f, i);
    assert_int_equal(subject_open(&other, 0), 0);
    other.ops->close(other.log, 1);
    for (size_t i = 0; i < RIGHTS; i++) {
        take_back(f, i);
        snprintf(words, sizeof words, "%s command denied", rights[i][1]);
        subject_refused(&f->subject, url, 0, ETX_EINVALID, words);
        snprintf(words, sizeof words, "_log_%s", rights[i][0]);
        subject_refused(&f->subject, url, 0, ETX_EINVALID, words);
        subject_refused(&f->subject, url, 0, ETX_EINVALID, "GRANT CREATE, SELECT, INSERT");
        assert_int_equal(subject_open(&other, ETX_LOG_READ_ONLY), 0);
        other.ops->close(other.log, 1);
        give(f, i);
    }
}

static void test_rights(void **state) {
    fixture *f = *state;
    log_subject other = f->subject;
    char options[64];
    snprintf(options, sizeof options, "&prefix=%s", f->prefix);
    fixture_say(f, "DROP USER IF EXISTS poor@localhost");
    fixture_say(f, "CREATE USER poor@localhost");
    subject_refused(&f->subject, url_of(f, "poor", "etx", ""), 0, ETX_EINVALID, "GRANT");
    fixture_say(f, "GRANT SELECT ON etx.* TO poor@localhost");
    subject_refused(&f->subject, url_of(f, "poor", "etx", "&prefix=of_the_poor"), 0, ETX_EINVALID,
                    "GRANT CREATE");
    snprintf(other.url, sizeof other.url, "%s", url_of(f, "poor", "etx", options));
    lack_each_right(f, other.url);
    fixture_say(f, "GRANT INSERT, UPDATE, DELETE ON etx.* TO poor@localhost");
    assert_int_equal(subject_open(&other, 0), 0);
    log_chain chain = chain_make(&other, 7);
    chain_put_surely(&chain);
    chain_put_surely(&chain);
    assert_int_equal(other.ops->trim(other.log, 0, 1), 0);
    assert_int_equal(chain_check(&other, 0, 0, NULL), 1);
    other.ops->close(other.log, 1);
}

/* ---- passwords, TLS */

static void write_secret(const char *path, const char *text, mode_t mode) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
}

/* Each partition has a connection of its own, made for its first put. */
static void check_rotation(fixture *f, log_subject *open, const char *path) {
    log_chain chain = chain_make(open, 7);
    log_chain next = chain_make(open, 7);
    etx_put put;
    next.partition = 1;
    fixture_say(f, "ALTER USER keyed@localhost IDENTIFIED BY 'secret-1b'");
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_NOT_WRITTEN);
    assert_int_equal(put.error, ETX_EINVALID);
    write_secret(path, "secret-1b\n", 0600);
    assert_int_equal(chain_put_next(&chain, &put), ETX_PUT_WRITTEN);
    /* without its file it is as it was at first */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(chain_put_next(&next, &put), ETX_PUT_NOT_WRITTEN);
    fixture_say(f, "ALTER USER keyed@localhost IDENTIFIED BY 'secret-1'");
    assert_int_equal(chain_put_next(&next, &put), ETX_PUT_WRITTEN);
}

static void test_passwords(void **state) {
    fixture *f = *state;
    char dir[] = "/tmp/etx-log-mariadb-XXXXXX";
    char path[64];
    char options[200];
    char url[300];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/password", dir);
    snprintf(options, sizeof options, "&prefix=%s&password_file=%s", f->prefix, path);
    snprintf(url, sizeof url, "%s", url_of(f, "keyed", "etx", options));
    fixture_say(f, "DROP USER IF EXISTS keyed@localhost");
    fixture_say(f, "CREATE USER keyed@localhost IDENTIFIED BY 'secret-1'");
    fixture_say(f, "GRANT ALL ON etx.* TO keyed@localhost");
    subject_refused(&f->subject, url_of(f, "keyed", "etx", ""), 0, ETX_EINVALID, "password_file=");
    write_secret(path, "secret-2\n", 0600);
    subject_refused(&f->subject, url, 0, ETX_EINVALID, "check user, password and host");
    write_secret(path, "secret-1\n", 0644);
    subject_refused(&f->subject, url, 0, ETX_EINVALID, "chmod 600");
    write_secret(path, "secret-1\n", 0600);
    log_subject other = f->subject;
    snprintf(other.url, sizeof other.url, "%s", url);
    assert_int_equal(subject_open(&other, ETX_LOG_NO_CREATE), 0);
    check_rotation(f, &other, path);
    other.ops->close(other.log, 1);
    assert_int_equal(rmdir(dir), 0);
    /* what the server tells has the password; but not of a short one in each word that has it */
    subject_refused(&f->subject, url_of(f, "not_there:not_there", "etx", ""), 0, ETX_EINVALID,
                    "user '***'");
    subject_refused(&f->subject, url_of(f, "keyed:e", "etx", ""), 0, ETX_EINVALID, "user 'keyed'");
    subject_refused(&f->subject, url_of(f, "e:e", "etx", ""), 0, ETX_EINVALID, "user '***'");
}

static void test_tls(void **state) {
    fixture *f = *state;
    log_subject other;
    char options[200];
    fixture_say(f, "DROP USER IF EXISTS sealed@localhost");
    fixture_say(f, "CREATE USER sealed@localhost REQUIRE SSL");
    fixture_say(f, "GRANT ALL ON etx.* TO sealed@localhost");
    subject_refused(&f->subject, url_of(f, "sealed", "etx", ""), 0, ETX_EINVALID, "sealed");
    subject_refused(&f->subject, url_of(f, "sealed", "etx", "&tls_ca=/etc/hostname"), 0,
                    ETX_EUNAVAILABLE, "tls_ca");
    other = f->subject;
    snprintf(options, sizeof options, "&prefix=%s&tls_ca=%s", f->prefix, getenv("MARIADB_CA"));
    snprintf(other.url, sizeof other.url, "%s", url_of(f, "sealed", "etx", options));
    int rc = subject_open(&other, 0);
    if (rc)
        print_message("%s\n", other.message);
    assert_int_equal(rc, 0);
    log_chain chain = chain_make(&other, 7);
    chain_put_surely(&chain);
    other.ops->close(other.log, 1);
}

/* Somebody between the two who hides that the server offers TLS. */
typedef struct stripper {
    pthread_t thread;
    char dir[32];
    char path[64];
    int listener;
    int told; /* how much of the client's second message there was: it asked without TLS */
} stripper;

static ssize_t strip_message(int from, int to, int greeting) {
    enum { CLIENT_SSL_BYTE = 0x08, AFTER_VERSION = 4 + 8 + 1 + 1 }; /* of the capabilities */
    char bytes[4096];
    ssize_t len = read(from, bytes, sizeof bytes);
    if (len > 0 && greeting)
        bytes[5 + strlen(bytes + 5) + 1 + AFTER_VERSION] &= ~CLIENT_SSL_BYTE;
    return len > 0 && write(to, bytes, (size_t)len) == len ? len : -1;
}

static void *strip(void *user) {
    stripper *s = user;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int client = accept(s->listener, NULL, NULL);
    int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", getenv("MARIADB_SOCKET"));
    if (connect(server, (const struct sockaddr *)&address, sizeof address) == 0 &&
        strip_message(server, client, 1) > 0) {
        s->told = (int)strip_message(client, server, 0);
        while (strip_message(server, client, 0) > 0 && strip_message(client, server, 0) > 0) {
        }
    }
    close(client);
    close(server);
    return NULL;
}

/* libmariadb alone would go on in the clear. */
static void test_tls_taken_away(void **state) {
    fixture *f = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    stripper s = {.dir = "/tmp/etx-strip-XXXXXX"};
    char url[300];
    assert_non_null(mkdtemp(s.dir));
    snprintf(s.path, sizeof s.path, "%s/socket", s.dir);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", s.path);
    s.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s.listener, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(s.listener, 1), 0);
    assert_int_equal(pthread_create(&s.thread, NULL, strip, &s), 0);
    snprintf(url, sizeof url, "mariadb://etx@/etx?socket=%s&tls=require&prefix=%s", s.path,
             f->prefix);
    subject_refused(&f->subject, url, 0, ETX_EINVALID, "does not offer TLS");
    assert_int_equal(pthread_join(s.thread, NULL), 0);
    assert_true(s.told > 0);
    close(s.listener);
    assert_int_equal(unlink(s.path), 0);
    assert_int_equal(rmdir(s.dir), 0);
}

/* ---- a guest in its process */

/* Calls `each` for all sockets of this process that lead to the server, but the administrator's. */
static int each_socket(fixture *f, void (*each)(int fd)) {
    int count = 0;
    for (int fd = 0; fd < 256; fd++) {
        struct sockaddr_un peer = {0};
        socklen_t len = sizeof peer;
        if (fd == (int)mysql_get_socket(f->admin) ||
            getpeername(fd, (struct sockaddr *)&peer, &len) || peer.sun_family != AF_UNIX ||
            strcmp(peer.sun_path, getenv("MARIADB_SOCKET")) != 0)
            continue;
        each(fd);
        count++;
    }
    return count;
}

static void expect_closed_by_exec(int fd) {
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static void shut_writing(int fd) {
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
}

/* libmariadb would have a program ignore SIGPIPE from its first use on. */
static void test_signals_stay(void **state) {
    log_subject subject = {.ops = etx_log_mariadb(), .url = "mariadb://u@127.0.0.1:1/d"};
    struct sigaction action;
    (void)state;
    assert_int_equal(subject_open(&subject, 0), ETX_EUNAVAILABLE);
    assert_int_equal(sigaction(SIGPIPE, NULL, &action), 0);
    assert_true(action.sa_handler == SIG_DFL);
}

/* A child that the program starts has none of its connections; and a put into one that takes
 * nothing any more does not raise SIGPIPE, over TLS neither. */
static void test_guest(void **state) {
    fixture *f = *state;
    log_subject other;
    char options[200];
    etx_put put;
    snprintf(options, sizeof options, "&tls_ca=%s", getenv("MARIADB_CA"));
    assert_int_equal(subject_beside(&f->subject, &other, options, 0), 0);
    log_chain chain = chain_make(&other, 7);
    chain_put_surely(&chain);
    assert_true(each_socket(f, expect_closed_by_exec) >= 3);
    assert_true(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    server_pause(fixture_server());
    each_socket(f, shut_writing);
    etx_put_result result = chain_put_next(&chain, &put);
    assert_int_equal(kill(fixture_server(), SIGCONT), 0);
    /* not written: the server had seen the end, and closed, before it stopped */
    assert_true(result == ETX_PUT_UNKNOWN || result == ETX_PUT_NOT_WRITTEN);
    chain_put_surely(&chain);
    other.ops->close(other.log, 1);
}

/* ---- reading, leases */

static int take_any(const etx_slot *slot, void *user) {
    (void)slot;
    ++*(int *)user;
    return 0;
}

static void expect_damage(fixture *f, const char *words) {
    char message[300] = "";
    uint64_t mark;
    int count = 0;
    assert_int_equal(
        f->subject.ops->get(f->subject.log, 0, 0, take_any, &count, &mark, message, sizeof message),
        ETX_ECORRUPT);
    assert_int_equal(count, 2);
    assert_non_null(strstr(message, words));
}

static void test_damaged(void **state) {
    fixture *f = *state;
    log_chain chain = chain_make(&f->subject, 7);
    for (int i = 0; i < 4; i++)
        chain_put_surely(&chain);
    fixture_say(f, "UPDATE %s_log_slot SET batch = insert(batch, 3, 1, X'00') WHERE slot = 2");
    expect_damage(f, "slot 2 of partition 0");
    fixture_say(f, "DELETE FROM %s_log_slot WHERE slot = 2");
    expect_damage(f, "slot 3 of partition 0");
}

static void test_nodes(void **state) {
    fixture *f = *state;
    gone_check(&f->subject);
    nodes_check(&f->subject);
}

static void test_leases(void **state) {
    fixture *f = *state;
    leases_check(&f->subject);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signals_stay),
        CASE(test_urls),
        CASE(test_unreachable),
        CASE(test_not_ours),
        CASE(test_name_taken),
        CASE(test_half_made),
        CASE(test_made_at_once),
        CASE(test_rights),
        CASE(test_passwords),
        CASE(test_tls),
        CASE(test_tls_taken_away),
        CASE(test_guest),
        CASE(test_damaged),
        CASE(test_nodes),
        CASE(test_leases),
    };
    return cmocka_run_group_tests_name("log_mariadb_open", tests, NULL, NULL);
}

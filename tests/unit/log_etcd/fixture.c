/* Makes a log below a prefix of its own, and says things to its etcd as an administrator. */
#include "fixture.h"

#include <etx/log_etcd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { AWAIT_STEPS = 6000, AWAIT_US = 10000 };

int fixture_setup(void **state) {
    uint32_t random;
    char behind[100];
    fixture *f = calloc(1, sizeof *f);
    if (!f || getentropy(&random, sizeof random))
        return -1;
    *state = f;
    snprintf(f->prefix, sizeof f->prefix, "t_%x", random);
    snprintf(behind, sizeof behind, "/%s?partitions=3&timeout_ms=1000", f->prefix);
    f->subject.ops = etx_log_etcd();
    f->subject.persistent = 1;
    snprintf(f->subject.url, sizeof f->subject.url, "%s", fixture_url(f, "", behind));
    int rc = subject_open(&f->subject, 0);
    if (rc)
        print_message("%s\n", f->subject.message);
    return rc;
}

int fixture_teardown(void **state) {
    fixture *f = *state;
    pid_t server = fixture_pid(0);
    if (server > 1)
        (void)kill(server, SIGCONT); /* what a test that failed has left */
    if (f->subject.log)
        f->subject.ops->close(f->subject.log, 1);
    free(f);
    return 0;
}

const char *fixture_do(fixture *f, const char *format, ...) {
    char command[1000];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    FILE *output = popen(command, "r");
    assert_non_null(output);
    size_t len = fread(f->text, 1, sizeof f->text - 1, output);
    f->text[len] = 0;
    f->text[strcspn(f->text, "\n")] = 0;
    if (pclose(output) != 0)
        fail_msg("%s: %s", command, f->text);
    return f->text;
}

int fixture_open(fixture *f, log_subject *other, const char *more, uint32_t flags) {
    *other = f->subject;
    other->log = NULL;
    snprintf(other->url, sizeof other->url, "%.300s%.200s", f->subject.url, more);
    return subject_open(other, flags);
}

int fixture_open_as(fixture *f, log_subject *other, const char *node) {
    *other = f->subject;
    etx_log_config config = {.size = sizeof config,
                             .url = other->url,
                             .node = node,
                             .message = other->message,
                             .message_size = sizeof other->message};
    return other->ops->open(&config, &other->log);
}

void fixture_refuse(fixture *f, const char *url, uint32_t flags, int wanted, const char *words) {
    log_subject other = f->subject;
    other.log = NULL;
    snprintf(other.url, sizeof other.url, "%s", url);
    int rc = subject_open(&other, flags);
    if (rc != wanted || !strstr(other.message, words))
        print_message("%s: %d %s\n", url, rc, other.message);
    assert_int_equal(rc, wanted);
    assert_non_null(strstr(other.message, words));
    assert_null(strstr(other.message, "secret"));
}

const char *fixture_url(fixture *f, const char *user, const char *behind) {
    snprintf(f->text, sizeof f->text, "etcd://%s%s%s", user, getenv("ETX_ETCD"), behind);
    return f->text;
}

pid_t fixture_pid(int member) {
    char path[300];
    int pid = 0;
    snprintf(path, sizeof path, "%s/%d/pid", getenv("ETX_ETCD_DIR"), member);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_true(fscanf(file, "%d", &pid) == 1 || pid == 0); /* it may be being written */
    fclose(file);
    return pid;
}

void fixture_stop(fixture *f, int member) {
    fixture_do(f,
               "pid=$(cat $ETX_ETCD_DIR/%d/pid) && kill -STOP $pid && while grep -h ^State:"
               " /proc/$pid/task/*/status | grep -qv stopped; do sleep 0.01; done",
               member);
}

void fixture_go_on(int member) {
    pid_t server = fixture_pid(member);
    assert_true(server > 1);
    assert_int_equal(kill(server, SIGCONT), 0);
}

void fixture_kill(fixture *f) {
    pid_t before = fixture_pid(0);
    assert_true(before > 1);
    assert_int_equal(kill(before, SIGKILL), 0);
    for (int i = 0; (fixture_pid(0) == before || fixture_pid(0) == 0) && i < AWAIT_STEPS; i++)
        usleep(AWAIT_US);
    fixture_do(f,
               "for i in $(seq 100); do etcdctl endpoint health 2>/dev/null >&2 && exit 0;"
               " sleep 0.1; done; exit 1");
}

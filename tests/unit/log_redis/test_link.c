/* A link to a peer that goes away, says nothing or takes nothing: no wait is for ever, and no
 * signal is raised in the program that the log is a guest of. */
#include "../../../src/integration/log/redis/link.h"

#include <etx/types.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

static volatile sig_atomic_t signals;

static void count_signal(int number) {
    (void)number;
    signals++;
}

typedef struct peer {
    etx__redis_link link;
    char path[64];
    int listener;
    int fd; /* the other end of the link */
} peer;

static void peer_open(peer *p) {
    char why[200];
    char dir[] = "/tmp/etx-link-XXXXXX";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_non_null(mkdtemp(dir));
    snprintf(p->path, sizeof p->path, "%s/s", dir);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", p->path);
    p->listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(p->listener, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(p->listener, 1), 0);
    const etx__redis_address to = {.socket = p->path};
    assert_int_equal(
        etx__redis_link_open(&p->link, &to, etx__redis_now_ms() + 60000, why, sizeof why), 0);
    p->fd = accept(p->listener, NULL, NULL);
    assert_true(p->fd >= 0);
}

static void peer_close(peer *p) {
    etx__redis_link_close(&p->link);
    close(p->listener);
    unlink(p->path);
    *strrchr(p->path, '/') = 0;
    rmdir(p->path);
}

static void test_peer_gone(void **state) {
    char byte;
    peer p;
    (void)state;
    peer_open(&p);
    assert_int_equal(fcntl(p.link.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    close(p.fd);
    signal(SIGPIPE, count_signal);
    assert_int_equal(etx__redis_link_send(&p.link, "x", 1, 0), ETX_EUNAVAILABLE);
    signal(SIGPIPE, SIG_DFL);
    assert_int_equal(signals, 0);
    assert_int_equal(etx__redis_link_receive(&p.link, &byte, 1, 0), 0);
    peer_close(&p);
}

static void test_peer_silent(void **state) {
    enum { MUCH = 16 << 20, WAIT_MS = 100 };
    char byte;
    peer p;
    (void)state;
    char *bytes = calloc(1, MUCH);
    assert_non_null(bytes);
    peer_open(&p);
    uint64_t begin = etx__redis_now_ms();
    assert_int_equal(etx__redis_link_receive(&p.link, &byte, 1, begin + WAIT_MS), -1);
    assert_true(etx__redis_now_ms() >= begin + WAIT_MS);
    begin = etx__redis_now_ms();
    assert_int_equal(etx__redis_link_send(&p.link, bytes, MUCH, begin + WAIT_MS), ETX_EUNAVAILABLE);
    assert_true(etx__redis_now_ms() >= begin + WAIT_MS);
    close(p.fd);
    peer_close(&p);
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peer_gone),
        cmocka_unit_test(test_peer_silent),
    };
    return cmocka_run_group_tests_name("log_redis_link", tests, NULL, NULL);
}

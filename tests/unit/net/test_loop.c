/* The loop: posts from threads, timers, watches, stopping. */
#include "../../../net/loop.h"
#include "../crowd.h"
#include "cmocka_net.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 4, POSTS = 20000 };

typedef struct poster {
    net_task task;
    net_loop *loop;
    _Atomic int sent;
    int run;
    int *left;
} poster;

static void on_task(net_task *task) {
    poster *one = (poster *)task;
    assert_true(net_loop_is_here(one->loop));
    one->run++;
    atomic_store(&one->sent, 0);
    if (one->run == POSTS && --*one->left == 0) {
        net_loop_stop(one->loop);
    }
}

static void *post_many(void *user) {
    poster *one = user;
    for (int i = 0; i < POSTS; i++) {
        atomic_store(&one->sent, 1);
        net_loop_post(one->loop, &one->task);
        while (atomic_load(&one->sent)) {
            sched_yield();
        }
    }
    return NULL;
}

static void test_posts(void **state) {
    net_loop *loop;
    poster posters[THREADS] = {0};
    pthread_t thread[THREADS];
    int left = THREADS;
    (void)state;
    assert_int_equal(net_loop_create(&loop), 0);
    for (int i = 0; i < THREADS; i++) {
        posters[i].task.run = on_task;
        posters[i].loop = loop;
        posters[i].left = &left;
        pthread_create(&thread[i], NULL, post_many, &posters[i]);
    }
    assert_int_equal(net_loop_run(loop), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(posters[i].run, POSTS);
    }
    net_loop_free(loop);
}

typedef struct alarm_clock {
    net_timer timer;
    net_loop *loop;
    int fired;
} alarm_clock;

static void on_alarm(net_timer *timer) {
    alarm_clock *one = (alarm_clock *)timer;
    one->fired++;
    net_loop_stop(one->loop);
}

static uint64_t clock_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void test_timers(void **state) {
    net_loop *loop;
    (void)state;
    assert_int_equal(net_loop_create(&loop), 0);
    usleep(30000); /* the time before the first turn does not count */
    alarm_clock one = {.timer.fire = on_alarm, .loop = loop};
    alarm_clock never = {.timer.fire = on_alarm, .loop = loop};
    uint64_t began = clock_ms();
    net_timer_start(loop, &one.timer, 40);
    net_timer_start(loop, &never.timer, 20);
    net_timer_stop(loop, &never.timer);
    assert_int_equal(net_loop_run(loop), 0);
    assert_true(clock_ms() - began >= 39);
    assert_int_equal(one.fired, 1);
    assert_int_equal(never.fired, 0);
    net_loop_free(loop);
}

typedef struct watcher {
    net_watch watch;
    net_loop *loop;
    struct watcher *other;
    int calls;
} watcher;

/* The first that is told removes the other, which must not be told any more. */
static void on_readable(net_watch *watch, unsigned events) {
    watcher *one = (watcher *)watch;
    assert_true(events & NET_READABLE);
    one->calls++;
    net_watch_remove(one->loop, &one->other->watch);
}

static void test_removed_within_a_turn(void **state) {
    net_loop *loop;
    int a[2];
    int b[2];
    (void)state;
    assert_int_equal(net_loop_create(&loop), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, a), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, b), 0);
    watcher one = {.watch = {.ready = on_readable, .fd = a[0]}, .loop = loop};
    watcher two = {.watch = {.ready = on_readable, .fd = b[0]}, .loop = loop};
    one.other = &two;
    two.other = &one;
    assert_int_equal(net_watch_set(loop, &one.watch, NET_READABLE), 0);
    assert_int_equal(net_watch_set(loop, &two.watch, NET_READABLE), 0);
    assert_int_equal(write(a[1], "x", 1), 1);
    assert_int_equal(write(b[1], "x", 1), 1);
    assert_int_equal(net_loop_turn(loop, 100), 0);
    assert_int_equal(one.calls + two.calls, 1);
    net_watch_remove(loop, &one.watch);
    net_watch_remove(loop, &two.watch);
    for (int i = 0; i < 2; i++) {
        close(a[i]);
        close(b[i]);
    }
    net_loop_free(loop);
}

/* ---- busy polling: as without, but that it does not sleep */

enum { POLL_US = 8 * 1000 * 1000, SOON_MS = 20, LATE_MS = 5 * 1000 };

typedef struct meanwhile {
    net_loop *loop;
    net_task task;
    net_timer timer;
    net_watch watch;
    int pipe[2];
    int calls;
} meanwhile;

static void count_task(net_task *task) {
    meanwhile *one = (meanwhile *)(void *)((char *)task - offsetof(meanwhile, task));
    one->calls++;
}

static void count_timer(net_timer *timer) {
    meanwhile *one = (meanwhile *)(void *)((char *)timer - offsetof(meanwhile, timer));
    one->calls++;
}

static void count_watch(net_watch *watch, unsigned events) {
    meanwhile *one = (meanwhile *)(void *)((char *)watch - offsetof(meanwhile, watch));
    char byte;
    one->calls += (events & NET_READABLE) && read(watch->fd, &byte, 1) == 1;
}

static void *post_soon(void *user) {
    meanwhile *one = user;
    usleep(SOON_MS * 1000);
    net_loop_post(one->loop, &one->task);
    return NULL;
}

static void *write_soon(void *user) {
    meanwhile *one = user;
    usleep(SOON_MS * 1000);
    assert_int_equal(write(one->pipe[1], "x", 1), 1);
    return NULL;
}

static void *stop_soon(void *user) {
    meanwhile *one = user;
    usleep(SOON_MS * 1000);
    net_loop_stop(one->loop);
    return NULL;
}

static uint64_t wall_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t used_us(void) {
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000 + (uint64_t)used.tv_nsec / 1000;
}

/* One turn, or a run, that would poll for eight seconds, while the thread does what it does. */
static void poll_beside(meanwhile *one, void *(*beside)(void *), int (*turns)(net_loop *loop)) {
    pthread_t thread;
    uint64_t begin = wall_ms();
    pthread_create(&thread, NULL, beside, one);
    assert_int_equal(turns(one->loop), 0);
    assert_true(wall_ms() - begin < LATE_MS);
    pthread_join(thread, NULL);
}

static int one_turn(net_loop *loop) {
    return net_loop_turn(loop, -1);
}

/* Hardly any of the processor's time is used. */
static int sleeps_for_a_turn(net_loop *loop) {
    uint64_t used = used_us();
    assert_int_equal(net_loop_turn(loop, 50), 0);
    return used_us() - used < 1000;
}

static void test_busy_poll(void **state) {
    meanwhile one = {.task = {.run = count_task},
                     .timer = {.fire = count_timer},
                     .watch = {.ready = count_watch}};
    (void)state;
    assert_int_equal(net_loop_create(&one.loop), 0);
    assert_int_equal(pipe(one.pipe), 0);
    one.watch.fd = one.pipe[0];
    assert_int_equal(net_watch_set(one.loop, &one.watch, NET_READABLE), 0);
    net_loop_busy_poll(one.loop, POLL_US);

    poll_beside(&one, post_soon, one_turn);
    assert_int_equal(one.calls, 1);
    poll_beside(&one, write_soon, one_turn);
    assert_int_equal(one.calls, 2);
    poll_beside(&one, stop_soon, net_loop_run);
    assert_int_equal(one.calls, 2);

    uint64_t begin = wall_ms();
    net_timer_start(one.loop, &one.timer, SOON_MS);
    while (one.calls == 2) {
        assert_int_equal(net_loop_turn(one.loop, -1), 0);
    }
    assert_true(wall_ms() - begin >= SOON_MS && wall_ms() - begin < LATE_MS);

    /* It does not sleep, but beside others that want the processor. */
    int slept = 1;
    int crowded = 0;
    for (int i = 0; i < 100 && slept; i++) {
        crowded |= crowd_is_here();
        slept = sleeps_for_a_turn(one.loop);
    }
    assert_true(!slept || crowded);
    net_loop_busy_poll(one.loop, 0);
    slept = 0; /* a host that takes the processor for a while seems to use it */
    for (int i = 0; i < 100 && !slept; i++) {
        slept = sleeps_for_a_turn(one.loop);
    }
    assert_true(slept);

    net_watch_remove(one.loop, &one.watch);
    close(one.pipe[0]);
    close(one.pipe[1]);
    net_loop_free(one.loop);
}

static void test_errors(void **state) {
    net_loop *loop;
    (void)state;
    assert_int_equal(net_loop_create(&loop), 0);
    net_watch watch = {.ready = on_readable, .fd = 9999};
    assert_int_equal(net_watch_set(loop, &watch, NET_READABLE), NET_ESYSTEM);
    net_watch_remove(loop, &watch);
    net_loop_stop(loop); /* before the run: it ends at once */
    assert_int_equal(net_loop_run(loop), 0);
    net_loop_free(loop);
    net_loop_free(NULL);
    assert_string_equal(net_strerror(NET_EBUSY), "a limit is reached; try later");
    assert_string_equal(net_strerror(0), "no error");
    assert_string_equal(net_strerror(-999), "unknown error");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_posts),
        cmocka_unit_test(test_timers),
        cmocka_unit_test(test_removed_within_a_turn),
        cmocka_unit_test(test_busy_poll),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

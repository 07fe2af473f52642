/* The event loop: epoll, level-triggered, a timer wheel, and a list that other threads push onto.
 *
 * Waking: a thread that posts pushes its task, and writes to the eventfd only if the loop had said
 * that it goes to sleep. The loop says so first and then looks at the list once more; both sides
 * use sequentially consistent operations, so one of them sees the other.
 *
 * Waiting: what epoll tells became ready after all that was ready then had been told before: after
 * the last call that gave fewer events than there was room for, or during this one, if it slept. */
#include "loop.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "wheel.h"

enum {
    EVENTS_MAX = 256,
    SHORT_US = 200,
    SLEPT_US = 50,
    CROWDED_US = 500,
    POLL_PAUSE_FIRST_US = 10000,
    POLL_PAUSE_CAP_US = 1000000,
    POLL_SOON_US = 100000
};

struct net_loop {
    int epoll;
    int wake;
    _Atomic(net_task *) posted; /* newest first */
    _Atomic int asleep;
    _Atomic int stopped;
    _Atomic(pthread_t) owner;
    uint64_t base_ms;
    uint64_t turns;
    uint64_t ready_from_us; /* nothing of this turn was ready before */
    uint64_t told_all_us;
    uint64_t told_us; /* when epoll told the events of this turn */
    uint32_t poll_us; /* it looks for so long before it sleeps */
    uint64_t polls_from_us;
    uint64_t poll_pause_us; /* so long it did not, the last time */
    int turning;
    net_task *deferred;
    net_task **deferred_end;
    net_task *each_turn; /* NULL: none */
    int events_at;       /* the event being dealt with */
    int events_count;
    struct epoll_event events[EVENTS_MAX];
    net__wheel wheel;
};

static uint64_t clock_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t clock_ms(void) {
    return clock_us() / 1000;
}

int net_loop_create(net_loop **ret_loop) {
    net_loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL) {
        return NET_ENOMEM;
    }
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    /* Edge-triggered: each write is told once, and nobody has to read the number. */
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
    if (loop->epoll < 0 || loop->wake < 0 ||
        epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->wake, &event) != 0) {
        if (loop->epoll >= 0) {
            close(loop->epoll);
        }
        if (loop->wake >= 0) {
            close(loop->wake);
        }
        free(loop);
        return NET_ESYSTEM;
    }
    loop->base_ms = clock_ms();
    loop->deferred_end = &loop->deferred;
    atomic_store(&loop->owner, pthread_self());
    *ret_loop = loop;
    return 0;
}

static void wake_up(net_loop *loop) {
    uint64_t one = 1;
    ssize_t rc;
    do {
        rc = write(loop->wake, &one, sizeof one);
    } while (rc < 0 && errno == EINTR);
}

void net_loop_post(net_loop *loop, net_task *task) {
    net_task *newest = atomic_load_explicit(&loop->posted, memory_order_relaxed);
    do {
        task->next = newest;
    } while (!atomic_compare_exchange_weak(&loop->posted, &newest, task));
    if (atomic_load(&loop->asleep) && atomic_exchange(&loop->asleep, 0)) {
        wake_up(loop);
    }
}

void net_loop_stop(net_loop *loop) {
    atomic_store(&loop->stopped, 1);
    if (atomic_exchange(&loop->asleep, 0)) {
        wake_up(loop);
    }
}

void net_loop_defer(net_loop *loop, net_task *task) {
    task->next = NULL;
    *loop->deferred_end = task;
    loop->deferred_end = &task->next;
}

void net_loop_each_turn(net_loop *loop, net_task *task) {
    loop->each_turn = task;
}

uint64_t net_loop_now_ms(const net_loop *loop) {
    return loop->wheel.now_ms;
}

uint64_t net_loop_turns(const net_loop *loop) {
    return loop->turns;
}

uint64_t net_loop_waited_us(const net_loop *loop) {
    return clock_us() - loop->ready_from_us;
}

void net_loop_busy_poll(net_loop *loop, uint32_t us) {
    loop->poll_us = us;
}

int net_loop_is_here(const net_loop *loop) {
    return pthread_equal(atomic_load_explicit(&loop->owner, memory_order_relaxed), pthread_self());
}

static void run_tasks(net_task *task) {
    while (task != NULL) {
        net_task *next = task->next;
        task->run(task);
        task = next;
    }
}

static void run_posted(net_loop *loop) {
    net_task *newest = atomic_load_explicit(&loop->posted, memory_order_relaxed) == NULL
                           ? NULL
                           : atomic_exchange(&loop->posted, NULL);
    net_task *oldest = NULL;
    while (newest != NULL) {
        net_task *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    run_tasks(oldest);
}

static void run_deferred(net_loop *loop) {
    while (loop->deferred != NULL) {
        net_task *first = loop->deferred;
        loop->deferred = NULL;
        loop->deferred_end = &loop->deferred;
        run_tasks(first);
    }
}

void net_loop_free(net_loop *loop) {
    if (loop == NULL) {
        return;
    }
    atomic_store(&loop->owner, pthread_self());
    while (atomic_load(&loop->posted) != NULL || loop->deferred != NULL) {
        run_posted(loop);
        run_deferred(loop);
    }
    close(loop->epoll);
    close(loop->wake);
    free(loop);
}

/* How long epoll may wait. */
static int wait_ms(net_loop *loop, int timeout_ms) {
    uint64_t next = net__wheel_next(&loop->wheel);
    uint64_t now = clock_ms() - loop->base_ms;
    if (next <= now) {
        return 0;
    }
    if (next == UINT64_MAX || next - now > INT32_MAX) {
        return timeout_ms;
    }
    int until = (int)(next - now);
    return timeout_ms < 0 || until < timeout_ms ? until : timeout_ms;
}

static int look_for_events(net_loop *loop) {
    return epoll_wait(loop->epoll, loop->events, EVENTS_MAX, 0);
}

static int has_posted(net_loop *loop) {
    return atomic_load(&loop->posted) != NULL || atomic_load(&loop->stopped);
}

/* Sleeps until something is ready; the number of events. */
static int sleep_for_events(net_loop *loop, int timeout_ms) {
    atomic_store(&loop->asleep, 1);
    if (has_posted(loop)) {
        timeout_ms = 0;
    }
    int count = epoll_wait(loop->epoll, loop->events, EVENTS_MAX, timeout_ms);
    if (atomic_load_explicit(&loop->asleep, memory_order_relaxed)) {
        atomic_store(&loop->asleep, 0);
    }
    return count;
}

/* Looks again and again for as long as it may, and no longer than it would have slept. Whoever goes
 * first and keeps the processor wants more of it than is left over: for a while it is not polled
 * then, since each look would cost what the scheduler gives to others in one piece; and for twice
 * as long if they do so again soon. */
static int poll_busily(net_loop *loop, uint64_t since_us, int timeout_ms) {
    uint64_t most = loop->poll_us;
    uint64_t now_us = since_us;
    int count = 0;
    if (timeout_ms > 0 && (uint64_t)timeout_ms * 1000 < most) {
        most = (uint64_t)timeout_ms * 1000;
    }
    while (count == 0 && !has_posted(loop) && now_us - since_us < most) {
        uint64_t before_us = now_us;
        sched_yield();
        count = look_for_events(loop);
        now_us = clock_us();
        if (now_us - before_us > CROWDED_US) {
            int soon = now_us < loop->polls_from_us + loop->poll_pause_us + POLL_SOON_US;
            uint64_t pause_us = soon ? 2 * loop->poll_pause_us : POLL_PAUSE_FIRST_US;
            loop->poll_pause_us = pause_us < POLL_PAUSE_CAP_US ? pause_us : POLL_PAUSE_CAP_US;
            loop->polls_from_us = now_us + loop->poll_pause_us;
            return count;
        }
    }
    return count;
}

/* After a short turn the loop most likely sleeps; after a long one it looks first, so that it knows
 * whether what it finds has waited. */
static int wait_for_events(net_loop *loop, int timeout_ms) {
    int count = 0;
    uint64_t before_us = clock_us();
    int polls = timeout_ms != 0 && loop->poll_us > 0 && before_us >= loop->polls_from_us;
    int looks = timeout_ms == 0 || polls || before_us - loop->told_us > SHORT_US;
    if (looks) {
        count = look_for_events(loop);
    }
    int found_nothing = looks && count == 0;
    if (found_nothing && polls) {
        count = poll_busily(loop, before_us, timeout_ms);
    }
    int sleeps = count == 0 && timeout_ms != 0;
    if (sleeps) {
        count = sleep_for_events(loop, timeout_ms);
    }
    if (count < 0 && errno != EINTR) {
        return NET_ESYSTEM;
    }
    uint64_t now_us = clock_us();
    loop->told_us = now_us;
    loop->events_count = count < 0 ? 0 : count;
    int is_new = found_nothing || (sleeps && now_us - before_us > SLEPT_US);
    loop->ready_from_us = is_new ? now_us : loop->told_all_us;
    loop->told_all_us = loop->events_count < EVENTS_MAX ? now_us : loop->ready_from_us;
    loop->turns++;
    return 0;
}

static void run_event(const struct epoll_event *event) {
    net_watch *watch = event->data.ptr;
    if (watch == NULL) {
        return; /* it was woken for what was posted */
    }
    unsigned events = (event->events & (EPOLLIN | EPOLLRDHUP) ? NET_READABLE : 0) |
                      (event->events & EPOLLOUT ? NET_WRITABLE : 0) |
                      (event->events & (EPOLLERR | EPOLLHUP) ? NET_BROKEN : 0);
    watch->ready(watch, events);
}

int net_loop_turn(net_loop *loop, int timeout_ms) {
    if (!net_loop_is_here(loop)) {
        atomic_store(&loop->owner, pthread_self());
    }
    int wait = loop->deferred != NULL ? 0 : timeout_ms == 0 ? 0 : wait_ms(loop, timeout_ms);
    int rc = wait_for_events(loop, wait);
    if (rc != 0) {
        return rc;
    }
    loop->turning = 1;
    net__wheel_advance(&loop->wheel, clock_ms() - loop->base_ms);
    for (loop->events_at = 0; loop->events_at < loop->events_count; loop->events_at++) {
        if (loop->events[loop->events_at].events != 0) {
            run_event(&loop->events[loop->events_at]);
        }
    }
    loop->events_count = 0;
    run_posted(loop);
    run_deferred(loop);
    if (loop->each_turn != NULL) {
        loop->each_turn->run(loop->each_turn);
    }
    loop->turning = 0;
    return 0;
}

int net_loop_run(net_loop *loop) {
    int rc = 0;
    while (rc == 0 && !atomic_load_explicit(&loop->stopped, memory_order_relaxed)) {
        rc = net_loop_turn(loop, -1);
    }
    atomic_store(&loop->stopped, 0);
    return rc;
}

void net_timer_start(net_loop *loop, net_timer *timer, uint64_t delay_ms) {
    uint64_t now = loop->turning ? loop->wheel.now_ms : clock_ms() - loop->base_ms;
    net__wheel_remove(&loop->wheel, timer);
    net__wheel_add(&loop->wheel, timer, now + delay_ms);
}

void net_timer_stop(net_loop *loop, net_timer *timer) {
    net__wheel_remove(&loop->wheel, timer);
}

int net_timer_runs(const net_timer *timer) {
    return timer->previous != NULL;
}

int net_watch_set(net_loop *loop, net_watch *watch, unsigned events) {
    if (watch->added && watch->events == events) {
        return 0;
    }
    struct epoll_event event = {
        .events = (events & NET_READABLE ? EPOLLIN | EPOLLRDHUP : 0) |
                  (events & NET_WRITABLE ? (uint32_t)EPOLLOUT : 0),
        .data.ptr = watch,
    };
    if (epoll_ctl(loop->epoll, watch->added ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, watch->fd, &event)) {
        return NET_ESYSTEM;
    }
    watch->added = 1;
    watch->events = events;
    return 0;
}

void net_watch_remove(net_loop *loop, net_watch *watch) {
    if (!watch->added) {
        return;
    }
    struct epoll_event none = {0};
    epoll_ctl(loop->epoll, EPOLL_CTL_DEL, watch->fd, &none);
    watch->added = 0;
    for (int i = loop->events_at; i < loop->events_count; i++) {
        if (loop->events[i].data.ptr == watch) {
            loop->events[i].events = 0;
        }
    }
}

/* An event loop: descriptors, timers, and work posted from other threads, all on one thread.
 *
 * A program may have many loops, one for each thread that runs one. A loop belongs to the thread
 * that created it until another calls net_loop_run or net_loop_turn; from then on to that one. What
 * is said below to be called on the loop's thread may also be called while no thread runs it and
 * nothing else uses it (before the first run, after the last).
 *
 * Tasks, timers and watches are structs of their users: the loop allocates nothing for them. One
 * that is pending is borrowed until it was run, stopped or removed. No lock is held while one runs.
 * */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdint.h>

#include "error.h"

typedef struct net_loop net_loop;

/* Creates a loop. `*ret_loop` is freed by net_loop_free.
 * Errors: NET_ENOMEM; NET_ESYSTEM (no descriptors left). Any thread. */
int net_loop_create(net_loop **ret_loop);
/* Nothing may be pending: servers and clients of the loop are freed before it, and no other thread
 * is within a call of it (a thread may still be within net_loop_post when its task has run). Tasks
 * that are still posted are run. NULL is allowed. */
void net_loop_free(net_loop *loop);

/* Runs until net_loop_stop: 0, or NET_ESYSTEM. A stop that came before the run ends it at once;
 * each stop ends one run. */
int net_loop_run(net_loop *loop);
/* One turn: waits for at most `timeout_ms` (negative: without end), then runs what is ready. 0, or
 * NET_ESYSTEM. */
int net_loop_turn(net_loop *loop, int timeout_ms);
/* Any thread, and signal handlers. */
void net_loop_stop(net_loop *loop);

/* Milliseconds of the monotonic clock since the loop was created, as of the beginning of this turn.
 * On the loop's thread. */
uint64_t net_loop_now_ms(const net_loop *loop);
/* How many turns there were, this one included. On the loop's thread. */
uint64_t net_loop_turns(const net_loop *loop);
/* Microseconds that a descriptor which this turn deals with may have been ready for, at most: what
 * its user has waited for this thread. On the loop's thread, within a turn. */
uint64_t net_loop_waited_us(const net_loop *loop);
/* From now on a turn that finds nothing ready looks for so many microseconds more before it sleeps;
 * 0, as at first: it sleeps at once. Where a processor that rests takes long to wake (tens of
 * microseconds on a virtual machine) that is what an answer waits for. Whoever else is ready to run
 * goes first; if somebody then runs for half a millisecond, turns sleep at once for a second. On
 * the loop's thread. */
void net_loop_busy_poll(net_loop *loop, uint32_t us);
/* Whether the calling thread is the loop's. Any thread. */
int net_loop_is_here(const net_loop *loop);

/* ---- work from other threads */

typedef struct net_task net_task;
struct net_task {
    void (*run)(net_task *task);
    net_task *next; /* the loop's */
};

/* Has `run` called on the loop's thread, tasks of one thread in their order. The task is borrowed
 * until `run` is called, which may post it again or free it; it must not be posted twice. A loop
 * that sleeps is woken once, however many are posted meanwhile. Any thread; never fails. */
void net_loop_post(net_loop *loop, net_task *task);
/* The same at the end of this turn, after everything that is ready now. On the loop's thread. */
void net_loop_defer(net_loop *loop, net_task *task);

/* Has `run` called at the end of every turn, after all else, until the loop is freed; NULL: no
 * more. What it posts or defers is for the next turn, which then does not sleep. The task is
 * borrowed for as long. On the loop's thread. */
void net_loop_each_turn(net_loop *loop, net_task *task);

/* ---- timers */

typedef struct net_timer net_timer;
struct net_timer {
    void (*fire)(net_timer *timer);
    uint64_t at_ms; /* when, in time of the loop */
    net_timer *next;
    net_timer **previous; /* NULL: not running */
    uint8_t level;        /* the place in the wheel */
    uint8_t slot;
};

/* Starts or restarts a timer: `fire` is called once, not before `delay_ms` (at least 1) are over. A
 * timer begins zeroed but for `fire`. It costs no allocation and no search. On the loop's thread.
 * */
void net_timer_start(net_loop *loop, net_timer *timer, uint64_t delay_ms);
/* Stops it, if it runs: `fire` will not be called. On the loop's thread. */
void net_timer_stop(net_loop *loop, net_timer *timer);
/* Whether it runs. On the loop's thread. */
int net_timer_runs(const net_timer *timer);

/* ---- descriptors */

enum { NET_READABLE = 1, NET_WRITABLE = 4, NET_BROKEN = 8 };

typedef struct net_watch net_watch;
struct net_watch {
    /* `events`: NET_READABLE (data, an end, an error), NET_WRITABLE, NET_BROKEN (error, or both
     * directions are shut; told also when nobody asked). Level-triggered. */
    void (*ready)(net_watch *watch, unsigned events);
    int fd;
    unsigned events; /* what is asked for now */
    int added;       /* the loop's */
};

/* Asks for `events` of `watch->fd`; 0: none, though NET_BROKEN may come. Costs a system call only
 * if it changes something. The descriptor stays the caller's. On the loop's thread.
 * Errors: NET_ESYSTEM (errno). */
int net_watch_set(net_loop *loop, net_watch *watch, unsigned events);
/* Forgets the descriptor: `ready` will not be called, not even for what this turn has found. Before
 * the descriptor is closed. On the loop's thread. */
void net_watch_remove(net_loop *loop, net_watch *watch);

#endif

/* A timer wheel: seven levels of 64 slots, each level 64 times as coarse as the one below. */
#ifndef NET_WHEEL_H
#define NET_WHEEL_H

#include "loop.h"

enum { NET__LEVELS = 7, NET__SLOTS = 64 };

typedef struct net__wheel {
    uint64_t now_ms;
    uint64_t used[NET__LEVELS]; /* a bit for each slot that is not empty */
    net_timer *slot[NET__LEVELS][NET__SLOTS];
    net_timer *due;
} net__wheel;

/* A wheel is zeroed to begin with: its time is 0. */

/* Puts a timer that does not run; times that are not in the future become the next millisecond. */
void net__wheel_add(net__wheel *wheel, net_timer *timer, uint64_t at_ms);
/* Takes it out, if it runs. */
void net__wheel_remove(net__wheel *wheel, net_timer *timer);
/* Goes on to `now_ms` and calls what is due, in the order of time. */
void net__wheel_advance(net__wheel *wheel, uint64_t now_ms);
/* A time before which nothing is due; UINT64_MAX if nothing runs. */
uint64_t net__wheel_next(const net__wheel *wheel);

#endif

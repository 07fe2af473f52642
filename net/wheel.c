/* The timer wheel: adding, removing and the next time are a few instructions each.
 *
 * A timer stands on the level of the highest digit (base 64) in which its time differs from now. So
 * all timers of a slot share the digits above it with now, no slot wraps around, and the slots
 * ahead of now on every level are found by a bit scan. When now reaches the beginning of a slot,
 * its timers go down to finer levels; on the lowest they are due. */
#include "wheel.h"

#include <stddef.h>

enum { DIGIT_BITS = 6, DIGIT_MASK = 63 };
static const uint64_t AHEAD_MAX_MS = UINT64_C(1) << 40; /* 34 years; the wheel ends at 139 */

static void link_timer(net_timer **list, net_timer *timer) {
    timer->next = *list;
    timer->previous = list;
    if (*list != NULL) {
        (*list)->previous = &timer->next;
    }
    *list = timer;
}

static void unlink_timer(net_timer *timer) {
    *timer->previous = timer->next;
    if (timer->next != NULL) {
        timer->next->previous = timer->previous;
    }
    timer->previous = NULL;
    timer->next = NULL;
}

static void place_timer(net__wheel *wheel, net_timer *timer) {
    uint64_t differs = timer->at_ms ^ wheel->now_ms;
    if (differs == 0) {
        timer->level = NET__LEVELS;
        link_timer(&wheel->due, timer);
        return;
    }
    unsigned level = (unsigned)(63 - __builtin_clzll(differs)) / DIGIT_BITS;
    unsigned slot = (unsigned)(timer->at_ms >> (level * DIGIT_BITS)) & DIGIT_MASK;
    timer->level = (uint8_t)level;
    timer->slot = (uint8_t)slot;
    wheel->used[level] |= UINT64_C(1) << slot;
    link_timer(&wheel->slot[level][slot], timer);
}

void net__wheel_add(net__wheel *wheel, net_timer *timer, uint64_t at_ms) {
    uint64_t earliest = wheel->now_ms + 1;
    uint64_t latest = wheel->now_ms + AHEAD_MAX_MS;
    timer->at_ms = at_ms < earliest ? earliest : at_ms > latest ? latest : at_ms;
    place_timer(wheel, timer);
}

void net__wheel_remove(net__wheel *wheel, net_timer *timer) {
    if (timer->previous == NULL) {
        return;
    }
    unlink_timer(timer);
    if (timer->level < NET__LEVELS && wheel->slot[timer->level][timer->slot] == NULL) {
        wheel->used[timer->level] &= ~(UINT64_C(1) << timer->slot);
    }
}

uint64_t net__wheel_next(const net__wheel *wheel) {
    for (unsigned level = 0; level < NET__LEVELS; level++) {
        unsigned shift = level * DIGIT_BITS;
        unsigned digit = (unsigned)(wheel->now_ms >> shift) & DIGIT_MASK;
        uint64_t ahead =
            digit == DIGIT_MASK ? 0 : wheel->used[level] & (~UINT64_C(0) << (digit + 1));
        if (ahead != 0) {
            uint64_t above = wheel->now_ms >> shift >> DIGIT_BITS << DIGIT_BITS;
            return (above | (unsigned)__builtin_ctzll(ahead)) << shift;
        }
    }
    return UINT64_MAX;
}

/* Now has come to the beginning of slots: their timers move down, or are due. */
static void open_slots(net__wheel *wheel) {
    for (unsigned level = NET__LEVELS; level-- > 0;) {
        unsigned shift = level * DIGIT_BITS;
        if ((wheel->now_ms & ((UINT64_C(1) << shift) - 1)) != 0) {
            continue;
        }
        unsigned slot = (unsigned)(wheel->now_ms >> shift) & DIGIT_MASK;
        net_timer *timer;
        wheel->used[level] &= ~(UINT64_C(1) << slot);
        while ((timer = wheel->slot[level][slot]) != NULL) {
            unlink_timer(timer);
            place_timer(wheel, timer);
        }
    }
}

void net__wheel_advance(net__wheel *wheel, uint64_t now_ms) {
    while (wheel->now_ms < now_ms) {
        uint64_t next = net__wheel_next(wheel);
        if (next > now_ms) {
            wheel->now_ms = now_ms;
            return;
        }
        wheel->now_ms = next;
        open_slots(wheel);
        net_timer *timer;
        while ((timer = wheel->due) != NULL) {
            unlink_timer(timer);
            timer->fire(timer);
        }
    }
}

/* The monitor interface: structured events, told when what they say is durable. */
#ifndef ETX_MONITOR_H
#define ETX_MONITOR_H

#include <etx/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, number, text, alarm): an alarm wants a person. Append only. */
#define ETX_EVENT_MAP(X)                                                                        \
    X(BEGUN, 0, "begun", 0)                                                                     \
    X(DECIDED, 1, "decided", 0)                                                                 \
    X(ENDED, 2, "ended", 0)                                                                     \
    X(CALL_UNKNOWN, 3, "call-unknown", 0)     /* no answer, or an error: asked again later */   \
    X(CALL_NONSENSE, 4, "call-nonsense", 1)   /* a callback returned what is no reply */        \
    X(CALL_SLOW, 5, "call-slow", 1)           /* past its timeout and not back */               \
    X(FINISH_REFUSED, 6, "finish-refused", 1) /* confirm, cancel... said no: asked again */     \
    X(STALLED, 7, "stalled", 1)               /* too many failed finishing calls */             \
    X(PARKED, 8, "parked", 0)                 /* by an operator */                              \
    X(RESUMED, 9, "resumed", 0)               /* a stalled or parked one goes on */             \
    X(FORCED, 10, "forced", 1)                                                                  \
    X(UNREGISTERED, 11, "unregistered", 1) /* waits for a participant that nobody has */        \
    X(HOME_DOWN, 12, "home-down", 1)                                                            \
    X(HOME_UP, 13, "home-up", 0)                                                                \
    X(LOG_POISONED, 14, "log-poisoned", 1) /* a write or sync failed: reopening */              \
    X(LOG_FULL, 15, "log-full", 1)                                                              \
    X(LOG_ROOM, 16, "log-room", 0) /* there is room again */                                    \
    X(PARTITION_OWNED, 17, "partition-owned", 0)                                                \
    X(PARTITION_LOST, 18, "partition-lost", 1)                                                  \
    X(LOG_REGRESSED, 19, "log-regressed", 1)                                                    \
    X(CLOCK_STEPPED, 20, "clock-stepped", 1)                                                    \
    X(WORKERS_STUCK, 21, "workers-stuck", 1)   /* all are in calls past their timeout */        \
    X(PARTITION_LEFT, 22, "partition-left", 0) /* handed over to another node */                \
    X(STATE_FAILED, 23, "state-failed", 1)     /* the state directory: damaged, or unwritten */ \
    X(LOSS_ACCEPTED, 24, "loss-accepted", 1)   /* somebody goes on without what was lost */     \
    X(HOME_GRADED, 25, "home-graded", 1)       /* its durability is another than it was */      \
    X(CLOCK_OFF, 26, "clock-off", 1)           /* this machine's, beside that of the store */   \
    X(HOME_MISSED, 27, "home-missed", 1)       /* this node had a home that it has not now */

typedef enum etx_event_type {
#define X(name, number, text, alarm) ETX_EVENT_##name = number,
    ETX_EVENT_MAP(X)
#undef X
} etx_event_type;

/* Strings end with NUL, are never NULL, and are borrowed for the call. What does not apply is ""
 * or 0. */
typedef struct etx_event {
    size_t size;
    etx_event_type type;
    uint8_t alarm;
    uint64_t time_ms; /* since 1970, the machine's clock */
    const char *gid;
    const char *branch;
    const char *participant;
    etx_kind kind;
    etx_operation operation;
    uint32_t attempt;
    etx_state state;
    uint32_t marks;
    etx_durability durability; /* achieved */
    const char *home;          /* its id */
    uint32_t partition;
    const char *reason;
    uint64_t begin_ms; /* when the transaction was begun, since 1970 by its home's clock */
} etx_event;

/* A transaction that ends now, with its branches: etx_ending_branch reads them. It lives for the
 * call. */
typedef struct etx_ending etx_ending;
struct etx_status;

typedef struct etx_monitor {
    size_t size;
    /* Called on the engine's threads, for one partition one at a time: must not block; may call
     * what is marked "from inline callbacks". */
    void (*on_event)(const etx_event *event, void *user);
    void *user; /* borrowed until the engine is freed */
    /* bit 1 << type for each wanted; 0: alarms and all that is not BEGUN, DECIDED, ENDED */
    uint64_t events;
    /* Called as on_event is, when a transaction ends, before anybody is answered: with the last
     * that is known of its branches, which are then let go. Its END is on its way to the log: after
     * a crash it may end once more. NULL: not wanted */
    void (*on_ending)(const struct etx_status *status, const etx_ending *ending, void *user);
} etx_monitor;

#define ETX_MONITOR_INIT \
    { sizeof(etx_monitor), 0, 0, 0, 0 }

/* "decided" and the like. Static. Any thread. */
ETX_API const char *etx_event_name(etx_event_type type);

#ifdef __cplusplus
}
#endif
#endif

/* What can go wrong in the simulated world. */
#ifndef SIMULATION_FAULTS_H
#define SIMULATION_FAULTS_H

/* The fault model.
 *
 * Nodes crash at any moment between two of their steps, and in the middle of one: in a put, a
 * trim, a read, a callback. All that is in their memory is gone then. They pause (all threads at
 * once) and wake long after others took over. Their wall clocks jump; their monotonic ones do not.
 * A store (a log that nodes share) may not be reachable from some nodes or from all. A put may
 * hang, may come to *unknown* with or without effect, and a copy of an unknown put may take effect
 * much later, or at once, while the slot is still free; and what follows it may be refused. What a
 * store shows and nobody was told of may vanish again when it fails over, most often just when
 * somebody has seen it. A store that is restored from an older backup has lost what it
 * acknowledged. Disks fail where puts come by, are full, and while a node is down a bit of a file
 * turns over: that is refused, with the file and the place, and mended, or it is harmless.
 * Calls and answers are lost, late, duplicated and reordered. Participants keep a fence; they
 * refuse, fail, need long, are not there for a while, some forget what they refused, and some say
 * once, of one operation, what is not so. Callbacks outlast their timeouts.
 * Initiators crash, fall silent, and repeat themselves to the wrong node. Operators park, resume
 * and force; they move partitions, and drain nodes.
 * Then all faults stop, and everything must end by itself. */

/* What can go wrong: how often, in chances of 10,000 each time it could. X(name, text, most) */
#define SIM_FAULT_MAP(X)                                                                       \
    X(CRASH, "crash", 30)               /* between two steps */                                \
    X(CRASH_INSIDE, "crash-inside", 60) /* in a put, a read, a callback */                     \
    X(PAUSE, "pause", 20)               /* of all threads of a node */                         \
    X(TAKEOVER, "takeover", 40)         /* another node claims what one owns, for no reason */ \
    X(LOSE, "lose", 1500)               /* calls and answers */                                \
    X(DOUBLE, "double", 1500)                                                                  \
    X(LATE, "late", 1500)     /* arrives after seconds */                                      \
    X(REFUSE, "refuse", 2500) /* a business no */                                              \
    X(FAIL, "fail", 2000)     /* unknown, although it was done or not */                       \
    X(LIE, "lie", 60)         /* a participant says, once, what is not so */                   \
    X(WORKING, "working", 2000)                                                                \
    X(STUCK, "stuck", 300) /* a participant that never answers while faults last */            \
    X(HANG, "hang", 600)   /* a callback that outlasts its timeouts */                         \
    X(PUT_UNKNOWN, "put-unknown", 800)                                                         \
    X(PUT_LATE, "put-late", 5000)      /* a copy of an unknown put takes effect later */       \
    X(PUT_REFUSED, "put-refused", 500) /* not written */                                       \
    X(PUT_HANGS, "put-hangs", 100)                                                             \
    X(OUTAGE, "outage", 30)     /* of a store, or of the way to it */                          \
    X(FAILOVER, "failover", 30) /* of a store: what nobody was told of vanishes */             \
    X(LEASE, "lease", 30)       /* of a store: its clock jumps, and all leases are over */     \
    X(REGRESS, "regress", 4)    /* of a store: restored from an older backup */                \
    X(POWER, "power", 5000)     /* a crash takes what was not synced, too */                   \
    X(DISK_ERROR, "disk-error", 120)                                                           \
    X(DISK_FULL, "disk-full", 120)                                                             \
    X(FLIP, "flip", 1500) /* of a bit on a disk, while its node is down */                     \
    X(CLOCK, "clock", 30) /* a wall clock jumps */                                             \
    X(OPERATOR, "operator", 60)                                                                \
    X(LOOK, "look", 1500)           /* somebody asks about a gid */                            \
    X(EARLY, "early", 600)          /* an abort comes before its begin */                      \
    X(NEST, "nest", 3000)           /* a branch is a transaction itself */                     \
    X(SILENT, "silent", 2500)       /* an initiator goes away */                               \
    X(REPEAT, "repeat", 4000)       /* a client asks again, perhaps another node */            \
    X(CONFUSED, "confused", 400)    /* ... with other content under the same gid */            \
    X(LATE_NAME, "late-name", 1000) /* participants are registered after start */              \
    X(ORDER, "order", 200)          /* operators move partitions and drain nodes */

typedef enum sim_fault {
#define X(name, text, most) SIM_##name,
    SIM_FAULT_MAP(X)
#undef X
        SIM_FAULTS
} sim_fault;

#endif

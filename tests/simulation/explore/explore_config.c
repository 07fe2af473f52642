/* The configurations: each small enough for all that can happen to it. */
#include "explore.h"

#define TCC \
    { .kind = ETX_TCC }
#define TCC_KEEPS \
    { .kind = ETX_TCC, .flags = ETX_KEEPS_REFUSALS }
#define TCC_OWN \
    { .kind = ETX_TCC, .flags = ETX_BY_INITIATOR }
#define TCC_OWN_BYTES \
    { .kind = ETX_TCC, .flags = ETX_BY_INITIATOR, .bytes = 1 }
#define TCC_ONCE \
    { .kind = ETX_TCC, .participant = 1 }
#define XA \
    { .kind = ETX_XA }
#define SAGA \
    { .kind = ETX_SAGA }
#define SAGA_AFTER(places) \
    { .kind = ETX_SAGA, .after = (places) }
#define SAGA_GIVES(places) \
    { .kind = ETX_SAGA, .after = (places), .flags = ETX_WANTS_RESULTS, .bytes = 1 }
#define MESSAGE \
    { .kind = ETX_MESSAGE }
#define NOTIFICATION \
    { .kind = ETX_NOTIFICATION, .participant = 2 }
enum { A = 1, B = 2, C = 4 };

static const explore_config configs[] = {
    {
        .name = "tcc-2",
        .about = "two TCC branches, the second may refuse",
        .tx = {{ETX_SUBMITTED, 2, 2, .branch = {TCC, TCC}}},
        .script = {"B0"},
        .budget = {.crashes = 1, .takeovers = 1, .lost = 1, .outages = 1},
        .refuse = B,
        .quick = 1,
    },
    {
        .name = "tcc-3",
        .about = "three TCC branches, the last may refuse",
        .tx = {{ETX_SUBMITTED, 3, 3, .branch = {TCC, TCC, TCC}}},
        .script = {"B0"},
        .budget = {.crashes = 1, .takeovers = 1, .lost = 1},
        .refuse = C,
        .quick = 1,
    },
    {
        .name = "tcc-3-hard",
        .about = "... with an outage, and timeouts of calls that are only slow",
        .tx = {{ETX_SUBMITTED, 3, 3, .branch = {TCC, TCC, TCC}}},
        .script = {"B0"},
        .budget = {.crashes = 1, .takeovers = 1, .lost = 1, .early = 1, .outages = 1},
        .refuse = C,
    },
    {
        .name = "tcc-keeps",
        .about = "refusals that the fence keeps; slow calls, copies",
        .tx = {{ETX_SUBMITTED, 2, 2, .branch = {TCC_KEEPS, TCC_KEEPS}}},
        .script = {"B0"},
        .budget = {.crashes = 1, .takeovers = 1, .early = 1, .duplicates = 1},
        .refuse = B,
        .quick = 1,
    },
    {
        .name = "limit",
        .about = "a branch that gives up after one attempt",
        .tx = {{ETX_SUBMITTED, 2, 2, .branch = {TCC_ONCE, TCC}}},
        .script = {"B0"},
        .budget = {.crashes = 1, .takeovers = 1, .lost = 1, .early = 2},
        .quick = 1,
    },
    {
        .name = "saga-3",
        .about = "three steps one after another, the last may refuse",
        .tx = {{ETX_SUBMITTED, 3, 3, .branch = {SAGA, SAGA_AFTER(A), SAGA_AFTER(B)}}},
        .script = {"B0"},
        .budget = {.crashes = 1, .takeovers = 1, .lost = 1, .early = 1},
        .refuse = C,
        .quick = 1,
    },
    {
        .name = "saga-3-hard",
        .about = "... two crashes, an outage, a copy",
        .tx = {{ETX_SUBMITTED, 3, 3, .branch = {SAGA, SAGA_AFTER(A), SAGA_AFTER(B)}}},
        .script = {"B0"},
        .budget = {.crashes = 2, .takeovers = 2, .early = 1, .duplicates = 1, .outages = 1},
        .refuse = C,
    },
    {
        .name = "saga-dag",
        .about = "two steps at once, the third after both",
        .tx = {{ETX_SUBMITTED, 3, 3, .branch = {SAGA, SAGA, SAGA_AFTER(A | B)}}},
        .script = {"B0"},
        .budget = {.crashes = 1, .takeovers = 1, .early = 1},
        .refuse = B | C,
        .quick = 1,
    },
    {
        .name = "results",
        .about = "steps that are handed the results of those before",
        .tx = {{ETX_SUBMITTED, 3, 3,
                .branch = {{.kind = ETX_SAGA, .bytes = 1}, SAGA_GIVES(A), SAGA_GIVES(A | B)}}},
        .script = {"B0"},
        .budget = {.crashes = 1, .takeovers = 1, .early = 1, .outages = 1},
        .refuse = C,
        .quick = 1,
    },
    {
        .name = "xa-2",
        .about = "two XA branches",
        .tx = {{ETX_SUBMITTED, 2, 2, .branch = {XA, XA}}},
        .script = {"B0"},
        .budget = {.crashes = 1, .takeovers = 1, .early = 1, .outages = 1},
        .refuse = A,
        .quick = 1,
    },
    {
        .name = "xa-3",
        .about = "three XA branches",
        .tx = {{ETX_SUBMITTED, 3, 3, .branch = {XA, XA, XA}}},
        .script = {"B0"},
        .budget = {.crashes = 1, .takeovers = 1, .early = 1},
        .refuse = A,
    },
    {
        .name = "tcc+saga",
        .about = "a TCC branch and two steps",
        .tx = {{ETX_SUBMITTED, 3, 3, .branch = {TCC, SAGA, SAGA_AFTER(B)}}},
        .script = {"B0"},
        .budget = {.crashes = 1, .takeovers = 1, .lost = 1},
        .refuse = A | C,
        .quick = 1,
    },
    {
        .name = "xa+message",
        .about = "an XA branch, a message, a notification that may fail",
        .tx = {{ETX_SUBMITTED, 3, 3, .branch = {XA, MESSAGE, NOTIFICATION}}},
        .script = {"B0"},
        .budget = {.crashes = 1, .takeovers = 1, .lost = 1},
        .refuse = A,
        .fail = C,
        .quick = 1,
    },
    {
        .name = "notification-3",
        .about = "three notifications, all of which may fail",
        .tx = {{ETX_SUBMITTED, 3, 3, .branch = {NOTIFICATION, NOTIFICATION, NOTIFICATION}}},
        .script = {"B0"},
        .budget = {.crashes = 1, .takeovers = 1, .lost = 1},
        .fail = A | B | C,
    },
    {
        .name = "message",
        .about = "two messages, and an initiator that is asked whether its own transaction "
                 "committed",
        .tx = {{ETX_INTERACTIVE, 2, 2, .deadline = 1, .initiator = 1,
                .branch = {MESSAGE, MESSAGE}}},
        .script = {"B0X0D0"},
        .budget = {.crashes = 1, .takeovers = 1, .early = 1},
        .quick = 1,
    },
    {
        .name = "message-lost",
        .about = "... and a lost call",
        .tx = {{ETX_INTERACTIVE, 2, 2, .deadline = 1, .initiator = 1,
                .branch = {MESSAGE, MESSAGE}}},
        .script = {"B0X0D0"},
        .budget = {.crashes = 1, .takeovers = 1, .lost = 1, .early = 1},
    },
    {
        .name = "interactive-tcc",
        .about = "branches enlisted and done by the initiator, a deadline",
        .tx = {{ETX_INTERACTIVE, 2, 0, .deadline = 1, .branch = {TCC_OWN, TCC_OWN}}},
        .script = {"B0E0T0E1T1D0"},
        .budget = {.crashes = 1, .takeovers = 1, .lost = 1},
        .refuse = B,
        .quick = 1,
    },
    {
        .name = "interactive-outage",
        .about = "... and a store that does not answer",
        .tx = {{ETX_INTERACTIVE, 2, 0, .deadline = 1, .branch = {TCC_OWN, TCC_OWN}}},
        .script = {"B0E0T0E1T1D0"},
        .budget = {.crashes = 1, .takeovers = 2, .outages = 2},
    },
    {
        .name = "interactive-etx",
        .about = "enlisted branches that ETX does itself, a deadline",
        .tx = {{ETX_INTERACTIVE, 2, 0, .deadline = 1, .branch = {TCC, SAGA}}},
        .script = {"B0E0E1D0"},
        .budget = {.crashes = 1, .takeovers = 1},
        .quick = 1,
    },
    {
        .name = "interactive-etx-3",
        .about = "... three of them",
        .tx = {{ETX_INTERACTIVE, 3, 0, .deadline = 1, .branch = {TCC, SAGA, TCC}}},
        .script = {"B0E0E1E2D0"},
        .budget = {.crashes = 1, .takeovers = 1},
        .refuse = B,
    },
    {
        .name = "resumed",
        .about = "a workflow of one step: its code is run again, and older runs go on",
        .tx = {{ETX_RESUMED, 1, 0, .deadline = 1, .initiator = 1, .branch = {TCC_OWN_BYTES}}},
        .script = {"B0E0T0R0C0", "B0E0T0R0C0"},
        .budget = {.crashes = 1, .takeovers = 1, .early = 1},
        .refuse = A,
        .quick = 1,
    },
    {
        .name = "resumed-2",
        .about = "... of two steps",
        .tx = {{ETX_RESUMED, 2, 0, .deadline = 1, .initiator = 1,
                .branch = {TCC_OWN_BYTES, TCC_OWN}}},
        .script = {"B0E0T0R0E1T1R1C0", "B0E0T0R0E1T1R1C0"},
        .budget = {.crashes = 1, .takeovers = 1, .early = 1},
        .refuse = B,
    },
    {
        .name = "resumed-twice",
        .about = "... that are twice silent, or slow",
        .tx = {{ETX_RESUMED, 2, 0, .deadline = 1, .initiator = 1,
                .branch = {TCC_OWN_BYTES, TCC_OWN}}},
        .script = {"B0E0T0R0E1T1R1C0", "B0E0T0R0E1T1R1C0"},
        .budget = {.crashes = 1, .takeovers = 1, .early = 2},
        .refuse = B,
    },
    {
        .name = "held",
        .about = "a nested transaction that was held: only its parent decides",
        .tx = {{ETX_INTERACTIVE, 2, 0, .deadline = 1, .branch = {TCC_OWN, TCC}}},
        .script = {"B0E0T0E1H0D0"},
        .budget = {.crashes = 1, .takeovers = 1, .lost = 1},
        .quick = 1,
    },
    {
        .name = "operator",
        .about = "an operator parks, resumes, forces and settles",
        .tx = {{ETX_SUBMITTED, 2, 2, .branch = {TCC, TCC}}},
        .script = {"B0"},
        .operators = "pracfg",
        .budget = {.crashes = 1, .takeovers = 1, .operators = 1},
        .refuse = B,
        .quick = 1,
    },
    {
        .name = "operator-2",
        .about = "... twice",
        .tx = {{ETX_SUBMITTED, 2, 2, .branch = {TCC, TCC}}},
        .script = {"B0"},
        .operators = "pracfg",
        .budget = {.crashes = 1, .takeovers = 1, .operators = 2},
        .refuse = B,
    },
    {
        .name = "operator-3",
        .about = "... of three branches, three times",
        .tx = {{ETX_SUBMITTED, 3, 3, .branch = {TCC, SAGA, TCC}}},
        .script = {"B0"},
        .operators = "pracfgh",
        .budget = {.crashes = 1, .takeovers = 1, .operators = 3},
        .refuse = B,
    },
    {
        .name = "outage",
        .about = "a store with all its freedom, three times; two takeovers",
        .tx = {{ETX_SUBMITTED, 1, 1, .branch = {TCC}}},
        .script = {"B0"},
        .budget = {.crashes = 1, .takeovers = 2, .outages = 3},
        .refuse = A,
        .quick = 1,
    },
    {
        .name = "outage-2",
        .about = "... of two branches",
        .tx = {{ETX_SUBMITTED, 2, 2, .branch = {TCC, SAGA}}},
        .script = {"B0"},
        .budget = {.crashes = 1, .takeovers = 2, .outages = 3},
        .refuse = A,
    },
    {
        .name = "paused",
        .about = "no crash: owners that are paused and wake after two takeovers",
        .tx = {{ETX_SUBMITTED, 2, 2, .branch = {TCC, TCC}}},
        .script = {"B0"},
        .budget = {.takeovers = 2, .early = 1},
        .refuse = B,
        .quick = 1,
    },
    {
        .name = "paused-thrice",
        .about = "... after three takeovers",
        .tx = {{ETX_SUBMITTED, 2, 2, .branch = {TCC, TCC}}},
        .script = {"B0"},
        .budget = {.takeovers = 3, .early = 1},
        .refuse = B,
    },
    {
        .name = "paused-3",
        .about = "... of three branches, a lost message",
        .tx = {{ETX_SUBMITTED, 3, 3, .branch = {TCC, SAGA, XA}}},
        .script = {"B0"},
        .budget = {.takeovers = 2, .lost = 1, .early = 1},
        .refuse = B,
    },
    {
        .name = "repeats",
        .about = "a confused client begins the same gid again, here and there",
        .tx = {{ETX_SUBMITTED, 1, 1, .branch = {TCC}}},
        .script = {"B0", "B0"},
        .budget = {.crashes = 1, .takeovers = 1, .outages = 1, .repeats = 1},
        .refuse = A,
        .quick = 1,
    },
    {
        .name = "repeats-2",
        .about = "... with two takeovers",
        .tx = {{ETX_SUBMITTED, 1, 1, .branch = {TCC}}},
        .script = {"B0", "B0"},
        .budget = {.crashes = 1, .takeovers = 2, .outages = 1, .repeats = 1},
        .refuse = A,
    },
    {
        .name = "abort-first",
        .about = "an abort that may come before the begin, under a gid that the caller chose",
        .tx = {{ETX_SUBMITTED, 2, 2, .branch = {TCC, SAGA}}},
        .script = {"B0", "A0"},
        .budget = {.crashes = 1, .takeovers = 1, .outages = 1},
        .quick = 1,
    },
    {
        .name = "two",
        .about = "two transactions in one log: a TCC and a saga",
        .tx = {{ETX_SUBMITTED, 1, 1, .branch = {TCC}}, {ETX_SUBMITTED, 1, 1, .branch = {SAGA}}},
        .script = {"B0", "B0"},
        .of = {0, 1},
        .budget = {.crashes = 1, .takeovers = 1},
        .refuse = A,
        .quick = 1,
    },
    {
        .name = "two-outage",
        .about = "... and a store that does not answer",
        .tx = {{ETX_SUBMITTED, 1, 1, .branch = {TCC}}, {ETX_SUBMITTED, 1, 1, .branch = {SAGA}}},
        .script = {"B0", "B0"},
        .of = {0, 1},
        .budget = {.crashes = 1, .takeovers = 1, .outages = 1},
        .refuse = A,
    },
    {
        .name = "two-interactive",
        .about = "two transactions in one log: interactive with a deadline, and submitted",
        .tx = {{ETX_INTERACTIVE, 1, 0, .deadline = 1, .branch = {TCC_OWN}},
               {ETX_SUBMITTED, 2, 2, .branch = {TCC, SAGA}}},
        .script = {"B0E0T0D0", "B0"},
        .of = {0, 1},
        .budget = {.crashes = 1, .takeovers = 1},
    },
};

const explore_config *explore_config_at(unsigned number) {
    return number < sizeof configs / sizeof configs[0] ? &configs[number] : NULL;
}

/* admit: every state of a transaction against every record, with the verdict written out. */
#include "unit.h"

/* Each transaction has branch a (TCC, no result), b (TCC, done) and c (a message); R: refused. */
static const char *const states[] = {
    "unknown", "submitted", "interactive", "resumed",    "held",
    "refused", "complete",  "committing",  "aborting",   "half-committed",
    "ended",   "never-begun",
};
enum { STATES = sizeof states / sizeof states[0] };

/* Columns as in `states`. '.' admitted, S ESTATE, N ENOTFOUND, C ECONFLICT, I EINVALID. */
static const struct row {
    const char *record;
    const char verdict[STATES + 1];
} rows[] = {
    /*                     unk sub int res held ref comp cing aing half end never */
    {"own",                "NIIIIIIIIISS"},
    {"begin same",         ".SSSSSSSSSSC"},
    {"begin other",        ".CCCCCCCCCCC"},
    {"enlist new",         "NS..SSSSSSSS"},
    {"enlist known",       "NSCCSSSSSSSS"},
    {"held",               "NS.S.SSSSSSS"},
    {"forward a done",     "N......S..SS"},
    {"forward b done",     "NSSSSSSSSSSS"},
    {"forward a refused",  "N...S..S..SS"},
    {"forward c done",     "NSSSSSSSSSSS"},
    {"commit a done",      "NSSSSSS.SSSS"},
    {"commit b done",      "NSSSSSS.S.SS"},
    {"commit c done",      "NSSSSSS.S.SS"},
    {"undo a done",        "NSSSSSSS.SSS"},
    {"undo c done",        "NSSSSSSSSSSS"},
    {"forward ? done",     "NNNNNNNNNNSS"},
    {"query a done",       "NSSSSSSSSSSS"},
    {"decide commit",      "N..S..S.SSSS"},
};

int main(void) {
    (void)rows;
    return 0;
}

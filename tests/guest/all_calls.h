/* Every public call that takes an engine or a transaction, for where each has to say the same: in a
 * forked child, and after close. */
#ifndef TESTS_GUEST_ALL_CALLS_H
#define TESTS_GUEST_ALL_CALLS_H

#include "host.h"

enum { ALL_BUILDERS = 4, ALL_BEGUN = 5 };

typedef struct all_calls {
    etx_engine *engine;
    etx_tx *builder[ALL_BUILDERS];
    etx_tx *begun[ALL_BEGUN];
    unsigned told; /* callbacks that came all the same */
} all_calls;

/* Makes the handles, of a started engine; nothing is begun. */
void all_calls_make(all_calls *all, etx_engine *engine);
/* Makes each call once, but for close and free: the name of the first that did not answer `want`
 * (or `want_setup`, if it is for an engine that is not started), or NULL. Consumes all handles. */
const char *all_calls_wrong(all_calls *all, int want, int want_setup);
/* The parent's: the child has consumed its own. */
void all_calls_discard(all_calls *all);

#endif

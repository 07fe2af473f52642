/* What a failed etx_assert does: one line on standard error, then abort. */
#include "assert.h"

#include <stdio.h>
#include <stdlib.h>

/* The only place where the library prints: there is no engine any more that could tell a monitor,
 * and a core dump alone would not say which condition it was. */
void etx__assert_failed(const char *expression, const char *file, int line) {
    fprintf(stderr, "etx: %s:%d: assertion failed: %s\n", file, line, expression);
    abort();
}

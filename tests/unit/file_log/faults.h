/* Faults under the file log: linked with --wrap, these stand before the C library's functions. */
#ifndef ETX_TESTS_UNIT_FILE_LOG_FAULTS_H
#define ETX_TESTS_UNIT_FILE_LOG_FAULTS_H

#include <stddef.h>
#include <stdint.h>

typedef struct faults {
    const char *only; /* acts on files whose path ends so; NULL: on all */
    char watched[64]; /* while `watching`, writes to a file whose path ends so are counted */
    int watching;
    int watched_writes;
    char failed[64];    /* the name of the file whose write failed last */
    int write_error;    /* an errno: writes fail with it */
    size_t write_first; /* bytes that are written before that */
    size_t write_most;  /* a write writes at most so much; 0: no limit */
    int allocate_error;
    int die_at;   /* the process ends at the n-th step that changes the disk */
    int die_torn; /* and half of that write is done */
    int steps;
} faults;

/* The one set of faults of this process; all off at first. */
faults *faults_now(void);

#endif

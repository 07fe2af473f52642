/* The calls of the system that the file log makes: linked with --wrap, these fail or answer as a
 * test asks, and call it back in the middle. */
#ifndef ETX_TESTS_UNIT_FILE_LOG_CALLS_H
#define ETX_TESTS_UNIT_FILE_LOG_CALLS_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

typedef enum call_kind {
    CALL_OPEN,
    CALL_READ,
    CALL_WRITE,
    CALL_STAT,      /* of a descriptor */
    CALL_STAT_NAME, /* of a name */
    CALL_ACCESS,
    CALL_FLOCK,
    CALL_FCNTL, /* F_SETLK */
    CALL_MKDIR,
    CALL_UNLINK,
    CALL_RENAME,
    CALL_ALLOCATE,
    CALL_SYNC,
    CALL_LIST, /* fdopendir, opendir */
    CALL_OWN,
    CALL_RANDOM,
    CALL_MEMORY,
    CALL_THREAD,
    CALL_KINDS
} call_kind;

typedef struct calls {
    struct call_fault {
        int at; /* the n-th from now fails; 0: none */
        int error;
        const char *name; /* only where the path ends so; NULL: all */
        int here;         /* only of the thread that cleared all this */
        unsigned struck;
    } fault[CALL_KINDS];
    void *user;
    void (*on_sleep)(void *user);                  /* instead of sleeping */
    void (*on_open)(const char *name, void *user); /* by the thread that cleared all this */
    void (*on_own)(void *user);
    /* before a write by the thread that cleared all this */
    void (*on_write)(int fd, const void *from, size_t len, uint64_t offset, void *user);
    pthread_t thread;
    unsigned sleeps;
    int pretend_writes; /* they do nothing, and time stands still */
    int other_process;  /* getpid says another number */
    int plain_user;     /* geteuid is not 0 */
    long fs_type;       /* fstatfs says it, if it is not 0 */
    int lock_is;        /* F_GETLK: F_UNLCK (1), locked by an unknown process (2), an error (3) */
    const char *proc;   /* what is read of a /proc/PID/stat, or NULL */
} calls;

/* The one of this process; all off at first. */
calls *calls_now(void);
void calls_clear(void);
/* The `at`-th call of that kind from now, on what ends with `name` (NULL: anything), fails. */
void calls_fail(call_kind kind, int at, int error, const char *name);
/* The same, of those that this thread makes: the log's helper writes and syncs as well, as often as
 * the machine lets it. */
void calls_fail_here(call_kind kind, int at, int error);

/* How many this process has open. */
unsigned calls_descriptors(void);

/* A fixture between two times of all off. */
int calls_setup(void **state);
int calls_teardown(void **state);

#endif

/* A record of what the file log does to its directory, in order; and reads that fail on request. */
#ifndef ETX_TESTS_UNIT_FILE_LOG_DISK_H
#define ETX_TESTS_UNIT_FILE_LOG_DISK_H

#include <pthread.h>
#include <stdint.h>
#include <sys/types.h>

enum { DISK_FILES = 64 };

/* One file, whatever its name is now. */
typedef struct disk_file {
    ino_t inode;
    char name[64];
    char before[64];                  /* its name before the last rename, or "" */
    uint8_t unsynced;                 /* it holds bytes that no sync has covered */
    uint8_t name_loose;               /* renamed, and its directory is not synced since */
    uint64_t writes, lowest, highest; /* since disk_mark */
} disk_file;

typedef struct disk {
    pthread_mutex_t lock;
    int watching;
    disk_file file[DISK_FILES];
    unsigned files;
    char wrong[200]; /* the first promise that was broken, or "" */
    int read_fails;  /* the read that fails: counted down to 0; below 0: none */
    int read_error;
    int sync_error; /* of the next fdatasync of a state file; 0: none */
} disk;

disk *disk_now(void);
void disk_watch(void);
void disk_end(void);
/* Begins to count writes anew. */
void disk_mark(void);
/* The file that has the name now, or NULL. */
const disk_file *disk_find(const char *name);

#endif

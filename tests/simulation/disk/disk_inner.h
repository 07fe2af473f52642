/* What the files of the simulated disk share. */
#ifndef ETX_TESTS_SIMULATION_DISK_INNER_H
#define ETX_TESTS_SIMULATION_DISK_INNER_H

#include "disk.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/types.h>

#define DISK_SECTOR 512u
#define DISK_PAGE 4096u
#define DISK_NAME 40
#define DISK_SCARS 4
#define DISK_NONE UINT32_MAX
#define DISK_ROOT 0u
#define DISK_FD_BASE (1 << 24)
#define DISK_FDS 1024
#define DISK_STREAMS 64
#define DISK_MOUNTS 64
#define DISK_LOGS 64
/* the simulated process */
#define DISK_PID 4242
/* device number of the first disk */
#define DISK_DEVICE 0xd15c0000u

typedef struct disk_page {
    uint32_t refs;
    uint8_t bytes[DISK_PAGE];
} disk_page;

typedef struct disk_entry {
    char name[DISK_NAME];
    uint32_t inode;
} disk_entry;

typedef struct disk_entries {
    disk_entry *at;
    uint32_t count;
    uint32_t capacity;
} disk_entries;

/* `name` goes if there is one; `to` comes, for `inode`, if there is one. */
typedef struct disk_change {
    char name[DISK_NAME];
    char to[DISK_NAME];
    uint32_t inode;
} disk_change;

/* A byte in which a bit was turned over; a scar that nobody sees, durably neither, is none. */
typedef struct disk_scar {
    uint64_t offset;
    uint8_t mask;
    uint8_t seen;
    uint8_t durable;
} disk_scar;

/* A file or a directory. Shared by clones: changed only by way of disk_inode_own. */
typedef struct disk_inode {
    uint32_t refs;
    uint8_t is_dir;
    uint32_t parent; /* of a directory */
    uint64_t number; /* never used again */
    /* a file */
    uint64_t size;
    uint64_t size_durable;
    uint64_t allocated;
    uint32_t pages;      /* in the four arrays */
    disk_page **cache;   /* NULL: zeros */
    disk_page **platter; /* what is durable */
    uint8_t *dirty;      /* sectors that differ, and a sync would write */
    uint8_t *dropped;    /* sectors that differ, and no sync will write */
    disk_scar scars[DISK_SCARS];
    /* a directory */
    disk_entries seen;
    disk_entries durable;
    disk_change *changes;
    uint32_t change_count;
    uint32_t change_capacity;
} disk_inode;

struct disk {
    char mount[64];
    size_t mount_len;
    uint32_t device;
    disk_inode **inodes; /* NULL: free */
    uint32_t inode_count;
    uint64_t next_number;
    uint64_t steps;
    uint64_t limit;
    uint64_t counts[DISK_KINDS];
    uint64_t struck;
    disk_fault faults[DISK_FAULTS_MAX];
    uint32_t fault_count;
    disk_step_fn watcher;
    void *watcher_user;
};

/* An open file. */
typedef struct disk_fd {
    disk *on; /* NULL: free */
    uint32_t inode;
    int flags;
    uint8_t flocked;
    uint8_t proc; /* disk_proc */
} disk_fd;

/* Files of /proc that the file log looks at. */
typedef enum disk_proc { DISK_PROC_NONE, DISK_PROC_STAT, DISK_PROC_FDS } disk_proc;

/* What opendir and fdopendir give. The names are those of the moment. */
typedef struct disk_stream {
    int fd; /* 0: free */
    uint32_t at;
    disk_entries names;
    struct dirent64 entry;
} disk_stream;

/* THE ONE VARIABLE that outlives a function: which paths and descriptors are simulated. The wrapped
 * functions have no other way to know. */
typedef struct disk_table {
    pthread_mutex_t mutex;
    uint8_t threads;
    uint32_t mount_count;
    uint32_t device; /* of the disk made last */
    uint64_t now_ms;
    uint64_t random;
    int fd_high; /* descriptors from here on were never used */
    disk *mounts[DISK_MOUNTS];
    disk_fd fds[DISK_FDS];
    disk_stream streams[DISK_STREAMS];
    struct {
        void *log;
        disk *on;
    } logs[DISK_LOGS];
    uint32_t log_count;
} disk_table;

disk_table *disk_table_now(void);
/* Is everything simulated, processes and time included? */
int disk_alone(void);

/* disk.c */
void *disk_memory(size_t size);
void *disk_memory_more(void *block, size_t size);
disk *disk_of_path(const char *path, const char **ret_below);
disk_fd *disk_fd_of(int fd);
int disk_fd_open(disk *on, uint32_t inode, int flags);
void disk_stream_free(disk_stream *stream);

/* disk_inode.c */
disk_inode *disk_inode_own(disk *on, uint32_t index);
void disk_inode_release(disk_inode *inode);
uint32_t disk_inode_new(disk *on, int is_dir, uint32_t parent);
void disk_collect(disk *on);
void disk_bytes_write(disk *on, uint32_t index, const uint8_t *from, size_t len, uint64_t offset);
void disk_bytes_read(const disk_inode *inode, void *to, size_t len, uint64_t offset);
void disk_size_set(disk *on, uint32_t index, uint64_t size);
void disk_range_sync(disk *on, uint32_t index, uint64_t from, uint64_t to);
void disk_file_drop(disk *on, uint32_t index, uint64_t keep);
void disk_page_settle(disk_inode *inode, uint32_t page, uint8_t kept);

/* disk_scar.c: what becomes of damage. */
void disk_scars_written(disk_inode *inode, uint64_t from, uint64_t to);
void disk_scars_synced(disk_inode *inode, uint32_t page, uint8_t sectors);
void disk_scars_reread(disk_inode *inode, uint32_t page, uint8_t sectors);

/* disk_dir.c */
uint32_t disk_entry_find(const disk_entries *entries, const char *name);
void disk_dir_change(disk *on, uint32_t dir, const char *name, const char *to, uint32_t inode);
void disk_dir_sync(disk *on, uint32_t dir, uint32_t count);
void disk_entries_copy(disk_entries *to, const disk_entries *from);
/* Where a path leads. 0 or an errno; `inode` is DISK_NONE if the last name is not there. */
typedef struct disk_place {
    uint32_t dir;
    uint32_t inode;
    char name[DISK_NAME]; /* the last one; "" for the directory itself */
} disk_place;
int disk_walk(const disk *on, uint32_t from, const char *path, disk_place *ret_place);

/* disk_fault.c: every operation begins here. 1: *ret_fault strikes. */
int disk_begin(disk *on, disk_kind kind, const char *name, disk_fault *ret_fault);
void disk_tell(disk *on, const disk_step *step);
const char *disk_name_of(const disk *on, uint32_t inode);

#endif

/* What the files of the file log share: its structs, its constants, its small verbs. The format
 * is described in docs/log-format.md; file.c opens with the story. */
#ifndef ETX_INTEGRATION_LOG_FILE_H
#define ETX_INTEGRATION_LOG_FILE_H

#include "file_disk.h"
#include "file_format.h"

#include <etx/log_file.h>

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#define ETX__WINDOW (1u << 20)
#define ETX__AHEAD (4 << 20)
#define ETX__FILL_FIRST ((uint64_t)1 << 20) /* zeros that a new log's first segments begin with */
#define ETX__SEGMENT_DEFAULT ((uint64_t)16 << 20)
#define ETX__PARTITIONS_DEFAULT 4u
#define ETX__NONE UINT64_MAX

typedef struct etx__file_segment {
    struct etx__file_segment *next;
    uint32_t number;
    int fd;          /* open while it is a spare or the current one, else -1 */
    uint8_t begun;   /* it holds a whole group */
    uint8_t spoiled; /* delete it, never recycle it */
    uint8_t torn;    /* it ends with a torn group */
    uint64_t first;  /* the slots it holds: from `first` ... */
    uint64_t limit;  /* ... to below `limit` */
    uint64_t zeroed; /* as it was made: zeros were written up to here; ETX__NONE: to its end */
} etx__file_segment;

typedef struct etx__file_queue {
    etx__file_segment *head;
    etx__file_segment *tail;
    uint32_t count;
} etx__file_queue;

/* Where the last slot that may not be cut stands. */
typedef struct etx__file_settled {
    uint64_t next; /* that slot, plus one */
    uint64_t offset;
    uint32_t checksum;
    uint32_t segment;
} etx__file_settled;

typedef struct etx__file_partition {
    etx__file_log *log;
    uint32_t number;
    uint32_t seed; /* of its sectors' checks */
    int state_fd;
    uint8_t state_bad; /* a write of it failed: the next one makes a new file */
    uint8_t poisoned;
    uint8_t loaded;  /* what follows tells what is on disk */
    uint8_t changed; /* something was put since it was opened */
    uint32_t poisoned_number;
    etx__file_state state;
    uint64_t next;           /* the slot that is written next */
    _Atomic uint64_t end;    /* where, in the current segment; its writer's, the helper looks */
    _Atomic uint64_t zeroed; /* in the current segment, a put beyond it ends the filling first */
    uint64_t last_offset;
    uint64_t last_nonce;
    uint32_t last_checksum;
    etx__file_segment *current; /* the last of `held`, or NULL (read only) */
    etx__file_queue held;
    etx__file_tally copied; /* of a copy */
    uint64_t copied_from;   /* ... its first slot */
    etx__file_buffer buffer;
    /* From here on under the log's mutex. */
    etx__file_queue spares;  /* prepared, in ascending order */
    etx__file_queue trimmed; /* to be recycled or deleted */
    uint32_t highest;
    int spare_error;      /* why the last preparation failed, or 0 */
    uint64_t attempts;    /* preparations that ended */
    uint64_t retry_at_ms; /* after a failure */
    uint8_t half;         /* the current segment is half full: two spares are wanted */
    uint8_t wanted_at_once;
    uint8_t working; /* the helper works on it */
    uint8_t storing; /* its state is being written */
    uint8_t settle;  /* `begun` is to be made durable */
    etx__file_settled begun;
    uint8_t held_up; /* the helper must not begin */
    int fill_fd;     /* of the current segment, while the helper writes its zeros, or -1 */
    uint8_t filling;
    uint8_t fill_ends; /* somebody waits for that */
} etx__file_partition;

struct etx__file_log {
    etx_log head;
    etx_allocator allocator;
    etx__file_home home;
    uint8_t read_only;
    uint8_t retired; /* etx_retirement */
    /* read only, and another has it open: it may change under us; of all partitions at once */
    _Atomic uint8_t live;
    uint8_t direct;
    uint8_t unsynced; /* a copy is made: synced segment by segment */
    uint8_t making;   /* its first segments: most of their zeros come later */
    uint8_t dir_made; /* by this opening */
    uint8_t made;     /* what an earlier making has left is removed */
    uint8_t helper_runs;
    uint8_t stop;
    int dir_fd;
    int lock_fd;
    pid_t pid;
    pthread_t helper;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    uint64_t group_max;
    size_t batch_max;
    etx__file_partition *partitions;
    char dir[4096];
};

/* Reads one segment from front to back. */
typedef struct etx__file_reader {
    etx__file_partition *partition;
    int fd;
    uint32_t number;
    uint8_t ahead; /* all of it will be read */
    uint64_t window_at;
    size_t window_len;
    etx__file_buffer window;
    etx__file_buffer group;
} etx__file_reader;

typedef struct etx__file_list {
    struct etx__file_entry {
        uint32_t partition;
        uint32_t number;
    } * entries; /* segments, sorted */
    size_t count;
    size_t capacity;
    uint8_t home;
    uint8_t home_tmp;
    uint8_t copying;    /* a copy that is not finished */
    uint8_t moved;      /* the log was retired */
    uint32_t leftovers; /* other files of ours */
    char foreign[256];  /* a name that is none of ours, or "" */
} etx__file_list;

typedef struct etx__file_url {
    char dir[4096];
    uint32_t partitions;   /* 0: not said */
    uint64_t segment_size; /* 0: not said */
    int direct;            /* -1: not said */
    uint8_t copy;          /* a copy is made: synced and given its `home` at its end */
    int again;             /* ... over an unfinished one, whose files go */
    uint8_t look;          /* ... to be looked at */
} etx__file_url;

/* file_dir.c: the directory, its home file and its names. */
void etx__file_segment_name(char name[ETX__NAME_SIZE], uint32_t partition, uint32_t number);
void etx__file_spare_name(char name[ETX__NAME_SIZE], uint32_t partition);
int etx__file_list_read(int dir_fd,
                        const etx_allocator *allocator,
                        etx__file_list *ret_list,
                        const etx__file_words *words);
void etx__file_list_free(const etx_allocator *allocator, etx__file_list *list);
int etx__file_dir_open(etx__file_log *log, int create, const etx__file_words *words);
int etx__file_in_memory(const etx__file_log *log);
int etx__file_refuse_in_memory(const etx__file_log *log, const etx__file_words *words);
int etx__file_home_read(etx__file_log *log, const etx__file_words *words);
int etx__file_home_write(etx__file_log *log, const char *name, const etx__file_words *words);
int etx__file_dir_clear(etx__file_log *log, const etx__file_words *words);
int etx__file_dir_judge(etx__file_log *log, const etx__file_list *list, etx__file_fault *fault);
int etx__file_mark_copy(etx__file_log *log, const etx__file_words *words);
int etx__file_unmark_copy(etx__file_log *log);
int etx__file_id_draw(char first, char ret_id[ETX_HOME_ID_LEN + 1]);

/* file_state.c: the state file of a partition: trim mark and settled mark. */
int etx__file_state_make(etx__file_partition *partition, const etx__file_state *state);
int etx__file_state_load(etx__file_partition *partition, int tolerant, etx__file_fault *fault);
int etx__file_state_store(etx__file_partition *partition, const etx__file_state *state);
int etx__file_settle(etx__file_partition *partition, uint64_t mark, uint32_t flags);
void etx__file_settle_begun(etx__file_partition *partition);
void etx__file_settle_soon(etx__file_partition *partition);

/* file_lock.c: one process, one engine. */
int etx__file_lock_take(etx__file_log *log, const etx__file_words *words);
void etx__file_lock_drop(etx__file_log *log);
int etx__file_lock_check(etx__file_log *log);
int etx__file_lock_probe(const char *dir, int *ret_pid);

/* file_segment.c: spares, prepared ahead by the helper thread. */
void etx__file_queue_push(etx__file_queue *queue, etx__file_segment *segment);
etx__file_segment *etx__file_queue_pop(etx__file_queue *queue);
etx__file_segment *etx__file_segment_new(etx__file_log *log, uint32_t number);
void etx__file_segment_free(etx__file_log *log, etx__file_segment *segment);
void etx__file_queue_free(etx__file_log *log, etx__file_queue *queue);
int etx__file_segment_open(etx__file_partition *partition, etx__file_segment *segment);
int etx__file_segment_prepare(etx__file_partition *partition, int *ret_error);
int etx__file_segment_take(etx__file_partition *partition, int begins, int *ret_error);
int etx__file_helper_turn(etx__file_log *log);
int etx__file_helper_start(etx__file_log *log);
void etx__file_helper_stop(etx__file_log *log);
void etx__file_helper_hold(etx__file_partition *partition);
void etx__file_helper_release(etx__file_partition *partition);
void etx__file_changed_wait(etx__file_log *log, uint32_t most_ms);

/* file_fill.c: the zeros of a new log's first segments. */
void etx__file_fill_begin(etx__file_partition *partition);
void etx__file_fill_end(etx__file_partition *partition);
etx__file_partition *etx__file_fill_next(const etx__file_log *log);
void etx__file_fill_some(etx__file_partition *partition);

/* file_read.c: groups, read and judged. */
void etx__file_reader_init(etx__file_reader *reader, etx__file_partition *partition);
void etx__file_reader_free(etx__file_reader *reader);
int etx__file_reader_open(etx__file_reader *reader, uint32_t number, etx__file_fault *fault);
int etx__file_reader_peek(etx__file_reader *reader,
                          etx__file_stamp *ret_stamp,
                          etx__file_fault *fault);
int etx__file_reader_group(etx__file_reader *reader,
                           uint64_t offset,
                           uint64_t slot,
                           etx__file_group *ret_group,
                           etx__file_fault *fault);
int etx__file_reader_tail(etx__file_reader *reader,
                          uint64_t offset,
                          uint64_t slot_min,
                          uint64_t slot_max,
                          etx__file_fault *fault);
int etx__file_get(etx__file_partition *partition,
                  uint64_t from,
                  etx_slot_fn visit,
                  void *user,
                  etx__file_fault *fault);

/* file_recover.c: what a directory holds after a crash. */
int etx__file_recover(etx__file_partition *partition,
                      const etx__file_list *list,
                      int poisoned,
                      etx__file_fault *fault);
int etx__file_fault_again(const etx__file_fault *fault, etx__file_fault *before, int *times);
int etx__file_chain_load(etx__file_partition *partition,
                         const etx__file_list *list,
                         etx__file_fault *fault);
void etx__file_partition_forget(etx__file_partition *partition);

/* file_put.c: put, trim, space. */
etx_put_result etx__file_append(etx__file_partition *partition, etx_put *put);
etx_put_result etx__file_put(etx_log *log, etx_put *put);
int etx__file_trim(etx_log *log, uint32_t partition, uint64_t below);
int etx__file_space(etx_log *log, uint32_t partition, etx_log_space *ret_space);

/* file.c and file_url.c */
int etx__file_url_parse(const char *url, etx__file_url *ret_url, const etx__file_words *words);
int etx__file_name_long(size_t len, const etx__file_words *words);
int etx__file_open(const etx_log_config *config,
                   const etx__file_url *url,
                   const char *id,
                   etx__file_log **ret_log);
int etx__file_new(const etx_log_config *config, const etx__file_url *url, etx__file_log **ret_log);
void etx__file_free(etx__file_log *log);
int etx__file_partitions_make(etx__file_log *log);
int etx__file_partition_reload(etx__file_partition *partition,
                               int poisoned,
                               etx__file_fault *fault);
int etx__file_partition_look(etx__file_partition *partition, etx__file_fault *fault);
void etx__file_limits_set(etx__file_log *log);
void etx__file_close(etx__file_log *log, int clean);

/* file_care.c, file_copy.c: verify, and copies. */
int etx__file_care_open(const char *dir,
                        etx__file_log **ret_log,
                        etx__file_list *ret_list,
                        const etx__file_words *words);
void etx__file_tally_add(etx__file_tally *tally, const etx_slot *slot);
int etx__file_copy_begin(const etx__file_log *source,
                         const char *dest,
                         int same_id,
                         etx__file_log **ret_copy,
                         const etx__file_words *words);
int etx__file_copy_slot(const etx_slot *slot, void *user);
int etx__file_copy_partition_end(etx__file_partition *copy, uint64_t mark);
int etx__file_copy_end(etx__file_log *copy,
                       int rc,
                       etx_file_report *report,
                       const etx__file_words *words);

/* file_retire.c: what takes its place, and whether something has taken this one's. */
int etx__file_retired_read(etx__file_log *log, char *ret_words, size_t size);
int etx__file_retire(etx_log *head,
                     etx_retirement what,
                     const char *words,
                     char *message,
                     size_t message_size);
int etx__file_successor_begin(const etx_log_config *config,
                              const etx_log_info *source,
                              etx_log **ret_log);
int etx__file_successor_slot(etx_log *head,
                             const etx_slot *slot,
                             char *message,
                             size_t message_size);
int etx__file_successor_end(etx_log *head, int whole, char *message, size_t message_size);

#endif

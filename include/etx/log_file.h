/* Looking after the directories of file logs: verify, back up, repair. For `etx log`, and for
 * programs like it. */
#ifndef ETX_LOG_FILE_H
#define ETX_LOG_FILE_H

#include <etx/log.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum etx_file_state {
    ETX_FILE_SOUND = 0,
    /* the last group of a partition is torn: opening will cut it, nothing acknowledged is lost */
    ETX_FILE_TORN = 1,
    ETX_FILE_CORRUPT = 2 /* anything else */
} etx_file_state;

/* One thing that was found. Strings are borrowed for the call. */
typedef struct etx_file_finding {
    size_t size;
    etx_file_state state;
    uint32_t partition;
    const char *file; /* its path */
    uint64_t offset;  /* bytes from its start */
    uint64_t slot;    /* the slot concerned, or the one expected there */
    const char *text; /* what is wrong and what to do */
} etx_file_finding;

typedef void (*etx_file_finding_fn)(const etx_file_finding *finding, void *user);

typedef struct etx_file_report {
    size_t size; /* sizeof(etx_file_report), set by the caller; 0: ETX_EINVALID, nothing is done */
    etx_file_state state; /* the worst finding */
    uint32_t partitions;
    uint64_t segments; /* files, those prepared for later included */
    uint64_t slots;
    uint64_t bytes; /* of the slots' groups, whole blocks */
    uint8_t clean;  /* the log was closed in order */
    uint8_t in_use; /* a process has it open now */
    int owner_pid;  /* in use: by whom; 0 if that cannot be told */
} etx_file_report;

/* Reads a whole log, changes nothing, and calls `found` for each finding. The log may be in use.
 * A finding with ETX_FILE_SOUND says that the log is retired, and what has its place ('etx log
 * copy'). 0 also where the state is not sound. ret_report may be NULL. Errors: ETX_ENOTFOUND (no
 * log there), ETX_EINVALID, ETX_EVERSION, ETX_EIO, ETX_ENOMEM; with message. */
ETX_API int etx_log_file_verify(const char *dir,
                                etx_file_finding_fn found,
                                void *user,
                                etx_file_report *ret_report,
                                char *message,
                                size_t message_size);
/* Copies a log that may be in use into DEST, which must not exist or be empty. The copy holds
 * everything that was acknowledged before the call, ends at a whole group in each partition, and
 * is durable when this returns. `same_id` 1 is for a backup: the copy has the original's home id
 * and can take its place once that is lost; never start engines on both, each would decide by
 * itself. 0 is for a copy to look at: it gets an id of its own; the gids that ETX made name the
 * original still (ETX_EUNAVAILABLE here), and no engine starts with this home (ETX_ECONFLICT) but
 * one with ETX_INSPECT. Errors as verify, and ETX_EBUSY (DEST not empty), ETX_EINVALID (DEST lies
 * in DIR), ETX_ECORRUPT. */
ETX_API int etx_log_file_backup(const char *dir,
                                const char *dest,
                                int same_id,
                                etx_file_report *ret_report,
                                char *message,
                                size_t message_size);
/* Copies what is sound of a damaged, closed log into DEST, up to the first damage of each
 * partition; never in place. `found` is told what is damaged. `accept_loss` 0: if anything may be
 * lost it only tells, writes nothing, and returns ETX_ECORRUPT; damage that hides no slot is
 * repaired; a sound or torn log is left alone. ret_report->state is the worst finding; the figures
 * are those of DEST, or of DIR where nothing was written. Errors as backup, and ETX_EBUSY (in
 * use). */
ETX_API int etx_log_file_repair(const char *dir,
                                const char *dest,
                                int accept_loss,
                                etx_file_finding_fn found,
                                void *user,
                                etx_file_report *ret_report,
                                char *message,
                                size_t message_size);

/* What a durable write costs on the file system of `dir`, written as the log writes: a zero-filled
 * file of its own, 4 KiB at a time, one writer, the same flags. `dir` is there; or it is the URL of
 * a log in such a directory ("file:DIR?direct=0"), whose options count. Takes about
 * `milliseconds`. Errors: ETX_ENOTFOUND (no such directory), ETX_EINVALID (also: size 0),
 * ETX_EFULL, ETX_EIO, ETX_ENOMEM; with message. */
typedef struct etx_sync_cost {
    size_t size; /* sizeof(etx_sync_cost), set by the caller */
    double p50_us;
    double p99_us;
    double per_s;
    uint64_t count;
} etx_sync_cost;
ETX_API int etx_log_file_sync_cost(const char *dir,
                                   uint32_t milliseconds,
                                   etx_sync_cost *ret_cost,
                                   char *message,
                                   size_t message_size);

#ifdef __cplusplus
}
#endif
#endif

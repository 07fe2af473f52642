/* The state directory: what a node remembers of the homes that it shares with others, so that a
 * store which was restored from an older backup while no node ran is noticed. */
#ifndef ETX_SEEN_H
#define ETX_SEEN_H

#include <etx/log.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The last slot of a partition that the store acknowledged to this node. */
typedef struct etx_seen_mark {
    uint64_t slot;
    uint64_t accepted_ms; /* of the newest loss that was accepted before it; 0: none */
    uint32_t checksum;    /* of that slot */
    uint8_t known;        /* 0: nothing is remembered of this partition */
} etx_seen_mark;

/* What a node remembers of one home. */
typedef struct etx_seen {
    size_t size;
    char home[ETX_HOME_ID_LEN + 1];
    char url[256];       /* as it may be shown */
    char identity[160];  /* of the store, as its adapter told (etx_log_info.identity); or "" */
    uint64_t written_ms; /* since 1970 */
    uint32_t partitions;
    etx_seen_mark *mark; /* by partition */
} etx_seen;

/* Reads what `dir` has of the home with that id. Errors: ETX_ENOTFOUND (nothing), ETX_ECORRUPT (not
 * as it was written), ETX_EVERSION, ETX_EIO, ETX_ENOMEM; with a message that names the file. Any
 * thread. */
ETX_API int etx_seen_read(const char *dir,
                          const char *home,
                          etx_seen *ret_state,
                          char *message,
                          size_t message_size);
/* Frees what was read, not the struct. */
ETX_API void etx_seen_free(etx_seen *state);

#ifdef __cplusplus
}
#endif
#endif

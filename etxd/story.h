/* Stories: what is known of transactions when they end, kept of those that ended last. */
#ifndef ETXD_STORY_H
#define ETXD_STORY_H

#include <etx/tx.h>

typedef struct etxd_stories etxd_stories;
typedef struct etxd_story etxd_story;

/* Of one branch, payload and result are kept up to so many bytes each. */
enum { ETXD_STORY_BYTES_MAX = 16384 };

/* What is told of a branch, beside its etx_branch_status. */
typedef struct etxd_story_branch {
    etx_branch_status status;
    uint8_t payload_cut, result_cut; /* more than ETXD_STORY_BYTES_MAX: what is there is cut */
} etxd_story_branch;

/* Stories in so many bytes: the oldest give way. 0 bytes: none is kept, and *ret_stories is NULL,
 * which all functions take. 0, or -1: no memory. */
int etxd_stories_create(uint64_t bytes, etxd_stories **ret_stories);
void etxd_stories_free(etxd_stories *stories);
/* Keeps a story, as etx_monitor.on_ending tells it. Any thread. */
void etxd_stories_take(etxd_stories *stories, const etx_status *status, const etx_ending *ending);
/* A copy of the story of what was begun under the gid then, to be freed by free(); NULL: it is not
 * kept, or there is no memory. Any thread. */
etxd_story *etxd_stories_find(etxd_stories *stories, const char *gid, uint64_t begin_ms);
/* Completes the status of what has ended: 1, or 0 if the story is not kept. Any thread. */
int etxd_stories_complete(etxd_stories *stories, etx_status *status);
void etxd_story_complete(const etxd_story *story, etx_status *status);
/* The next branch of it: `*at` is 0 before the first, and nothing else is to be done with it. 1,
 * or 0 behind the last. What it gives points into the story. */
int etxd_story_next(const etxd_story *story, size_t *at, etxd_story_branch *ret_branch);

#endif

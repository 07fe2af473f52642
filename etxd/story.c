/* The ring of stories. */
#include "story.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

/* The engine's threads put a story into the ring when a transaction ends: its head, then its
 * branches, each with its texts and bytes behind it, in one piece that is never changed. Who asks
 * takes a copy. Places count on for ever, and are taken modulo the ring's size: one below `oldest`
 * was written over, so the chains of the index need no mending when a story gives way. No story
 * crosses the ring's end; what is left there belongs to the one before. */

enum { PER_BUCKET = 512, ALIGNED = 16 };

struct etxd_story {
    uint64_t size; /* with what is behind it, and what is left at the ring's end */
    uint64_t next; /* in its bucket: the place + 1 */
    uint64_t begin_ms, deadline_ms, decided_ms;
    uint32_t branches;
    uint32_t length; /* with its branches */
    uint8_t mode;
    char gid[]; /* ended by NUL */
};

/* Behind it: name, participant, reason, each with its NUL; payload; result. */
typedef struct branch_head {
    uint32_t size;
    uint32_t payload_len, result_len;
    uint32_t flags, settled, attempts, failures, forward_attempts;
    uint8_t kind, forward, finish, payload_cut, result_cut;
    uint8_t name_len, participant_len, reason_len;
} branch_head;

struct etxd_stories {
    pthread_mutex_t lock;
    uint8_t *ring;
    uint64_t *bucket; /* the newest place + 1 */
    uint64_t size;
    uint64_t oldest, end, newest; /* places */
    uint32_t mask;                /* of buckets */
};

static size_t round_up(size_t size) {
    return (size + ALIGNED - 1) & ~(size_t)(ALIGNED - 1);
}

int etxd_stories_create(uint64_t bytes, etxd_stories **ret_stories) {
    etxd_stories *stories;
    uint32_t buckets = 64;
    *ret_stories = NULL;
    if (bytes == 0) {
        return 0;
    }
    while (buckets < bytes / PER_BUCKET && buckets < 1U << 30) {
        buckets *= 2;
    }
    stories = calloc(1, sizeof *stories);
    if (stories == NULL) {
        return -1;
    }
    stories->size = bytes & ~(uint64_t)(ALIGNED - 1);
    stories->mask = buckets - 1;
    stories->ring = malloc(stories->size);
    stories->bucket = calloc(buckets, sizeof *stories->bucket);
    pthread_mutex_init(&stories->lock, NULL);
    if (stories->ring == NULL || stories->bucket == NULL) {
        etxd_stories_free(stories);
        return -1;
    }
    *ret_stories = stories;
    return 0;
}

void etxd_stories_free(etxd_stories *stories) {
    if (stories != NULL) {
        pthread_mutex_destroy(&stories->lock);
        free(stories->bucket);
        free(stories->ring);
        free(stories);
    }
}

static etxd_story *story_at(const etxd_stories *stories, uint64_t place) {
    return (etxd_story *)(void *)(stories->ring + place % stories->size);
}

static uint64_t *bucket_of(const etxd_stories *stories, const char *gid) {
    return &stories->bucket[etxd_hash(gid) & stories->mask];
}

/* Before the first branch. */
static size_t head_size(const char *gid) {
    return round_up(sizeof(etxd_story) + strlen(gid) + 1);
}

/* ---- taking */

static uint32_t cut(size_t len) {
    return len < ETXD_STORY_BYTES_MAX ? (uint32_t)len : ETXD_STORY_BYTES_MAX;
}

static branch_head head_of(const etx_branch_status *branch) {
    branch_head head = {.payload_len = cut(branch->payload.len),
                        .result_len = cut(branch->result.len),
                        .flags = branch->flags,
                        .settled = branch->settled,
                        .attempts = branch->attempts,
                        .failures = branch->failures,
                        .forward_attempts = branch->forward_attempts,
                        .kind = (uint8_t)branch->kind,
                        .forward = (uint8_t)branch->forward,
                        .finish = (uint8_t)branch->finish,
                        .payload_cut = branch->payload.len > ETXD_STORY_BYTES_MAX,
                        .result_cut = branch->result.len > ETXD_STORY_BYTES_MAX,
                        .name_len = (uint8_t)strlen(branch->name),
                        .participant_len = (uint8_t)strlen(branch->participant),
                        .reason_len = (uint8_t)strlen(branch->reason)};
    head.size = (uint32_t)round_up(sizeof head + head.name_len + head.participant_len +
                                   head.reason_len + 3U + head.payload_len + head.result_len);
    return head;
}

static size_t measure(const etx_status *status, const etx_ending *ending) {
    etx_branch_status branch = {.size = sizeof branch};
    size_t size = head_size(status->gid);
    uint32_t i;
    for (i = 0; etx_ending_branch(ending, i, &branch) == 0; i++) {
        size += head_of(&branch).size;
    }
    return size;
}

static uint8_t *put_bytes(uint8_t *to, const void *bytes, size_t len) {
    if (len > 0) {
        memcpy(to, bytes, len);
    }
    return to + len;
}

static uint8_t *put_branch(uint8_t *to, const etx_branch_status *branch) {
    const branch_head head = head_of(branch);
    uint8_t *at = put_bytes(to, &head, sizeof head);
    at = put_bytes(at, branch->name, head.name_len + 1U);
    at = put_bytes(at, branch->participant, head.participant_len + 1U);
    at = put_bytes(at, branch->reason, head.reason_len + 1U);
    at = put_bytes(at, branch->payload.data, head.payload_len);
    (void)put_bytes(at, branch->result.data, head.result_len);
    return to + head.size;
}

/* Where a story of that size goes: in one piece, and what was there before gives way. */
static uint64_t make_room(etxd_stories *stories, size_t size) {
    uint64_t left = stories->size - stories->end % stories->size;
    if (size > left && stories->oldest == stories->end) {
        stories->oldest += left;
        stories->end += left;
    } else if (size > left) {
        story_at(stories, stories->newest)->size += left;
        stories->end += left;
    }
    while (stories->end + size - stories->oldest > stories->size) {
        stories->oldest += story_at(stories, stories->oldest)->size;
    }
    return stories->end;
}

static void put_story(etxd_stories *stories,
                      size_t size,
                      const etx_status *status,
                      const etx_ending *ending) {
    etx_branch_status branch = {.size = sizeof branch};
    uint64_t *bucket = bucket_of(stories, status->gid);
    uint64_t place = make_room(stories, size);
    etxd_story *story = story_at(stories, place);
    uint8_t *at = (uint8_t *)story + head_size(status->gid);
    uint32_t i;
    *story = (etxd_story){.size = size,
                          .begin_ms = status->begin_ms,
                          .deadline_ms = status->deadline_ms,
                          .decided_ms = status->decided_ms,
                          .length = (uint32_t)size,
                          .mode = (uint8_t)status->mode};
    memcpy(story->gid, status->gid, strlen(status->gid) + 1);
    for (i = 0; etx_ending_branch(ending, i, &branch) == 0; i++) {
        at = put_branch(at, &branch);
    }
    story->branches = i;
    story->next = *bucket;
    *bucket = place + 1;
    stories->newest = place;
    stories->end = place + size;
}

void etxd_stories_take(etxd_stories *stories, const etx_status *status, const etx_ending *ending) {
    size_t size = stories != NULL ? measure(status, ending) : 0;
    if (stories == NULL || size > stories->size) {
        return;
    }
    pthread_mutex_lock(&stories->lock);
    put_story(stories, size, status, ending);
    pthread_mutex_unlock(&stories->lock);
}

/* ---- finding */

/* Under the lock. */
static const etxd_story *find(const etxd_stories *stories, const char *gid, uint64_t begin_ms) {
    uint64_t next = *bucket_of(stories, gid);
    while (next > stories->oldest) {
        const etxd_story *story = story_at(stories, next - 1);
        if (story->begin_ms == begin_ms && strcmp(story->gid, gid) == 0) {
            return story;
        }
        next = story->next;
    }
    return NULL;
}

etxd_story *etxd_stories_find(etxd_stories *stories, const char *gid, uint64_t begin_ms) {
    const etxd_story *story;
    etxd_story *copy = NULL;
    if (stories == NULL) {
        return NULL;
    }
    pthread_mutex_lock(&stories->lock);
    story = find(stories, gid, begin_ms);
    copy = story != NULL ? malloc(story->length) : NULL;
    if (copy != NULL) {
        memcpy(copy, story, story->length);
    }
    pthread_mutex_unlock(&stories->lock);
    return copy;
}

void etxd_story_complete(const etxd_story *story, etx_status *status) {
    status->mode = (etx_mode)story->mode;
    status->deadline_ms = story->deadline_ms;
    status->decided_ms = story->decided_ms;
    status->branch_count = story->branches;
}

int etxd_stories_complete(etxd_stories *stories, etx_status *status) {
    const etxd_story *story = NULL;
    if (stories == NULL) {
        return 0;
    }
    pthread_mutex_lock(&stories->lock);
    story = find(stories, status->gid, status->begin_ms);
    if (story != NULL) {
        etxd_story_complete(story, status);
    }
    pthread_mutex_unlock(&stories->lock);
    return story != NULL;
}

int etxd_story_next(const etxd_story *story, size_t *at, etxd_story_branch *ret_branch) {
    size_t place = *at > 0 ? *at : head_size(story->gid);
    const uint8_t *bytes = (const uint8_t *)story + place;
    const branch_head *head = (const branch_head *)(const void *)bytes;
    etx_branch_status *to = &ret_branch->status;
    if (place >= story->length) {
        return 0;
    }
    *at = place + head->size;
    bytes += sizeof *head;
    *to = (etx_branch_status){.size = sizeof *to,
                              .kind = (etx_kind)head->kind,
                              .flags = head->flags,
                              .forward = (etx_reply)head->forward,
                              .finish = (etx_reply)head->finish,
                              .settled = head->settled,
                              .attempts = head->attempts,
                              .failures = head->failures,
                              .forward_attempts = head->forward_attempts};
    to->name = (const char *)bytes;
    to->participant = to->name + head->name_len + 1;
    to->reason = to->participant + head->participant_len + 1;
    bytes = (const uint8_t *)to->reason + head->reason_len + 1;
    to->payload = (etx_bytes){bytes, head->payload_len};
    to->result = (etx_bytes){bytes + head->payload_len, head->result_len};
    ret_branch->payload_cut = head->payload_cut;
    ret_branch->result_cut = head->result_cut;
    return 1;
}

/* What this node remembers of the homes that it shares. */
#include "seen.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "keeper.h"
#include "seen_file.h"

/* Each acknowledged put is noted in memory, and about once a second what was noted is written to
 * the state directory. No put waits for that: an older file only sees less. Who claims a partition
 * compares what it has read with what is remembered: a slot that was acknowledged and is not there,
 * with that checksum, was lost by the store, most likely because an older backup took its place.
 * Such a partition is not claimed, and its lease is kept, so that nobody who remembers less goes on
 * there; until somebody accepts the loss by name, which is a record in the log. */

enum { WRITE_US = 1000000 };

struct etx__seen {
    etx_engine *engine;
    int dir_fd; /* keeps others out */
    pthread_t thread;
    _Atomic uint32_t bell; /* a futex */
    _Atomic uint32_t stopping;
    uint8_t has_thread;
};

int etx__seen_open(etx_engine *engine) {
    char message[300] = "";
    if (engine->state_dir == NULL || etx__engine_reads_only(engine)) {
        return 0;
    }
    etx__seen *state = etx__engine_alloc(engine, sizeof *state);
    if (state == NULL) {
        return etx__engine_fail(engine, ETX_ENOMEM, "no memory for the state directory");
    }
    int rc = etx__seen_dir_take(engine->state_dir, &state->dir_fd, message, sizeof message);
    if (rc != 0) {
        etx__engine_release(engine, state, sizeof *state);
        return etx__engine_fail(engine, rc, "%s", message);
    }
    state->engine = engine;
    engine->seen = state;
    return 0;
}

void etx__seen_free(etx_engine *engine) {
    if (engine->seen != NULL) {
        close(engine->seen->dir_fd);
        etx__engine_release(engine, engine->seen, sizeof *engine->seen);
        engine->seen = NULL;
    }
}

/* ---- writing */

static void tell_failure(etx__home *home, const char *message) {
    etx__monitor_home(home, 0, ETX_EVENT_STATE_FAILED, message);
}

static int any_regressed(const etx__home *home) {
    for (uint32_t i = 0; i < home->partition_count; i++) {
        if (atomic_load(&home->partition[i]->regressed)) {
            return 1;
        }
    }
    return 0;
}

/* A copy of what is to be written; its marks are the caller's. While something is lost, the store
 * that had it is the one to be named. */
static int snapshot(etx__home *home, etx_seen *ret_state) {
    pthread_mutex_lock(&home->lock);
    size_t size = home->seen.partitions * sizeof *home->seen.mark;
    etx_seen_mark *mark = home->seen_changed ? etx__engine_alloc(home->engine, size) : NULL;
    *ret_state = home->seen;
    if (mark != NULL) {
        memcpy(mark, home->seen.mark, size);
        home->seen_changed = 0;
    }
    pthread_mutex_unlock(&home->lock);
    ret_state->mark = mark;
    ret_state->written_ms = etx__clock_wall_ms();
    if (!any_regressed(home)) {
        memcpy(ret_state->identity, home->identity, sizeof ret_state->identity);
    }
    return mark != NULL;
}

static void write_home(etx__seen *state, etx__home *home) {
    char message[300] = "";
    etx_seen copy;
    if (home->seen.mark == NULL || !snapshot(home, &copy)) {
        return;
    }
    int rc = etx__seen_write(&home->engine->allocator, state->engine->state_dir, &copy, message,
                             sizeof message);
    etx__engine_release(home->engine, copy.mark, copy.partitions * sizeof *copy.mark);
    if (rc != 0) {
        pthread_mutex_lock(&home->lock);
        home->seen_changed = 1;
        pthread_mutex_unlock(&home->lock);
    }
    if (rc != 0 && !home->seen_failing) {
        tell_failure(home, message);
    }
    home->seen_failing = rc != 0;
}

static void write_all(etx__seen *state) {
    for (uint32_t i = 0; i < state->engine->home_count; i++) {
        if (atomic_load(&state->engine->home[i]->opened)) {
            write_home(state, state->engine->home[i]);
        }
    }
}

static int seen_turn(void *argument) {
    etx__seen *state = argument;
    uint32_t bell = atomic_load(&state->bell);
    if (atomic_load(&state->stopping)) {
        return 0;
    }
    write_all(state);
    etx__futex_wait(&state->bell, bell, WRITE_US);
    return 1;
}

int etx__seen_start(etx_engine *engine) {
    etx__seen *state = engine->seen;
    if (state == NULL) {
        return 0;
    }
    int rc =
        etx__thread_start(&engine->allocator, &state->thread, "etx-state", 0, seen_turn, state);
    state->has_thread = rc == 0;
    return rc;
}

void etx__seen_stop(etx_engine *engine, int write) {
    etx__seen *state = engine->seen;
    if (state == NULL || !state->has_thread) {
        return;
    }
    state->has_thread = 0;
    atomic_store(&state->stopping, 1);
    atomic_fetch_add(&state->bell, 1);
    etx__futex_wake(&state->bell, 1);
    etx__thread_join(state->thread);
    if (write) {
        write_all(state);
    }
}

/* ---- what was remembered */

static int refuse_other(const etx__home *home, const char *then) {
    etx_engine *engine = home->engine;
    return etx__engine_fail(
        engine, ETX_EREGRESSED,
        "home %.120s: it was the log %s, and is the log %s now: its tables were made anew, and "
        "what "
        "was acknowledged is not there. Restore the database; or, if that is meant, remove "
        "%.120s/%s"
        ".state",
        home->url, then, home->info.id, engine->state_dir, then);
}

static int recall(etx__home *home, etx_seen *seen) {
    char message[300] = "";
    const char *dir = home->engine->state_dir;
    int rc = etx_seen_read(dir, home->info.id, seen, message, sizeof message);
    if (rc == ETX_ENOTFOUND) {
        if (etx__seen_find(dir, home->url, seen, message, sizeof message) != 0) {
            return 0;
        }
        char then[ETX_HOME_ID_LEN + 1];
        memcpy(then, seen->home, sizeof then);
        etx_seen_free(seen);
        return refuse_other(home, then);
    }
    if (rc == 0 && seen->partitions != home->info.partitions) {
        etx_seen_free(seen);
        rc = ETX_ECORRUPT;
        snprintf(message, sizeof message,
                 "%s/%s.state is of a log with other partitions: what it remembered counts as "
                 "unknown",
                 dir, home->info.id);
    }
    if (rc == ETX_ENOMEM) {
        return etx__engine_fail(home->engine, rc, "%s", message);
    }
    if (rc != 0) {
        tell_failure(home, message);
    }
    return 0;
}

/* What goes into one line of a file. */
static void copy_line(char *to, size_t size, const char *text) {
    snprintf(to, size, "%s", text);
    for (char *at = to; *at != 0; at++) {
        *at = (unsigned char)*at < ' ' ? ' ' : *at;
    }
}

int etx__seen_home(etx__home *home) {
    etx_seen seen = {.size = sizeof seen};
    if (!etx__home_shared(home)) {
        return 0;
    }
    int rc = home->engine->seen != NULL ? recall(home, &seen) : 0;
    if (rc != 0) {
        return rc;
    }
    size_t size = home->info.partitions * sizeof *seen.mark;
    etx_seen_mark *mark = etx__engine_alloc(home->engine, size);
    if (mark != NULL && seen.mark != NULL) {
        memcpy(mark, seen.mark, size);
    }
    etx_seen_free(&seen);
    if (mark == NULL) {
        return etx__engine_fail(home->engine, ETX_ENOMEM, "no memory for a shared home");
    }
    seen.mark = mark;
    seen.partitions = home->info.partitions;
    memcpy(seen.home, home->info.id, sizeof seen.home);
    copy_line(seen.url, sizeof seen.url, home->url);
    copy_line(home->identity, sizeof home->identity,
              home->info.identity != NULL ? home->info.identity : "");
    home->seen = seen;
    home->seen_changed = 1;
    return 0;
}

void etx__seen_forget(etx__home *home) {
    etx__engine_release(home->engine, home->seen.mark,
                        home->seen.partitions * sizeof *home->seen.mark);
    home->seen.mark = NULL;
}

void etx__seen_note(etx__partition *partition, uint64_t slot, uint32_t checksum) {
    etx__home *home = partition->home;
    if (home->seen.mark == NULL) { /* its log is this process's alone */
        return;
    }
    pthread_mutex_lock(&home->lock);
    home->seen.mark[partition->number] =
        (etx_seen_mark){slot, partition->loss.time_ms, checksum, 1};
    home->seen_changed = 1;
    pthread_mutex_unlock(&home->lock);
}

etx_seen_mark etx__seen_of(const etx__partition *partition) {
    etx__home *home = partition->home;
    etx_seen_mark mark = {0};
    if (home->seen.mark != NULL) {
        pthread_mutex_lock(&home->lock);
        mark = home->seen.mark[partition->number];
        pthread_mutex_unlock(&home->lock);
    }
    return mark;
}

/* ---- what was lost */

/* The store was another one then, as far as its adapter can tell. */
static void name_stores(const etx__home *home, char *text, size_t size) {
    text[0] = 0;
    if (home->seen.identity[0] != 0 && strcmp(home->seen.identity, home->identity) != 0) {
        snprintf(text, size, " The store was %.80s then, and is %.80s.", home->seen.identity,
                 home->identity[0] != 0 ? home->identity : "not known");
    }
}

static void name_state(const etx_engine *engine, char *text, size_t size) {
    text[0] = 0;
    if (engine->state_dir != NULL) {
        snprintf(text, size, " --state %s", engine->state_dir);
    }
}

/* What is told of a loss. */
typedef struct loss_story {
    const etx_seen_mark *mark;
    char whose[ETX_NAME_MAX + 32]; /* another node remembers it; or "" */
    char end[64];
} loss_story;

/* `state` is "" where no node's directory can show it. Does all of it fit? */
static int say_lost(etx__partition *partition,
                    const loss_story *story,
                    const char *stores,
                    const char *state) {
    int shown = state[0] != 0;
    int len = snprintf(
        partition->message, sizeof partition->message,
        "the store has lost what it acknowledged in partition %u: slot %llu (%08x)%s is not "
        "there, %s.%s%s%s%s Restore the newest backup, or 'etx log accept-loss URL%s "
        "--partition %u' goes on without",
        partition->number, (unsigned long long)story->mark->slot, story->mark->checksum,
        story->whose, story->end, stores, shown ? " 'etx log diff URL" : "", state,
        shown ? "' shows it." : "", shown ? state : " --without-proof", partition->number);
    return len < (int)sizeof partition->message;
}

/* The commands stand there whole, whatever else there is no room for. Of another node it is that
 * one's directory. */
int etx__seen_refuse(etx__partition *partition,
                     const etx_seen_mark *mark,
                     const char *node,
                     uint64_t trimmed) {
    loss_story story = {mark, "", "the log is empty"};
    char stores[200];
    char state[sizeof partition->message] = " --state DIR";
    name_stores(partition->home, stores, sizeof stores);
    if (node[0] != 0) {
        snprintf(story.whose, sizeof story.whose, ", which node %s remembers,", node);
    } else {
        name_state(partition->home->engine, state, sizeof state);
    }
    if (partition->read_next > trimmed) {
        snprintf(story.end, sizeof story.end, "the log ends at slot %llu",
                 (unsigned long long)partition->read_next - 1);
        if (partition->read_next > mark->slot) {
            snprintf(story.end, sizeof story.end, "another slot is in its place");
        }
    }
    if (!say_lost(partition, &story, stores, state) && !say_lost(partition, &story, "", state)) {
        (void)say_lost(partition, &story, "", " --state DIR");
    }
    return ETX_EREGRESSED;
}

static int any_open(const etx__home *home) {
    for (uint32_t i = 0; i < home->partition_count; i++) {
        if (atomic_load(&home->partition[i]->state) == ETX__OPEN) {
            return 1;
        }
    }
    return 0;
}

void etx__partition_regress_says(const etx__partition *partition, char *ret_text, size_t size) {
    snprintf(ret_text, size,
             "the store has lost what it acknowledged in partition %u: 'etx log diff' shows it, "
             "'etx log accept-loss' goes on without",
             partition->number);
}

void etx__partition_regress(etx__partition *partition, const char *why) {
    etx__home *home = partition->home;
    pthread_mutex_lock(&home->lock);
    snprintf(partition->regress, sizeof partition->regress, "%s", why);
    pthread_mutex_unlock(&home->lock);
    if (atomic_exchange(&partition->regressed, 1) == 0) {
        etx__monitor_home(home, partition->number, ETX_EVENT_LOG_REGRESSED, why);
    }
    if (!any_open(home)) {
        char said[160];
        etx__partition_regress_says(partition, said, sizeof said);
        etx__home_down(home, ETX_EUNAVAILABLE, said);
    }
}

void etx__partition_regained(etx__partition *partition) {
    if (atomic_exchange(&partition->regressed, 0) == 0) {
        return;
    }
    etx__home *home = partition->home;
    pthread_mutex_lock(&home->lock);
    partition->regress[0] = 0;
    home->seen_changed = 1;
    pthread_mutex_unlock(&home->lock);
}

/* Which home chosen gids belong to: every claim records it, and a start with another is judged. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "home.h"
#include "shard.h"

/* A repeat of a chosen gid is recognised only in the home where it was begun; in another one it
 * would run a second time. So each claim says which home that is, and a start that names another
 * is refused, however empty the new home is: what was begun in the old one is what counts. It
 * goes through where nothing can run twice: the old home was volatile, and is gone with its
 * process; or it is one of this engine's homes, and has nothing in flight and nothing remembered
 * that is younger than history_age_ms; or the operator accepts it by name. All homes are read
 * before any is claimed, and those that are there before one is made, so a start that is refused
 * has changed nothing. Who only inspects has no say in it: its claims repeat what the log said
 * before. */

const char *etx__chosen_recorded(const etx__partition *partition) {
    const etx_engine *engine = partition->home->engine;
    const char *id = etx__home_id(engine->home[engine->chosen_home]);
    return (engine->options.flags & ETX_INSPECT) || id[0] == 0 ? partition->chosen_then : id;
}

/* What was said once binds nobody: it was volatile, or the operator accepts it. */
static int is_free(const etx_engine *engine, const char *then) {
    return then[0] == 0 || then[0] == 'v' || strcmp(then, engine->accept_chosen_home) == 0;
}

/* Does the claim say what the log said, or what nobody contradicts? One that is not made yet will
 * have an id that no log has said. */
static int is_granted(const etx__partition *partition) {
    const etx_engine *engine = partition->home->engine;
    const char *then = partition->chosen_then;
    return is_free(engine, then) || (!engine->home[engine->chosen_home]->absent &&
                                     strcmp(then, etx__chosen_recorded(partition)) == 0);
}

/* Read, not started: nobody steps its cores. */
static int is_drained(const etx__home *home) {
    if (!atomic_load(&home->opened)) {
        return 0;
    }
    for (uint32_t i = 0; i < home->partition_count; i++) {
        const etx__memory *loaded = home->partition[i]->loaded;
        if (loaded == NULL || !etx__core_drained(loaded->core, etx__clock_wall_ms())) {
            return 0;
        }
    }
    return 1;
}

static int refuse(const etx__partition *partition, const etx__home *old) {
    etx_engine *engine = partition->home->engine;
    const etx__home *chosen = engine->home[engine->chosen_home];
    const char *then = partition->chosen_then;
    const char *now = chosen->absent ? chosen->url : etx__chosen_recorded(partition);
    if (old != NULL) {
        return etx__engine_fail(
            engine, ETX_ECONFLICT,
            "chosen gids belong to home %s (%.100s), which has some in flight, or ended less than "
            "history_age_ms ago: in home %.60s they could run a second time. Leave them there "
            "(etx_engine_chosen_home; etxd: name that home first), or accept that with "
            "accept_chosen_home=\"%s\" (etxd: --accept-chosen-home %s)",
            then, old->url, now, then, then);
    }
    return etx__engine_fail(
        engine, ETX_ECONFLICT,
        "chosen gids belong to home %s, says %.100s, and it is not among the homes: in home %.60s "
        "they could run a second time. Name that home too; if it is lost, restore its backup; if "
        "there is none, accept that with accept_chosen_home=\"%s\" (etxd: --accept-chosen-home %s)",
        then, partition->home->url, now, then, then);
}

int etx__chosen_check(etx_engine *engine) {
    const etx__home *chosen = engine->home[engine->chosen_home];
    for (uint32_t i = 0; i < engine->partition_count; i++) {
        const etx__partition *partition = engine->partition[i];
        if (partition->loaded != NULL && partition->chosen_then[0] != 0 && !chosen->absent &&
            etx__home_id(chosen)[0] == 0) {
            memcpy(engine->chosen_said, partition->chosen_then, sizeof engine->chosen_said);
        }
        if (partition->loaded != NULL && !is_granted(partition)) {
            const etx__home *old = etx__home_of(engine, partition->chosen_then);
            if (old == NULL || !is_drained(old)) {
                return refuse(partition, old);
            }
        }
    }
    return 0;
}

int etx__chosen_lets_make(const etx__home *home) {
    const etx_engine *engine = home->engine;
    return engine->home[engine->chosen_home] != home || is_free(engine, engine->chosen_said);
}

int etx__chosen_check_arrival(const etx__home *home) {
    const char *said = home->engine->chosen_said;
    if (etx__chosen_lets_make(home) || strcmp(said, home->info.id) == 0) {
        return 0;
    }
    return etx__engine_fail(home->engine, ETX_ECONFLICT,
                            "home %.100s: it is %s, and chosen gids belong to home %s: start again "
                            "with it, or name that one",
                            home->url, home->info.id, said);
}

int etx__chosen_check_again(etx__partition *partition) {
    etx_engine *engine = partition->home->engine;
    const char *then = partition->chosen_then;
    uint64_t id = 0;
    if (is_granted(partition)) {
        if (strcmp(then, etx__chosen_recorded(partition)) == 0) {
            atomic_store(&engine->chosen_denied, 0);
        }
        return 0;
    }
    static_assert(sizeof id == sizeof partition->chosen_then, "the id of a home is one word");
    memcpy(&id, then, sizeof id);
    atomic_store(&engine->chosen_denied, id);
    snprintf(partition->message, sizeof partition->message,
             "for other nodes chosen gids belong to home %s: give all the same one, and start this "
             "one again",
             then);
    return ETX_ECONFLICT;
}

int etx__chosen_denied(etx_engine *engine, char why[ETX_REASON_MAX + 1]) {
    uint64_t id = atomic_load(&engine->chosen_denied);
    char home[sizeof id];
    memcpy(home, &id, sizeof id);
    if (id != 0) {
        snprintf(
            why, ETX_REASON_MAX + 1,
            "for other nodes chosen gids belong to home %s: they would run again what is begun "
            "under one here. Ask another node, or give this one the same home for them",
            home);
    }
    return id != 0;
}

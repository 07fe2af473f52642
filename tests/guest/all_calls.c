/* Every public call that takes an engine or a transaction, once. */
#include "all_calls.h"

typedef struct answer {
    const char *call;
    int rc;
} answer;

/* An answer with the name of the call that gave it. */
#define ASK(function, ...) \
    { #function, function(__VA_ARGS__) }

#define COUNT(answers) (sizeof(answers) / sizeof((answers)[0]))

static void note_done(int rc, const etx_outcome *outcome, void *user) {
    (void)rc;
    (void)outcome;
    ((all_calls *)user)->told++;
}

static int note_gid(const char *gid, void *user) {
    (void)gid;
    ((all_calls *)user)->told++;
    return 0;
}

static int note_status(const etx_status *status, void *user) {
    (void)status;
    ((all_calls *)user)->told++;
    return 0;
}

static int note_branch(const etx_branch_status *branch, void *user) {
    (void)branch;
    ((all_calls *)user)->told++;
    return 0;
}

void all_calls_make(all_calls *all, etx_engine *engine) {
    memset(all, 0, sizeof(*all));
    all->engine = engine;
    for (int i = 0; i < ALL_BUILDERS; i++) {
        assert_int_equal(etx_tx_new(engine, NULL, &all->builder[i]), 0);
        assert_int_equal(etx_tx_add(all->builder[i], "stock", NULL, 0), 0);
    }
    for (int i = 0; i < ALL_BEGUN; i++) {
        assert_int_equal(etx_tx_attach(engine, "somebody's", 0, &all->begun[i]), 0);
    }
}

void all_calls_discard(all_calls *all) {
    for (int i = 0; i < ALL_BUILDERS; i++) {
        etx_tx_discard(all->builder[i]);
    }
    for (int i = 0; i < ALL_BEGUN; i++) {
        etx_tx_discard(all->begun[i]);
    }
}

static const char *first_wrong(const answer *answers, size_t count, int want) {
    for (size_t i = 0; i < count; i++) {
        if (answers[i].rc != want) {
            return answers[i].call;
        }
    }
    return NULL;
}

static const char *setup_wrong(etx_engine *engine, int want) {
    const answer answers[] = {
        ASK(etx_engine_home, engine, "memory:"),
        ASK(etx_engine_chosen_home, engine, 0),
        ASK(etx_engine_log, engine, etx_log_memory()),
        ASK(etx_engine_codec, engine, etx_codec_binary()),
        ASK(etx_engine_start, engine),
    };
    return first_wrong(answers, COUNT(answers), want);
}

static const char *engine_wrong(etx_engine *engine, int want) {
    etx_home_status home = {.size = sizeof(home)};
    etx_partition_status partition = {.size = sizeof(partition)};
    etx_node_status node = {.size = sizeof(node)};
    etx_metrics metrics = {.size = sizeof(metrics)};
    etx_home_metrics home_metrics = {.size = sizeof(home_metrics)};
    etx_participant late = ETX_PARTICIPANT_INIT;
    etx_completion completion = ETX_COMPLETION_INIT;
    late.name = "late";
    completion.reply = ETX_DONE;
    etx_engine_help(engine);
    const answer answers[] = {
        ASK(etx_engine_home_status, engine, 0, &home),
        ASK(etx_engine_partition_status, engine, 0, 0, &partition),
        ASK(etx_engine_gid_status, engine, "g", &partition),
        ASK(etx_engine_node_status, engine, 0, 0, &node),
        ASK(etx_engine_gone_status, engine, 0, 0, &node),
        ASK(etx_engine_move, engine, 0, 0, "node"),
        ASK(etx_engine_drain, engine, 0, 1),
        ASK(etx_engine_metrics, engine, &metrics),
        ASK(etx_engine_home_metrics, engine, 0, &home_metrics),
        ASK(etx_engine_lend, engine, 1),
        ASK(etx_engine_register, engine, &late),
        ASK(etx_complete, engine, (etx_token){{0, 0}}, &completion),
    };
    return first_wrong(answers, COUNT(answers), want);
}

static const char *gids_wrong(all_calls *all, int want) {
    etx_engine *engine = all->engine;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_status status = {.size = sizeof(status)};
    etx_filter filter = ETX_FILTER_INIT;
    etx_cursor cursor = {{0, 0}};
    uint64_t count = 0;
    const answer answers[] = {
        ASK(etx_wait_for, engine, "g", ETX_WAIT_ENDED, 10, &outcome),
        ASK(etx_query, engine, "g", &status),
        ASK(etx_query_branches, engine, "g", &status, note_branch, all),
        ASK(etx_query_async, engine, "g", note_done, all),
        ASK(etx_list, engine, &filter, &cursor, 1, note_status, all),
        ASK(etx_retry, engine, "g"),
        ASK(etx_park, engine, "g", "test", "test"),
        ASK(etx_resume, engine, "g", "test", "test"),
        ASK(etx_bulk_operate, engine, ETX_BULK_PARK, &filter, 0, "test", "test", &count),
        ASK(etx_force_by_hand, engine, "g", ETX_FORCE_ABORT, NULL, ETX_FORWARD, "test", "test"),
    };
    return first_wrong(answers, COUNT(answers), want);
}

static const char *handles_wrong(all_calls *all, int want) {
    etx_tx *made[4] = {all->begun[0], all->begun[0], all->begun[0], all->begun[0]};
    const answer answers[] = {
        ASK(etx_tx_new, all->engine, NULL, &made[0]),
        ASK(etx_tx_begin, all->engine, NULL, &made[1]),
        ASK(etx_tx_begin_async, all->engine, NULL, note_done, all, &made[2]),
        ASK(etx_tx_attach, all->engine, "g", 0, &made[3]),
    };
    for (size_t i = 0; i < COUNT(made); i++) {
        if (made[i] != NULL) {
            return answers[i].call;
        }
    }
    return first_wrong(answers, COUNT(answers), want);
}

static const char *builders_wrong(all_calls *all, int want) {
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_branch branch = ETX_BRANCH_INIT;
    branch.participant = "stock";
    const answer answers[] = {
        ASK(etx_tx_add, all->builder[0], "stock", NULL, 0),
        ASK(etx_tx_add_branch, all->builder[0], &branch),
        ASK(etx_tx_set_wait, all->builder[0], ETX_WAIT_DECIDED),
        ASK(etx_tx_run, all->builder[0], &outcome),
        ASK(etx_tx_submit, all->builder[1], note_done, all),
        ASK(etx_tx_submit_named, all->builder[2], note_gid, note_done, all),
    };
    etx_tx_discard(all->builder[3]);
    return first_wrong(answers, COUNT(answers), want);
}

static const char *begun_wrong(all_calls *all, int want) {
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_branch branch = ETX_BRANCH_INIT;
    etx_reply reply = ETX_DONE;
    etx_tx *tx = all->begun[0];
    branch.participant = "stock";
    branch.name = "one";
    const answer answers[] = {
        ASK(etx_tx_enlist, tx, &branch),
        ASK(etx_tx_enlist_async, tx, &branch, note_done, all),
        ASK(etx_tx_result, tx, "one", ETX_DONE, NULL, 0, &reply),
        ASK(etx_tx_result_async, tx, "one", ETX_DONE, NULL, 0, note_done, all),
        ASK(etx_tx_hold, tx),
        ASK(etx_tx_hold_async, tx, note_done, all),
        ASK(etx_tx_set_wait, tx, ETX_WAIT_DECIDED),
        ASK(etx_tx_commit, tx, &outcome),
        ASK(etx_tx_abort, all->begun[1], &outcome),
        ASK(etx_tx_commit_async, all->begun[2], note_done, all),
        ASK(etx_tx_abort_async, all->begun[3], note_done, all),
    };
    etx_tx_discard(all->begun[4]);
    return first_wrong(answers, COUNT(answers), want);
}

const char *all_calls_wrong(all_calls *all, int want, int want_setup) {
    const char *const wrong[] = {
        setup_wrong(all->engine, want_setup),
        engine_wrong(all->engine, want),
        gids_wrong(all, want),
        handles_wrong(all, want),
        builders_wrong(all, want),
        begun_wrong(all, want),
    };
    for (size_t i = 0; i < COUNT(wrong); i++) {
        if (wrong[i] != NULL) {
            return wrong[i];
        }
    }
    return all->told == 0 ? NULL : "a callback of a call that was refused";
}

/* A process under load is killed, again and again; what was acknowledged stands, nothing is half
 * done. */
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "rig.h"

enum { ROUNDS = 12, THREADS = 4, ANSWERS_MAX = 400000 };

/* What the processes share. */
struct shared {
    rig_bank bank;
    atomic_uint answers;
    atomic_uint ready;
    struct answer {
        char gid[ETX_GID_MAX + 1];
        _Atomic int state; /* set last */
    } answer[ANSWERS_MAX];
};

struct client {
    pthread_t thread;
    etx_engine *engine;
    struct shared *shared;
    unsigned number, round;
};

static void *client_body(void *argument) {
    static const char *const participants[] = {"quick", "bank", "step"};
    struct client *client = argument;
    for (unsigned i = 0;; i++) {
        char gid[48];
        etx_outcome outcome = ETX_OUTCOME_INIT;
        snprintf(gid, sizeof gid, "k%u-%u-%u", client->round, client->number, i);
        const char *participant = participants[(i + client->number) % 3];
        int rc = etx_tx_run(
            rig_pair(client->engine, participant, i % 2 ? gid : NULL, i % 4 ? 'D' : 'R'), &outcome);
        rig_check(rc == 0);
        unsigned place = atomic_fetch_add(&client->shared->answers, 1);
        rig_check(place < ANSWERS_MAX);
        struct answer *answer = &client->shared->answer[place];
        snprintf(answer->gid, sizeof answer->gid, "%s", outcome.gid);
        atomic_store(&answer->state, (int)outcome.state);
    }
    return NULL;
}

static etx_engine *open_engine(struct shared *shared, const char *url) {
    etx_options options = rig_options();
    options.durability = ETX_VOLATILE; /* wherever the directory is: a kill loses no page */
    options.retry_cap_ms = 20;
    options.history_max = ANSWERS_MAX;
    etx_engine *engine = rig_engine(&options, url, NULL);
    rig_bank_register(&shared->bank, engine, "quick", ETX_TCC, ETX_INLINE);
    rig_bank_register(&shared->bank, engine, "bank", ETX_TCC, 0);
    rig_bank_register(&shared->bank, engine, "step", ETX_SAGA, 0);
    rig_start(engine);
    return engine;
}

static void child_main(struct shared *shared, const char *url, unsigned round) {
    struct client clients[THREADS];
    etx_engine *engine = open_engine(shared, url);
    atomic_fetch_add(&shared->ready, 1);
    for (unsigned i = 0; i < THREADS; i++) {
        clients[i] =
            (struct client){.engine = engine, .shared = shared, .number = i, .round = round};
        rig_check(pthread_create(&clients[i].thread, NULL, client_body, &clients[i]) == 0);
    }
    for (;;) {
        pause();
    }
}

static void killed_under_load(void **state) {
    host_dir dir;
    (void)state;
    host_dir_make(&dir);
    struct shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(shared, MAP_FAILED);
    rig_bank_make(&shared->bank, ANSWERS_MAX * 2);
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned before = atomic_load(&shared->answers);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            child_main(shared, dir.url, round);
        }
        bool ready = host_wait_for(&shared->ready, round + 1);
        bool busy = host_wait_for(&shared->answers, before + 20 + round * 61 % 307);
        int status = 0;
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(ready && busy);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    etx_engine *engine = open_engine(shared, dir.url);
    assert_true(rig_quiet(engine));
    unsigned answers = atomic_load(&shared->answers);
    for (unsigned i = 0; i < answers; i++) {
        int said = atomic_load(&shared->answer[i].state);
        if (said != 0) { /* 0: killed between counting and writing */
            const char *gid = shared->answer[i].gid;
            assert_int_equal(rig_state(engine, gid), said);
            assert_int_equal(rig_bank_effect(&shared->bank, gid), said == ETX_COMMITTED);
        }
    }
    rig_close(engine, ETX_CLOSE_FINISH);
    assert_int_equal(rig_bank_torn(&shared->bank), 0);
    assert_int_equal(shared->bank.empty_commits, 0);
    rig_bank_end(&shared->bank);
    munmap(shared, sizeof *shared);
    host_dir_remove(&dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(killed_under_load)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

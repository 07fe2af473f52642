/* Who wants to know the gid of what it submits does not bind it by that: the next home takes it
 * under another one, unless the first was told to somebody. */
#include "rig.h"

struct port {
    rig_log first, second;
    rig_bank bank;
    etx_engine *engine;
};

/* What its caller hears of a gid. */
struct heard {
    rig_done done;
    atomic_uint count;
    atomic_int told;         /* to somebody: no other one */
    atomic_uint before_done; /* gids that came while `done` had not been called */
    char gid[4][ETX_GID_MAX + 1];
};

static int on_gid(const char *gid, void *user) {
    struct heard *heard = user;
    unsigned at = atomic_fetch_add(&heard->count, 1);
    rig_check(at < 4);
    snprintf(heard->gid[at], sizeof heard->gid[at], "%s", gid);
    atomic_fetch_add(&heard->before_done, atomic_load(&heard->done.count) == 0);
    return atomic_load(&heard->told);
}

static void on_done(int rc, const etx_outcome *outcome, void *user) {
    rig_done_fn(rc, outcome, &((struct heard *)user)->done);
}

static void port_make(struct port *port) {
    rig_log_make(&port->first, NULL, "partitions=1");
    rig_log_make(&port->second, NULL, "partitions=1");
    rig_bank_make(&port->bank, 10000);
    port->engine = rig_engine(NULL, port->first.url, port->second.url);
    rig_bank_register(&port->bank, port->engine, "bank", ETX_TCC, ETX_INLINE);
    rig_start(port->engine);
}

static void port_end(struct port *port) {
    rig_log_fail(&port->first, RIG_WELL, 0);
    rig_close(port->engine, ETX_CLOSE_FINISH);
    assert_int_equal(rig_bank_torn(&port->bank), 0);
    rig_bank_end(&port->bank);
    rig_log_end(&port->first);
    rig_log_end(&port->second);
}

static bool is_of(struct port *port, const char *gid, unsigned place) {
    etx_home_status status = {.size = sizeof status};
    assert_int_equal(etx_engine_home_status(port->engine, place, &status), 0);
    return strstr(gid, status.id) != NULL;
}

static void submit(struct port *port, struct heard *heard, const char *gid, int told) {
    memset(heard, 0, sizeof *heard);
    atomic_store(&heard->told, told);
    rig_must(port->engine,
             etx_tx_submit_named(rig_pair(port->engine, "bank", gid, 'D'), on_gid, on_done, heard),
             "submit");
}

/* The second home has it, and its gid was told before anything was called. */
static void went_on(struct port *port, struct heard *heard) {
    assert_true(host_wait_for(&heard->done.count, 1));
    assert_int_equal(heard->done.rc, 0);
    assert_int_equal(heard->done.outcome.state, ETX_COMMITTED);
    assert_int_equal(atomic_load(&heard->count), 2);
    assert_int_equal(atomic_load(&heard->before_done), 2);
    assert_true(is_of(port, heard->gid[0], 0));
    assert_true(is_of(port, heard->gid[1], 1));
    assert_string_equal(heard->done.outcome.gid, heard->gid[1]);
    assert_int_equal(rig_bank_effect(&port->bank, heard->gid[0]), 0);
    assert_int_equal(rig_bank_effect(&port->bank, heard->gid[1]), 1);
}

/* It is the first home's, which did not take it, and no other's. */
static void stayed(struct port *port, struct heard *heard, int rc) {
    assert_true(host_wait_for(&heard->done.count, 1));
    assert_int_equal(heard->done.rc, rc);
    assert_true(heard->done.outcome.gid[0] == 0 ||
                strcmp(heard->done.outcome.gid, heard->gid[0]) == 0);
    for (unsigned i = 0; i < atomic_load(&heard->count); i++) {
        assert_int_equal(rig_bank_effect(&port->bank, heard->gid[i]), 0);
    }
}

/* What was not written is taken back. */
static void what_is_taken_back(rig_fault fault, int rc) {
    struct port port;
    struct heard heard;
    port_make(&port);
    submit(&port, &heard, NULL, 0);
    assert_true(host_wait_for(&heard.done.count, 1));
    assert_int_equal(atomic_load(&heard.count), 1);
    assert_string_equal(heard.done.outcome.gid, heard.gid[0]);
    assert_true(is_of(&port, heard.gid[0], 0));
    rig_log_fail(&port.first, fault, -1);
    submit(&port, &heard, NULL, 0);
    went_on(&port, &heard);
    port_end(&port);

    port_make(&port);
    rig_log_fail(&port.first, fault, -1);
    submit(&port, &heard, NULL, 1);
    stayed(&port, &heard, rc);
    assert_true(is_of(&port, heard.gid[0], 0));
    port_end(&port);
}

static void a_refused_one_goes_on(void **state) {
    (void)state;
    what_is_taken_back(RIG_NOT_WRITTEN, ETX_EUNAVAILABLE);
}

static void one_that_finds_no_space_goes_on(void **state) {
    (void)state;
    what_is_taken_back(RIG_FULL, ETX_EFULL);
}

/* A put does not come back: of those that wait behind it each goes on that was told to nobody. */
static void one_behind_a_hanging_put_goes_on(void **state) {
    struct port port;
    struct heard hangs, behind, told, chosen;
    (void)state;
    port_make(&port);
    rig_log_fail(&port.first, RIG_HANGS, 1);
    submit(&port, &hangs, NULL, 0);
    assert_true(host_wait_for(&port.first.hanging, 1));
    submit(&port, &behind, NULL, 0);
    submit(&port, &told, NULL, 1);
    submit(&port, &chosen, "mine", 0);
    went_on(&port, &behind);
    stayed(&port, &told, ETX_EUNAVAILABLE);
    stayed(&port, &chosen, ETX_EUNAVAILABLE);
    assert_int_equal(atomic_load(&chosen.count), 1);
    assert_int_equal(atomic_load(&hangs.done.count), 0);
    sem_post(&port.first.gate);
    assert_true(host_wait_for(&hangs.done.count, 1));
    assert_int_equal(hangs.done.rc, 0);
    assert_int_equal(atomic_load(&hangs.count), 1);
    assert_string_equal(hangs.done.outcome.gid, hangs.gid[0]);
    port_end(&port);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refused_one_goes_on),
        cmocka_unit_test(one_that_finds_no_space_goes_on),
        cmocka_unit_test(one_behind_a_hanging_put_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

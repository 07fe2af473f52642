/* `etx tx` and `etx doctor` on a log that its program writes with the JSON codec. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <etx/codec_json.h>

#include "cli.h"
#include "cli_dir.h"

enum { ARGS_MAX = 12, WAIT_MS = 30000 };

typedef struct fixture {
    char dir[200];
    char home[300];
} fixture;

static etx_reply later(etx_call *call, void *user) {
    (void)call;
    (void)user;
    return ETX_RETRY;
}

/* One transaction that its program leaves in flight. */
static void make_log(const fixture *fix) {
    etx_options options = ETX_OPTIONS_INIT;
    etx_participant participant = ETX_PARTICIPANT_INIT;
    etx_engine *engine = NULL;
    etx_tx_options begin = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    etx_status status = {.size = sizeof status};
    int rc;
    options.codec = etx_codec_json();
    assert_int_equal(etx_engine_create(&options, &engine), 0);
    assert_int_equal(etx_engine_home(engine, fix->home), 0);
    participant.name = "shop";
    participant.forward = participant.commit = participant.undo = later;
    assert_int_equal(etx_engine_register(engine, &participant), 0);
    assert_int_equal(etx_engine_start(engine), 0);
    begin.gid = "order-1";
    assert_int_equal(etx_tx_new(engine, &begin, &tx), 0);
    assert_int_equal(etx_tx_add(tx, "shop", "x", 1), 0);
    assert_int_equal(etx_tx_submit(tx, NULL, NULL), 0);
    while ((rc = etx_query(engine, begin.gid, &status)) == ETX_ENOTFOUND) {
        usleep(1000); /* the test's time limit ends that */
    }
    assert_int_equal(rc, 0);
    assert_int_equal(etx_engine_close(engine, ETX_CLOSE_LEAVE, WAIT_MS), 0);
    etx_engine_free(engine);
}

static int set_up(void **state) {
    fixture *fix = calloc(1, sizeof *fix);
    const char *parent = getenv("TMPDIR");
    assert_non_null(fix);
    assert_int_equal(etx__dir_make_temporary(parent != NULL ? parent : "/tmp", "etx-json", fix->dir,
                                             sizeof fix->dir),
                     0);
    snprintf(fix->home, sizeof fix->home, "file:%s/log?segment=1M&partitions=1", fix->dir);
    make_log(fix);
    *state = fix;
    return 0;
}

static int tear_down(void **state) {
    fixture *fix = *state;
    (void)etx__dir_remove(fix->dir);
    free(fix);
    return 0;
}

/* Runs a command with the log's home; it ends with `code`, and says `words`. */
static void expect(const fixture *fix,
                   cli_run_fn run,
                   int code,
                   const char *words,
                   const char *const *args) {
    char *argv[ARGS_MAX + 4] = {"command", "--home", (char *)fix->home};
    char text[4000] = "";
    cli_context cli = {.out = tmpfile(), .path = "etx", .program = "etx"};
    int argc = 3;
    size_t len;
    while (args != NULL && args[argc - 3] != NULL) {
        argv[argc] = (char *)args[argc - 3];
        argc++;
    }
    assert_non_null(cli.out);
    cli.err = cli.out;
    assert_int_equal(run(&cli, argc, argv), code);
    rewind(cli.out);
    len = fread(text, 1, sizeof text - 1, cli.out);
    text[len] = '\0';
    (void)fclose(cli.out);
    if (strstr(text, words) == NULL) {
        fail_msg("'%s' is not in: %s", words, text);
    }
}

static void test_a_json_log_is_listed_and_operated(void **state) {
    static const char *const gid[] = {"order-1", NULL};
    static const char *const why[] = {"order-1", "--why", "a test", "--who", "eva", NULL};
    static const char *const all[] = {"--room", "0", "--older-than", "0", NULL};
    const fixture *fix = *state;
    expect(fix, etx__command_tx_list, CLI_OK, "order-1", NULL);
    expect(fix, etx__command_tx_show, CLI_OK, "order-1", gid);
    expect(fix, etx__command_tx_park, CLI_OK, "order-1", why);
    expect(fix, etx__command_doctor, CLI_NO, "parked", all);
    expect(fix, etx__command_tx_resume, CLI_OK, "order-1", why);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_json_log_is_listed_and_operated, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

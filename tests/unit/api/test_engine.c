/* Engines that cannot start, and what their messages say; calls in the wrong order. */
#include "host.h"

#include <sys/stat.h>

/* Creates an engine with that home and starts it: the error of whatever fails first, and the
 * message. */
static int start_on(const char *url, const etx_options *options, char message[512]) {
    etx_engine *engine = NULL;
    int rc = etx_engine_create(options, &engine);
    assert_int_equal(rc, 0);
    rc = etx_engine_home(engine, url);
    if (rc == 0) {
        rc = etx_engine_start(engine);
    }
    etx_engine_message(engine, message, 512);
    if (rc == 0) {
        assert_int_equal(etx_engine_close(engine, ETX_CLOSE_FINISH, 5000), 0);
    } else {
        assert_true(message[0] != '\0');
    }
    etx_engine_free(engine);
    return rc;
}

static void test_homes_that_cannot_be(void **state) {
    (void)state;
    char message[512], text[1024];
    etx_options options = host_options();
    const char *const bad[] = {"", ":", "file:", "nonsense", "/var/lib/x", "file:?partitions=4"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(start_on(bad[i], &options, message), ETX_EINVALID);
    }
    memset(text, 'u', sizeof(text));
    memcpy(text, "file:/", 6);
    text[sizeof(text) - 1] = '\0';
    assert_true(start_on(text, &options, message) < 0);
    assert_int_equal(start_on("nosuch:x", &options, message), ETX_EINVALID);
    assert_non_null(strstr(message, "nosuch"));
}

static void test_home_options_that_cannot_be(void **state) {
    (void)state;
    host_dir dir;
    char url[HOST_PATH_MAX + 64], message[512];
    etx_options options = host_options();
    const char *const bad[] = {"?partitions=0",        "?partitions=x", "?partitions=",
                               "?partitions=99999999", "?nosuch=1",     "?partitions=4&nosuch=1"};
    host_dir_make(&dir);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(url, sizeof(url), "%s%s", dir.url, bad[i]);
        assert_int_equal(start_on(url, &options, message), ETX_EINVALID);
    }
    snprintf(url, sizeof(url), "%s?partitions=4", dir.url);
    assert_int_equal(start_on(url, &options, message), 0);
    host_dir_remove(&dir);
}

static void test_directories(void **state) {
    (void)state;
    host_dir dir;
    char url[HOST_PATH_MAX + 64], message[512], path[HOST_PATH_MAX + 64];
    struct stat st;
    etx_options options = host_options();
    host_dir_make(&dir);
    /* made, for its owner alone, where the parent is there */
    assert_int_equal(start_on(dir.url, &options, message), 0);
    snprintf(path, sizeof(path), "%s/log", dir.path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    /* the parent is missing */
    snprintf(url, sizeof(url), "file:%s/no/such", dir.path);
    int rc = start_on(url, &options, message);
    assert_true(rc == ETX_ENOTFOUND || rc == ETX_EIO || rc == ETX_EINVALID);
    assert_non_null(strstr(message, "no"));
    /* a file is in its place */
    snprintf(path, sizeof(path), "%s/plain", dir.path);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fclose(file);
    snprintf(url, sizeof(url), "file:%s/plain", dir.path);
    assert_int_equal(start_on(url, &options, message), ETX_EINVALID);
    assert_non_null(strstr(message, "/plain is not a directory: name one, or what is not there"));
    /* ... or above it */
    snprintf(url, sizeof(url), "file:%s/plain/log", dir.path);
    assert_int_equal(start_on(url, &options, message), ETX_EINVALID);
    assert_non_null(strstr(message, "/plain/log: what stands above it is not a directory; name"));
    /* to look only, nothing is made */
    options.flags |= ETX_READ_ONLY;
    snprintf(url, sizeof(url), "file:%s/plain", dir.path);
    assert_int_equal(start_on(url, &options, message), ETX_EINVALID);
    assert_non_null(strstr(message, "/plain is not a directory: name the one that the log is in"));
    options.flags &= ~(uint32_t)ETX_READ_ONLY;
    /* a directory with something else in it is not taken */
    snprintf(path, sizeof(path), "%s/other", dir.path);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/other/letter.txt", dir.path);
    file = fopen(path, "we");
    assert_non_null(file);
    fclose(file);
    snprintf(url, sizeof(url), "file:%s/other", dir.path);
    rc = start_on(url, &options, message);
    assert_true(rc < 0 && rc != ETX_ENOMEM);
    assert_int_equal(stat(path, &st), 0);
    host_dir_remove(&dir);
}

static void test_order_of_calls(void **state) {
    (void)state;
    host_bank bank;
    etx_options options = host_options();
    etx_engine *engine = NULL;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx *tx = NULL;
    host_bank_make(&bank);
    assert_int_equal(etx_engine_create(&options, &engine), 0);
    int rc = etx_engine_start(engine); /* no home */
    assert_true(rc == ETX_EINVALID || rc == ETX_ESTATE);
    etx_engine_free(engine);
    assert_int_equal(etx_engine_create(&options, &engine), 0);
    assert_int_equal(etx_engine_home(engine, "memory:"), 0);
    rc = etx_tx_begin(engine, NULL, &tx); /* not started */
    assert_int_equal(rc, ETX_ESTATE);
    assert_int_equal(etx_engine_chosen_home(engine, 0), 0);
    assert_int_equal(etx_engine_start(engine), 0);
    assert_int_equal(etx_engine_start(engine), ETX_ESTATE);
    assert_int_equal(etx_engine_home(engine, "memory:"), ETX_ESTATE);
    assert_int_equal(etx_engine_chosen_home(engine, 0), ETX_ESTATE);
    etx_participant stock = host_participant("stock", ETX_TCC, 0, &bank);
    assert_int_equal(etx_engine_register(engine, &stock), 0); /* also after start */
    assert_int_equal(host_run(engine, "stock", &outcome), 0);
    assert_int_equal(outcome.state, ETX_COMMITTED);
    host_engine_end(engine);
}

static void test_null_is_refused(void **state) {
    (void)state;
    etx_tx *tx = NULL;
    etx_engine *engine = NULL;
    etx_options options = host_options();
    char message[4];
    assert_int_equal(etx_engine_create(&options, &engine), 0);
    assert_int_equal(etx_engine_home(engine, NULL), ETX_EINVALID);
    assert_int_equal(etx_engine_home(NULL, "memory:"), ETX_EINVALID);
    assert_int_equal(etx_engine_log(engine, etx_log_file()), ETX_ECONFLICT);
    assert_int_equal(etx_engine_log(engine, etx_log_memory()), ETX_ECONFLICT);
    assert_int_equal(etx_engine_log(engine, NULL), ETX_EINVALID);
    assert_int_equal(etx_engine_codec(engine, NULL), ETX_EINVALID);
    assert_int_equal(etx_engine_start(NULL), ETX_EINVALID);
    assert_int_equal(etx_engine_close(NULL, ETX_CLOSE_FINISH, 0), ETX_EINVALID);
    assert_int_equal(etx_tx_new(NULL, NULL, &tx), ETX_EINVALID);
    assert_true(etx_tx_new(engine, NULL, NULL) < 0);
    etx_engine_message(engine, message, sizeof(message)); /* cut, and ends with NUL */
    assert_true(strnlen(message, sizeof(message)) < sizeof(message));
    etx_tx_discard(NULL);
    etx_engine_free(engine);
}

static void test_volatile_must_be_allowed(void **state) {
    (void)state;
    host_bank bank;
    etx_options options = host_options();
    etx_engine *engine = NULL;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    host_bank_make(&bank);
    /* asked for local, only memory is there: refused at once, nothing is begun */
    options.durability = ETX_LOCAL;
    engine = host_engine("memory:", &options, &bank);
    assert_int_equal(host_run(engine, "stock", &outcome), ETX_EUNAVAILABLE);
    assert_int_equal(atomic_load(&bank.forwards), 0);
    host_engine_end(engine);
    /* not allowed: such a home is not taken, or never used */
    options.flags = 0;
    options.durability = ETX_VOLATILE;
    assert_int_equal(etx_engine_create(&options, &engine), 0);
    int rc = etx_engine_home(engine, "memory:");
    if (rc == 0) {
        rc = etx_engine_start(engine);
    }
    if (rc == 0) {
        etx_participant stock = host_participant("stock", ETX_TCC, 0, &bank);
        assert_int_equal(etx_engine_register(engine, &stock), 0);
        rc = host_run(engine, "stock", &outcome);
        assert_int_equal(etx_engine_close(engine, ETX_CLOSE_FINISH, 1000), 0);
    }
    assert_true(rc == ETX_EUNAVAILABLE || rc == ETX_EINVALID);
    etx_engine_free(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_homes_that_cannot_be),
        cmocka_unit_test(test_home_options_that_cannot_be),
        cmocka_unit_test(test_directories),
        cmocka_unit_test(test_order_of_calls),
        cmocka_unit_test(test_null_is_refused),
        cmocka_unit_test(test_volatile_must_be_allowed),
    };
    alarm(120);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

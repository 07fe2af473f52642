/* What the engine does to the process that it is a guest in: threads, descriptors, signals,
 * output, locale, environment. */
#include "host.h"

#include <dirent.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <sys/stat.h>

extern char **environ;

#define IDS_MAX 256

/* The numbers that a folder of /proc lists. */
typedef struct ids {
    long id[IDS_MAX];
    size_t count;
} ids;

static void list_ids(const char *folder, ids *ret_ids) {
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    ret_ids->count = 0;
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (entry->d_name[0] != '.') {
            assert_true(ret_ids->count < IDS_MAX);
            long id = strtol(entry->d_name, NULL, 10);
            if (strcmp(folder, "/proc/self/fd") != 0 || id != dirfd(dir)) {
                ret_ids->id[ret_ids->count++] = id;
            }
        }
    }
    closedir(dir);
}

static bool has_id(const ids *list, long id) {
    for (size_t i = 0; i < list->count; i++) {
        if (list->id[i] == id) {
            return true;
        }
    }
    return false;
}

/* The value behind `key` in a file of /proc, in `base`. */
static uint64_t proc_value(const char *path, const char *key, int base) {
    char line[256];
    uint64_t value = 0;
    bool found = false;
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    while (!found && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0) {
            value = strtoull(line + strlen(key), NULL, base);
            found = true;
        }
    }
    fclose(file);
    assert_true(found);
    return value;
}

/* Empty: it is gone since it was listed. */
static void read_comm(long tid, char comm[32]) {
    char path[64];
    comm[0] = '\0';
    snprintf(path, sizeof(path), "/proc/self/task/%ld/comm", tid);
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        if (fgets(comm, 32, file) == NULL) {
            comm[0] = '\0';
        }
        fclose(file);
    }
}

/* Threads of engines. One that has ended is listed for a moment, as the kernel has it. */
static unsigned engine_threads(void) {
    unsigned count = 0;
    ids all;
    list_ids("/proc/self/task", &all);
    for (size_t i = 0; i < all.count; i++) {
        char comm[32];
        read_comm(all.id[i], comm);
        count += strncmp(comm, "etx", 3) == 0;
    }
    return count;
}

/* Every signal but those that cannot be blocked (KILL, STOP) and the two that glibc keeps. */
static uint64_t all_signals(void) {
    uint64_t mask = 0;
    for (unsigned number = 1; number <= 64; number++) {
        if (number != SIGKILL && number != SIGSTOP && number != 32 && number != 33) {
            mask |= (uint64_t)1 << (number - 1);
        }
    }
    return mask;
}

static void test_threads_block_all_signals_and_have_names(void **state) {
    (void)state;
    host_dir dir;
    host_bank bank;
    ids before, after;
    unsigned named = 0;
    host_dir_make(&dir);
    host_bank_make(&bank);
    list_ids("/proc/self/task", &before);
    etx_engine *engine = host_engine(dir.url, NULL, &bank);
    etx_outcome outcome = ETX_OUTCOME_INIT;
    assert_int_equal(host_run(engine, "slow", &outcome), 0);
    list_ids("/proc/self/task", &after);
    for (size_t i = 0; i < after.count; i++) {
        char comm[32], path[64];
        if (has_id(&before, after.id[i])) {
            continue;
        }
        read_comm(after.id[i], comm);
        if (strncmp(comm, "etx", 3) != 0) {
            /* the thread sanitizer has a thread of its own */
            assert_true(HOST_THREAD_SANITIZER);
            continue;
        }
        named++;
        snprintf(path, sizeof(path), "/proc/self/task/%ld/status", after.id[i]);
        assert_int_equal(proc_value(path, "SigBlk:", 16) & all_signals(), all_signals());
    }
    assert_true(named >= 2);
    host_engine_end(engine);
    uint64_t end = host_now_ms() + 60000;
    while (engine_threads() > 0) {
        assert_true(host_now_ms() < end);
        usleep(1000);
    }
    host_dir_remove(&dir);
}

static void test_descriptors_are_close_on_exec_and_go_with_the_engine(void **state) {
    (void)state;
    host_dir dir;
    host_bank bank;
    ids before, during, after;
    unsigned opened = 0;
    host_dir_make(&dir);
    host_bank_make(&bank);
    list_ids("/proc/self/fd", &before);
    etx_engine *engine = host_engine(dir.url, NULL, &bank);
    etx_outcome outcome = ETX_OUTCOME_INIT;
    assert_int_equal(host_run(engine, "stock", &outcome), 0);
    list_ids("/proc/self/fd", &during);
    for (size_t i = 0; i < during.count; i++) {
        char path[64];
        if (!has_id(&before, during.id[i])) {
            opened++;
            snprintf(path, sizeof(path), "/proc/self/fdinfo/%ld", during.id[i]);
            assert_true((proc_value(path, "flags:", 8) & O_CLOEXEC) != 0);
        }
    }
    assert_true(opened >= 1);
    host_engine_end(engine);
    list_ids("/proc/self/fd", &after);
    assert_int_equal(after.count, before.count);
    host_dir_remove(&dir);
}

/* Starts, runs, refuses, fails and closes: all that could print or change something. */
static void do_everything(void) {
    host_dir dir;
    host_bank bank;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_engine *broken = NULL;
    etx_options options = host_options();
    host_dir_make(&dir);
    host_bank_make(&bank);
    etx_engine *engine = host_engine(dir.url, &options, &bank);
    assert_int_equal(host_run(engine, "slow", &outcome), 0);
    assert_int_equal(outcome.state, ETX_COMMITTED);
    atomic_store(&bank.forward_reply, ETX_REFUSED);
    assert_int_equal(host_run(engine, "step", &outcome), 0);
    assert_int_equal(outcome.state, ETX_ABORTED);
    assert_int_equal(host_run(engine, "nobody", &outcome), ETX_ENOTFOUND);
    assert_int_equal(etx_engine_create(&options, &broken), 0);
    assert_int_equal(etx_engine_home(broken, dir.url), 0);
    assert_int_equal(etx_engine_start(broken), ETX_EBUSY);
    etx_engine_free(broken);
    host_engine_end(engine);
    host_dir_remove(&dir);
}

static void test_nothing_is_written_to_stdout_or_stderr(void **state) {
    (void)state;
    int saved[2], file[2];
    fflush(NULL);
    for (int i = 0; i < 2; i++) {
        char name[] = "/tmp/etx-output-XXXXXX";
        file[i] = mkstemp(name);
        assert_true(file[i] >= 0);
        unlink(name);
        saved[i] = dup(i + 1);
        assert_true(saved[i] >= 0);
        assert_true(dup2(file[i], i + 1) >= 0);
    }
    do_everything();
    fflush(NULL);
    for (int i = 0; i < 2; i++) {
        struct stat st;
        assert_true(dup2(saved[i], i + 1) >= 0);
        assert_int_equal(fstat(file[i], &st), 0);
        assert_int_equal(st.st_size, 0);
        close(file[i]);
        close(saved[i]);
    }
}

static void read_handlers(struct sigaction handlers[65]) {
    memset(handlers, 0, 65 * sizeof(handlers[0]));
    for (int number = 1; number <= 64; number++) {
        sigaction(number, NULL, &handlers[number]);
    }
}

static void test_signal_handlers_stay(void **state) {
    (void)state;
    struct sigaction before[65], after[65];
    sigset_t mask_before, mask_after;
    read_handlers(before);
    pthread_sigmask(SIG_SETMASK, NULL, &mask_before);
    do_everything();
    read_handlers(after);
    pthread_sigmask(SIG_SETMASK, NULL, &mask_after);
    for (int number = 1; number <= 64; number++) {
        assert_true(before[number].sa_handler == after[number].sa_handler);
        assert_int_equal(before[number].sa_flags, after[number].sa_flags);
        assert_int_equal(sigismember(&mask_before, number), sigismember(&mask_after, number));
    }
}

static void test_locale_environment_directory_and_umask_stay(void **state) {
    (void)state;
    char locale[256], cwd_before[1024], cwd_after[1024];
    size_t count = 0;
    mode_t mask = umask(027);
    assert_non_null(getcwd(cwd_before, sizeof(cwd_before)));
    snprintf(locale, sizeof(locale), "%s", setlocale(LC_ALL, NULL));
    char **variables = environ;
    while (environ[count] != NULL) {
        count++;
    }
    char **copy = calloc(count + 1, sizeof(*copy));
    assert_non_null(copy);
    memcpy(copy, environ, count * sizeof(*copy));
    do_everything();
    assert_string_equal(setlocale(LC_ALL, NULL), locale);
    assert_ptr_equal(environ, variables);
    assert_memory_equal(environ, copy, (count + 1) * sizeof(*copy));
    assert_non_null(getcwd(cwd_after, sizeof(cwd_after)));
    assert_string_equal(cwd_before, cwd_after);
    assert_int_equal(umask(mask), 027);
    free(copy);
}

/* A host without standard streams that writes there all the same does not write into the log. */
static void test_closed_streams_are_left_closed(void **state) {
    (void)state;
    host_dir dir;
    host_bank bank;
    int kept[3];
    etx_outcome outcome = ETX_OUTCOME_INIT;
    unsigned taken = 0;
    host_dir_make(&dir);
    host_bank_make(&bank);
    fflush(NULL);
    for (int fd = 0; fd < 3; fd++) {
        kept[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 10);
        close(fd);
    }
    etx_engine *engine = host_engine(dir.url, NULL, &bank);
    int rc = host_run(engine, "stock", &outcome);
    for (int fd = 0; fd < 3; fd++) {
        taken += fcntl(fd, F_GETFD) != -1;
    }
    int ended = etx_engine_close(engine, ETX_CLOSE_FINISH, 60000);
    etx_engine_free(engine);
    for (int fd = 0; fd < 3; fd++) {
        dup2(kept[fd], fd);
        close(kept[fd]);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(taken, 0);
    assert_int_equal(ended, 0);
    host_dir_remove(&dir);
}

/* A signal that the host waits for reaches the host, however busy the engine's threads are. */
static void test_signals_reach_the_host(void **state) {
    (void)state;
    host_bank bank;
    sigset_t wanted, old;
    host_bank_make(&bank);
    etx_engine *engine = host_engine("memory:", NULL, &bank);
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &wanted, &old);
    kill(getpid(), SIGUSR1);
    struct timespec patience = {60, 0};
    assert_int_equal(sigtimedwait(&wanted, NULL, &patience), SIGUSR1);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    host_engine_end(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_block_all_signals_and_have_names),
        cmocka_unit_test(test_descriptors_are_close_on_exec_and_go_with_the_engine),
        cmocka_unit_test(test_nothing_is_written_to_stdout_or_stderr),
        cmocka_unit_test(test_signal_handlers_stay),
        cmocka_unit_test(test_locale_environment_directory_and_umask_stay),
        cmocka_unit_test(test_closed_streams_are_left_closed),
        cmocka_unit_test(test_signals_reach_the_host),
    };
    alarm(120);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

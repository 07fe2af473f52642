/* Makes, damages and reads file logs for the tests of their recovery. */
#include "fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int fixture_setup(void **state) {
    const char *base = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    log_fixture *made = calloc(1, sizeof *made);
    if (!made)
        return -1;
    log_subject *subject = &made->subject;
    subject->ops = etx_log_file();
    subject->persistent = 1;
    snprintf(subject->dir, sizeof subject->dir, "%s/etx-file-log-XXXXXX", base);
    if (!mkdtemp(subject->dir))
        return -1;
    snprintf(subject->url, sizeof subject->url, "file:%s/log?partitions=1&segment=1M",
             subject->dir);
    made->chain = (log_chain){.subject = subject, .nonce = 77};
    *state = made;
    return fixture_open(made, 0);
}

int fixture_teardown(void **state) {
    log_fixture *done = *state;
    if (done->subject.log)
        fixture_close(done, 0);
    fixture_command("rm -rf '%s'", done->subject.dir);
    free(done);
    return 0;
}

int fixture_open(log_fixture *fixture, uint32_t flags) {
    fixture->subject.log = NULL;
    return subject_open(&fixture->subject, flags);
}

void fixture_expect(log_fixture *fixture, int rc, int wanted, const char *words) {
    if (rc != wanted || !strstr(fixture->subject.message, words))
        fail_msg("%d '%s', not %d '%s'", rc, fixture->subject.message, wanted, words);
}

void fixture_close(log_fixture *fixture, int clean) {
    fixture->subject.ops->close(fixture->subject.log, clean);
    fixture->subject.log = NULL;
}

void fixture_puts(log_fixture *fixture, uint64_t count, size_t len) {
    uint8_t *bytes = malloc(len);
    assert_non_null(bytes);
    for (uint64_t i = 0; i < count; i++) {
        batch_fill(fixture->chain.next, bytes, len);
        assert_int_equal(chain_put(&fixture->chain, bytes, len), ETX_PUT_WRITTEN);
    }
    free(bytes);
}

typedef struct reading {
    uint64_t count;
    int wrong;
} reading;

static int read_slot(const etx_slot *slot, void *user) {
    reading *state = user;
    uint8_t *wanted = malloc(slot->batch.len);
    if (!wanted)
        return -1;
    batch_fill(slot->slot, wanted, slot->batch.len);
    state->wrong |= memcmp(wanted, slot->batch.data, slot->batch.len) != 0;
    state->count++;
    free(wanted);
    return 0;
}

int fixture_read(log_fixture *fixture, uint32_t flags, uint64_t *ret_count) {
    reading state = {0};
    uint64_t mark;
    int rc = fixture_open(fixture, flags);
    *ret_count = 0;
    if (rc)
        return rc;
    rc = fixture->subject.ops->get(fixture->subject.log, 0, 0, read_slot, &state, &mark,
                                   fixture->subject.message, sizeof fixture->subject.message);
    fixture_close(fixture, 0);
    assert_int_equal(state.wrong, 0);
    *ret_count = state.count;
    return rc;
}

void fixture_command(const char *format, ...) {
    char command[1200];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    assert_int_equal(system(command), 0);
}

const char *fixture_path(log_fixture *fixture, const char *name) {
    snprintf(fixture->path, sizeof fixture->path, "%s/%s", fixture->subject.dir, name);
    return fixture->path;
}

uint64_t random_next(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

uint8_t *file_load(const char *path, size_t *ret_len) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *ret_len = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*ret_len + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *ret_len, file), *ret_len);
    fclose(file);
    return bytes;
}

void file_patch(const char *path, uint64_t offset, const void *bytes, size_t len) {
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    fseek(file, (long)offset, SEEK_SET);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    fclose(file);
}

void file_spoil(const char *path, uint64_t offset) {
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    fseek(file, (long)offset, SEEK_SET);
    int byte = fgetc(file);
    assert_true(byte != EOF);
    fseek(file, (long)offset, SEEK_SET);
    assert_int_equal(fputc(byte ^ '#', file), byte ^ '#');
    fclose(file);
}

void fixture_await(log_fixture *fixture, uint32_t number) {
    char name[24];
    struct stat found;
    snprintf(name, sizeof name, "log/p00-%08u.seg", number);
    for (int i = 0; stat(fixture_path(fixture, name), &found); i++) {
        assert_true(i < 60 * 100);
        usleep(10 * 1000);
    }
}

uint32_t fixture_last_segment(log_fixture *fixture) {
    DIR *dir = opendir(fixture_path(fixture, "log"));
    const struct dirent *entry;
    uint32_t last = 0;
    uint64_t newest = 0;
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        struct {
            uint32_t checksum, segment;
            uint64_t slot;
        } stamp; /* little-endian machines only */
        char path[600];
        unsigned number;
        if (sscanf(entry->d_name, "p00-%8u.seg", &number) != 1)
            continue;
        snprintf(path, sizeof path, "%s/log/%s", fixture->subject.dir, entry->d_name);
        FILE *file = fopen(path, "rb");
        if (!file)
            continue; /* the helper has taken it meanwhile */
        fseek(file, 4096, SEEK_SET);
        size_t there = fread(&stamp, sizeof stamp, 1, file);
        fclose(file);
        if (there && stamp.segment == number && stamp.slot + 1 >= newest && number > last) {
            newest = stamp.slot + 1;
            last = number;
        }
    }
    closedir(dir);
    return last;
}

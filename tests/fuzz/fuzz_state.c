/* Fuzzes the file that a node's state directory has of a home. What is taken is written again, and
 * reads back the same; what was written, with any byte of it changed or its end cut off, is refused
 * by name. */
#include "fuzz.h"

#include "../../src/runtime/machine.h"
#include "../../src/runtime/seen_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[64];
static char path[128];

static void remove_dir(void) {
    unlink(path);
    rmdir(dir);
}

/* Once for the process. */
static void make_dir(void) {
    if (dir[0] == '\0') {
        snprintf(dir, sizeof dir, "%s/etx-fuzz-state-XXXXXX",
                 access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp");
        fuzz_check(mkdtemp(dir) != NULL);
        snprintf(path, sizeof path, "%s/fuzz000.state", dir);
        fuzz_check(atexit(remove_dir) == 0);
    }
}

static void write_file(const void *bytes, size_t len) {
    FILE *file = fopen(path, "wb");
    fuzz_check(file != NULL && fwrite(bytes, 1, len, file) == len);
    fclose(file);
}

static char *read_file(size_t *ret_len) {
    enum { MOST = 8 << 20 };
    char *bytes = fuzz_alloc(MOST);
    FILE *file = fopen(path, "rb");
    fuzz_check(file != NULL);
    *ret_len = fread(bytes, 1, MOST, file);
    fclose(file);
    return bytes;
}

static int read_state(etx_seen *ret_state) {
    char message[400] = "";
    int rc = etx_seen_read(dir, "fuzz000", ret_state, message, sizeof message);
    fuzz_check(rc == 0 || rc == ETX_ECORRUPT || rc == ETX_EVERSION);
    fuzz_check(rc == 0 || strstr(message, "fuzz000.state") != NULL);
    return rc;
}

static void check_equal(const etx_seen *a, const etx_seen *b) {
    fuzz_check(strcmp(a->home, b->home) == 0 && strcmp(a->url, b->url) == 0);
    fuzz_check(strcmp(a->identity, b->identity) == 0 && a->written_ms == b->written_ms);
    fuzz_check(a->partitions == b->partitions);
    for (uint32_t i = 0; i < a->partitions; i++) {
        const etx_seen_mark *x = &a->mark[i];
        const etx_seen_mark *y = &b->mark[i];
        fuzz_check(x->known == y->known && x->slot == y->slot && x->checksum == y->checksum &&
                   x->accepted_ms == y->accepted_ms);
    }
}

static void check_again(const etx_seen *state) {
    char message[400] = "";
    etx_seen again;
    fuzz_check_say(etx__seen_write(&etx__allocator, dir, state, message, sizeof message) == 0,
                   message);
    fuzz_check(read_state(&again) == 0);
    check_equal(state, &again);
    etx_seen_free(&again);
}

/* `where` and `how` say which byte is changed, or where the end is. */
static void check_damage(uint64_t where, uint8_t how) {
    size_t len;
    etx_seen state;
    char *bytes = read_file(&len);
    size_t at = (size_t)(where % len);
    if (how == 0) {
        len = at;
    } else {
        bytes[at] = (char)(bytes[at] ^ how);
    }
    write_file(bytes, len);
    fuzz_check(read_state(&state) != 0);
    free(bytes);
}

/* The rest of the input, with the sum that belongs below it if that is asked for. */
static void write_input(fuzz_input from, int with_sum) {
    char *text = fuzz_alloc(from.left + 16);
    size_t len = from.left;
    if (len > 0) {
        memcpy(text, from.at, len);
    }
    if (with_sum) {
        len += (size_t)snprintf(text + len, 16, "sum %08x\n", etx_crc32c(0, text, len));
    }
    write_file(text, len);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input input = {data, size};
    etx_seen state;
    make_dir();
    int with_sum = fuzz_byte(&input) & 1;
    uint64_t where = fuzz_number(&input, 2);
    uint8_t how = fuzz_byte(&input);
    write_input(input, with_sum);
    if (read_state(&state) == 0) {
        check_again(&state);
        check_damage(where, how);
        etx_seen_free(&state);
    }
    return 0;
}

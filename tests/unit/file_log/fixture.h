/* A file log in a directory of its own, for tests that damage it. */
#ifndef ETX_TESTS_UNIT_FILE_LOG_FIXTURE_H
#define ETX_TESTS_UNIT_FILE_LOG_FIXTURE_H

#include "../../conformance/log_subject.h"

#include <etx/log_file.h>

typedef struct log_fixture {
    log_subject subject; /* its directory is dir/log */
    log_chain chain;     /* of partition 0 */
    char path[300];
} log_fixture;

/* A log with one partition of 1 MiB segments, open. */
int fixture_setup(void **state);
int fixture_teardown(void **state);
void fixture_puts(log_fixture *fixture, uint64_t count, size_t len);
void fixture_close(log_fixture *fixture, int clean);
int fixture_open(log_fixture *fixture, uint32_t flags);
/* That is what an open gave, and its message holds `words`. */
void fixture_expect(log_fixture *fixture, int rc, int wanted, const char *words);
/* Opens, reads everything, closes. 0, or what refused; ret_count slots were right. */
int fixture_read(log_fixture *fixture, uint32_t flags, uint64_t *ret_count);
void fixture_command(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* dir/NAME */
const char *fixture_path(log_fixture *fixture, const char *name);
/* The number of the segment that holds the last group. */
uint32_t fixture_last_segment(log_fixture *fixture);
/* Waits until the segment has its name: the helper makes spares when the machine lets it. */
void fixture_await(log_fixture *fixture, uint32_t number);
/* The next number of a sequence that is the same on every run. */
uint64_t random_next(uint64_t *state);
uint8_t *file_load(const char *path, size_t *ret_len);
void file_patch(const char *path, uint64_t offset, const void *bytes, size_t len);
/* The byte there is another one. */
void file_spoil(const char *path, uint64_t offset);

#endif

/* The file log's dealings with the operating system, and its words: file_disk.c. */
#ifndef ETX_INTEGRATION_LOG_FILE_DISK_H
#define ETX_INTEGRATION_LOG_FILE_DISK_H

#include <etx/log_file.h>

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#define ETX__NAME_SIZE 32
#define ETX__IRREGULAR ENOTBLK /* an errno of ours: it is no regular file */

typedef struct etx__file_log etx__file_log;

/* Where an error is put into words; either may be absent. */
typedef struct etx__file_words {
    char *text;
    size_t size;
} etx__file_words;

/* Something bad at a place. Open turns it into a message, verify into a finding. */
typedef struct etx__file_fault {
    int rc;
    etx_file_state state;
    char file[ETX__NAME_SIZE];
    uint64_t offset;
    uint64_t slot;
    char text[192];
} etx__file_fault;

typedef struct etx__file_buffer {
    void *block;
    size_t block_size;
    uint8_t *data; /* aligned to ETX__BLOCK */
    size_t size;
} etx__file_buffer;

/* file_disk.c: words, buffers, whole reads and writes. What returns int: 0 or an errno. */
int etx__file_say(const etx__file_words *words, int rc, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int etx__file_fault_set(etx__file_fault *fault,
                        int rc,
                        const char *file,
                        uint64_t offset,
                        uint64_t slot,
                        const char *format,
                        ...) __attribute__((format(printf, 6, 7)));
int etx__file_fault_say(const etx__file_log *log,
                        const etx__file_fault *fault,
                        const etx__file_words *words);
int etx__file_room_check(const void *ret, const char *name, const etx__file_words *words);
void etx__file_give(void *ret, const void *from, size_t size);
int etx__file_error_code(int error);
etx_allocator etx__file_allocator(const etx_allocator *given);
int etx__file_buffer_reserve(const etx_allocator *allocator, etx__file_buffer *buffer, size_t size);
void etx__file_buffer_free(const etx_allocator *allocator, etx__file_buffer *buffer);
int etx__file_above_streams(int fd);
int etx__file_open_at(int dir_fd, const char *name, int flags);
int etx__file_write(int fd, const void *data, size_t len, uint64_t offset);
int etx__file_read(int fd, void *data, size_t len, uint64_t offset, size_t *ret_len);
int etx__file_takes_direct(const etx_allocator *allocator, int fd);
int etx__file_zero(const etx__file_log *log, int fd, uint64_t from, uint64_t to);
int etx__file_sync_dir(int dir_fd);
int etx__file_random(void *data, size_t len);
void etx__file_own(int dir_fd, int fd);
const char *etx__file_why(int error);
const char *etx__file_reason(int error);
const char *etx__file_remedy(int error, const char *of_account);
uint64_t etx__file_now_ms(void);

#endif

/* The file log's dealings with the operating system: whole reads and writes, buffers, words. */
#include "file.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int etx__file_say(const etx__file_words *words, int rc, const char *format, ...) {
    if (words && words->text && words->size) {
        va_list args;
        va_start(args, format);
        vsnprintf(words->text, words->size, format, args);
        va_end(args);
    }
    return rc;
}

int etx__file_fault_set(etx__file_fault *fault,
                        int rc,
                        const char *file,
                        uint64_t offset,
                        uint64_t slot,
                        const char *format,
                        ...) {
    va_list args;
    fault->rc = rc;
    fault->state = ETX_FILE_CORRUPT;
    snprintf(fault->file, sizeof fault->file, "%s", file);
    fault->offset = offset;
    fault->slot = slot;
    va_start(args, format);
    vsnprintf(fault->text, sizeof fault->text, format, args);
    va_end(args);
    return rc;
}

int etx__file_fault_say(const etx__file_log *log,
                        const etx__file_fault *fault,
                        const etx__file_words *words) {
    if (fault->rc == ETX_ECORRUPT)
        return etx__file_say(
            words, fault->rc,
            "%s/%s at byte %llu (slot %llu): %s; 'etx log verify %s' shows what is "
            "damaged, 'etx log repair' copies what is sound",
            log->dir, fault->file, (unsigned long long)fault->offset,
            (unsigned long long)fault->slot, fault->text, log->dir);
    return etx__file_say(words, fault->rc, "%s/%s at byte %llu: %s", log->dir, fault->file,
                         (unsigned long long)fault->offset, fault->text);
}

/* A caller's struct begins with its size: so much of it there is. NULL: nobody asks. */
int etx__file_room_check(const void *ret, const char *name, const etx__file_words *words) {
    size_t room = sizeof room;
    if (ret)
        memcpy(&room, ret, sizeof room);
    return room >= sizeof room
               ? 0
               : etx__file_say(words, ETX_EINVALID, "its size must be set, to sizeof(%s)", name);
}

/* As much as there is room for: the caller's struct may be an older one, and shorter, or a newer
 * one. Its size stays as it is. */
void etx__file_give(void *ret, const void *from, size_t size) {
    size_t room = 0;
    if (!ret)
        return;
    memcpy(&room, ret, sizeof room);
    memcpy((uint8_t *)ret + sizeof room, (const uint8_t *)from + sizeof room,
           (room < size ? room : size) - sizeof room);
}

/* The code for what the operating system said. */
int etx__file_error_code(int error) {
    if (error == ENOSPC || error == EDQUOT || error == EFBIG)
        return ETX_EFULL;
    if (error == ENOMEM)
        return ETX_ENOMEM;
    return ETX_EIO;
}

static void *default_allocate(void *user, size_t size) {
    (void)user;
    return calloc(1, size);
}

static void default_release(void *user, void *block, size_t size) {
    (void)user;
    (void)size;
    free(block);
}

etx_allocator etx__file_allocator(const etx_allocator *given) {
    if (given)
        return *given;
    return (etx_allocator){.allocate = default_allocate, .release = default_release};
}

/* Makes room for `size` bytes; what was in it is lost. 0 or ETX_ENOMEM. */
int etx__file_buffer_reserve(const etx_allocator *allocator,
                             etx__file_buffer *buffer,
                             size_t size) {
    size_t want = ETX__BLOCK;
    if (buffer->size >= size)
        return 0;
    while (want < size)
        want *= 2;
    etx__file_buffer_free(allocator, buffer);
    buffer->block = allocator->allocate(allocator->user, want + ETX__BLOCK);
    if (!buffer->block)
        return ETX_ENOMEM;
    buffer->block_size = want + ETX__BLOCK;
    buffer->data = (uint8_t *)buffer->block +
                   (ETX__BLOCK - (uintptr_t)buffer->block % ETX__BLOCK) % ETX__BLOCK;
    buffer->size = want;
    return 0;
}

void etx__file_buffer_free(const etx_allocator *allocator, etx__file_buffer *buffer) {
    if (buffer->block)
        allocator->release(allocator->user, buffer->block, buffer->block_size);
    *buffer = (etx__file_buffer){0};
}

/* A program that has closed its standard streams may write there all the same: what it writes must
 * not find a file of ours. The descriptor, above those three, or -1 and an errno. */
int etx__file_above_streams(int fd) {
    int above = fd;
    if (fd >= 0 && fd <= STDERR_FILENO) {
        above = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        int error = errno;
        close(fd);
        errno = error;
    }
    return above;
}

/* Opens a file of the log, which may not be ours to wait for: a FIFO would hang us, a device do
 * anything. A new one has mode 0600. The descriptor, or -1 and an errno. */
int etx__file_open_at(int dir_fd, const char *name, int flags) {
    int fd = openat(dir_fd, name, flags | O_NONBLOCK | O_CLOEXEC, 0600);
    struct stat found;
    if (fd < 0 && (errno == ENXIO || errno == EISDIR))
        errno = ETX__IRREGULAR;
    if (fd >= 0 && !fstat(fd, &found) && !S_ISREG(found.st_mode)) {
        close(fd);
        fd = -1;
        errno = ETX__IRREGULAR;
    }
    return etx__file_above_streams(fd);
}

/* A short write is no error: the rest follows. An error is final. */
int etx__file_write(int fd, const void *data, size_t len, uint64_t offset) {
    const uint8_t *from = data;
    while (len) {
        ssize_t n = pwrite(fd, from, len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        from += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

/* Reads up to `len` bytes; fewer only at the end of the file. */
int etx__file_read(int fd, void *data, size_t len, uint64_t offset, size_t *ret_len) {
    size_t got = 0;
    while (got < len) {
        ssize_t n = pread(fd, (uint8_t *)data + got, len - got, (off_t)(offset + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            break;
        got += (size_t)n;
    }
    *ret_len = got;
    return 0;
}

/* Does the file system take O_DIRECT, with which the file is open, in the units that we use? */
int etx__file_takes_direct(const etx_allocator *allocator, int fd) {
    etx__file_buffer buffer = {0};
    size_t len = 0;
    int takes = !etx__file_buffer_reserve(allocator, &buffer, ETX__BLOCK) &&
                !etx__file_read(fd, buffer.data, ETX__SECTOR, 0, &len) && len == ETX__SECTOR;
    etx__file_buffer_free(allocator, &buffer);
    return takes;
}

/* Writes zeros from one block boundary to another. */
int etx__file_zero(const etx__file_log *log, int fd, uint64_t from, uint64_t to) {
    etx__file_buffer zeros = {0};
    int error = 0;
    size_t piece = to - from < ETX__WINDOW ? (size_t)(to - from) : ETX__WINDOW;
    if (etx__file_buffer_reserve(&log->allocator, &zeros, piece))
        return ENOMEM;
    while (from < to && !error) {
        size_t len = to - from < piece ? (size_t)(to - from) : piece;
        error = etx__file_write(fd, zeros.data, len, from);
        from += len;
    }
    etx__file_buffer_free(&log->allocator, &zeros);
    return error;
}

int etx__file_sync_dir(int dir_fd) {
    return fsync(dir_fd) ? errno : 0;
}

int etx__file_random(void *data, size_t len) {
    return getrandom(data, len, 0) == (ssize_t)len ? 0 : EIO;
}

/* A new file of a privileged process goes to whom the log belongs, who must not be locked out. */
void etx__file_own(int dir_fd, int fd) {
    struct stat owner;
    struct stat made;
    if (geteuid() != 0 || fstat(fd, &made))
        return;
    if (fstatat(dir_fd, "home", &owner, AT_SYMLINK_NOFOLLOW) && fstat(dir_fd, &owner))
        return;
    if ((owner.st_uid != made.st_uid || owner.st_gid != made.st_gid) &&
        fchown(fd, owner.st_uid, owner.st_gid))
        errno = 0; /* a file system without owners: there is nobody to lock out */
}

/* What the operating system said, and what to do where its words do not tell. */
const char *etx__file_why(int error) {
    if (error == ETX__IRREGULAR)
        return "it is no regular file: move it away, and put back what belongs there";
    if (error == EMFILE)
        return "this process has too many files open: raise its limit (ulimit -n, LimitNOFILE=); "
               "a log takes up to 5 for each of its partitions";
    if (error == ENFILE)
        return "the machine has too many files open: raise its limit (fs.file-max)";
    if (error == EFBIG)
        return "beyond the limit of this process for the size of a file: raise it (ulimit -f, "
               "LimitFSIZE=)";
    return strerror(error);
}

/* Why a file could not be opened or read. */
const char *etx__file_reason(int error) {
    return error == EACCES || error == EPERM
               ? "may not be read by this user: change its owner or run as its owner"
               : etx__file_why(error);
}

/* What to do where a directory may not be written: no account can on a read-only file system. */
const char *etx__file_remedy(int error, const char *of_account) {
    return error == EROFS ? "mount it for writing, or name a directory elsewhere" : of_account;
}

uint64_t etx__file_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

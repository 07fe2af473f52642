/* The files of a state directory: one for each home, replaced whole. */
#ifndef ETX__SEEN_FILE_H
#define ETX__SEEN_FILE_H

#include <etx/seen.h>

/* Makes the directory if it is not there, and takes it for this engine alone, as long as the
 * descriptor is open. Errors: ETX_EBUSY (another engine has it), ETX_EIO; with message. */
int etx__seen_dir_take(const char *dir, int *ret_fd, char *message, size_t size);
/* Replaces the home's file, durably; what it says is put together in memory of the allocator.
 * Errors: ETX_EIO, ETX_ENOMEM; with message. */
int etx__seen_write(const etx_allocator *allocator,
                    const char *dir,
                    const etx_seen *state,
                    char *message,
                    size_t size);
/* Which home was at that URL, by the files of the directory: its file is read. Errors: as
 * etx_seen_read. */
int etx__seen_find(const char *dir,
                   const char *url,
                   etx_seen *ret_state,
                   char *message,
                   size_t size);

#endif

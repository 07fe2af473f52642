/* Options: defaults, limits, and structs of another version's size. */
#ifndef ETX__OPTIONS_H
#define ETX__OPTIONS_H

#include <etx/etx.h>

/* Copies a caller's struct of `from_size` into ours: what an older caller does not know is 0;
 * what a newer one asks for and we do not have is ETX_EINVALID. */
int etx__options_take(void *to, size_t to_size, const void *from, size_t from_size);
void etx__options_fill(etx_options *options);
/* What is wrong with them, or NULL. */
const char *etx__options_wrong(const etx_options *options);

#endif

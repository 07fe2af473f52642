/* The room that decode fills, of anybody's memory. */
#ifndef ETX_PROTOCOL_ROOM_H
#define ETX_PROTOCOL_ROOM_H

#include <etx/codec.h>

/* As etx_record_room_grow and etx_record_room_free, which take malloc's: the same allocator for a
 * room's whole life. */
int etx__record_room_grow(const etx_allocator *allocator, etx_record_room *room);
void etx__record_room_free(const etx_allocator *allocator, etx_record_room *room);

#endif

/* The 64-bit hash of ETX: fast, the same on every machine, part of the disk format (digests). */
#ifndef ETX_PROTOCOL_HASH_H
#define ETX_PROTOCOL_HASH_H

#include <stddef.h>
#include <stdint.h>

/* Not cryptographic and without a secret: equal bytes, equal hash, on any machine and in any
 * version, since digests made of it are stored. Change one constant and every log is unreadable
 * in its conflict checks: tests/unit/protocol pins the values. */

/* Of `len` bytes at any alignment. For tables, and for shards by gid. */
uint64_t etx__hash(const void *data, size_t len);

/* The pieces, for a hash over several fields: begin with a seed of your own, add words and bytes,
 * finish once. Bytes are added with their length, so that no two lists of fields run together. */
uint64_t etx__hash_bytes(uint64_t hash, const void *data, size_t len);
uint64_t etx__hash_word(uint64_t hash, uint64_t word);
uint64_t etx__hash_finish(uint64_t hash);

#endif

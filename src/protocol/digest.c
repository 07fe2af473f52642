/* The digests of a branch's and a begin's content, by which a repeated begin or enlist is told
 * from a conflicting one. They are stored: what goes in, and in which order, never changes. */
#include <etx/record.h>

#include "hash.h"

#define DIGEST_BRANCH_SEED 0x6272616e63682031u /* "branch 1" */
#define DIGEST_BEGIN_SEED 0x626567696e203120u  /* "begin 1 " */

/* 0 says "no digest" in a record, so no content may have it. */
static uint64_t digest_finish(uint64_t hash) {
    uint64_t digest = etx__hash_finish(hash);
    return digest != 0 ? digest : 1;
}

static uint64_t digest_add(uint64_t hash, etx_bytes bytes) {
    return etx__hash_bytes(hash, bytes.data, bytes.len);
}

uint64_t etx_record_branch_digest(const etx_record_branch *branch) {
    uint64_t hash =
        etx__hash_word(DIGEST_BRANCH_SEED, (uint64_t)branch->kind | (uint64_t)branch->flags << 8 |
                                               (uint64_t)branch->depends_on_count << 16 |
                                               (uint64_t)branch->attempts_max << 32);
    hash = digest_add(hash, branch->name);
    hash = digest_add(hash, branch->participant);
    hash = digest_add(hash, branch->payload);
    for (unsigned i = 0; i < branch->depends_on_count; i++) {
        hash = etx__hash_word(hash, branch->depends_on[i]);
    }
    hash = etx__hash_word(
        hash, (uint64_t)branch->call_timeout_ms | (uint64_t)branch->retry_first_ms << 32);
    return digest_finish(etx__hash_word(hash, branch->retry_cap_ms));
}

/* Not in it: times and the deadline (a repeat comes later), durability (where it landed does not
 * change what it is), the digest itself. */
uint64_t etx_record_begin_digest(const etx_record_begin *begin) {
    uint64_t hash = etx__hash_word(DIGEST_BEGIN_SEED,
                                   (uint64_t)begin->mode | (uint64_t)begin->branch_count << 16);
    hash = digest_add(hash, begin->initiator);
    if (begin->initiator_payload.len > 0) {
        hash = digest_add(hash, begin->initiator_payload);
    }
    for (unsigned i = 0; i < begin->branch_count; i++) {
        hash = etx__hash_word(hash, etx_record_branch_digest(&begin->branches[i]));
    }
    return digest_finish(hash);
}

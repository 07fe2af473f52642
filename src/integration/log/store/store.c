/* Puts and slots as all stores on a network have them, and small things beside. */
#include "store.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

int etx__store_say(char *message, size_t message_size, int rc, const char *format, ...) {
    if (message && message_size) {
        va_list args;
        va_start(args, format);
        vsnprintf(message, message_size, format, args);
        va_end(args);
    }
    return rc;
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

etx_allocator etx__store_allocator(const etx_allocator *given) {
    if (given)
        return *given;
    return (etx_allocator){.allocate = default_allocate, .release = default_release};
}

int etx__store_id_draw(char ret_id[ETX_HOME_ID_LEN + 1]) {
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    uint8_t random[ETX_HOME_ID_LEN - 1];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return ETX_EIO;
    ret_id[0] = 's'; /* a store that may be shared */
    for (int i = 1; i < ETX_HOME_ID_LEN; i++)
        ret_id[i] = digits[random[i - 1] % 32];
    ret_id[ETX_HOME_ID_LEN] = 0;
    return 0;
}

/* ---- puts */

etx_put_result etx__store_put_end(etx_put *put,
                                  etx_put_result result,
                                  int error,
                                  const char *text) {
    put->error = error;
    snprintf(put->message, sizeof put->message, "%.199s", text);
    return result;
}

static const char *wrong_with(const etx__store *store,
                              uint32_t partitions,
                              size_t batch_max,
                              const etx_put *put) {
    if (store->read_only)
        return "the log is open for reading only";
    if (put->partition >= partitions)
        return "there is no such partition";
    if (!put->batch.len || put->batch.len > batch_max)
        return "the batch is empty or too large";
    if (put->slot > INT64_MAX)
        return "there is no such slot";
    if (etx_slot_checksum(put->partition, put->slot, put->nonce, put->predecessor, put->batch) !=
        put->checksum)
        return "the checksum is not the batch's";
    return NULL;
}

etx_put_result etx__store_put_begin(const etx__store *store,
                                    uint32_t partitions,
                                    size_t batch_max,
                                    etx_put *put) {
    const char *wrong = wrong_with(store, partitions, batch_max, put);
    put->error = 0;
    put->message[0] = 0;
    put->found_checksum = 0;
    put->found_nonce = 0;
    put->found_trimmed = 0;
    return wrong ? etx__store_put_end(put, ETX_PUT_NOT_WRITTEN, ETX_EINVALID, wrong) : 0;
}

etx_put_result etx__store_put_finish(etx_put *put, etx_put_result result, _Atomic uint64_t *bytes) {
    if (!result)
        return etx__store_put_end(
            put, ETX_PUT_NOT_WRITTEN, ETX_EUNAVAILABLE,
            put->message[0] ? put->message : "other writers were faster, again and again");
    if (result == ETX_PUT_WRITTEN) {
        put->error = 0;
        put->message[0] = 0;
        atomic_fetch_add(bytes, put->batch.len + ETX__STORE_SLOT_COST);
    }
    return result;
}

/* ---- slots */

static int is_sound(const etx__store_reader *reader, const etx_slot *slot) {
    return slot->checksum == etx_slot_checksum(slot->partition, slot->slot, slot->nonce,
                                               slot->predecessor, slot->batch) &&
           (!reader->any || (slot->slot == reader->next && slot->predecessor == reader->checksum));
}

int etx__store_reader_take(etx__store_reader *reader, const etx_slot *slot) {
    if (!is_sound(reader, slot))
        return etx__store_say(reader->message, reader->message_size, ETX_ECORRUPT,
                              "slot %" PRIu64
                              " of partition %u is damaged, or does not follow the "
                              "one before it: restore a backup of the store",
                              slot->slot, slot->partition);
    reader->any = 1;
    reader->next = slot->slot + 1;
    reader->checksum = slot->checksum;
    reader->bytes += slot->batch.len + ETX__STORE_SLOT_COST;
    return reader->visit(slot, reader->user);
}

void etx__store_tell_gone(const etx_log_survey *survey, const etx_log_node *node) {
    if (survey->size >= sizeof *survey && survey->on_gone)
        survey->on_gone(node, survey->user);
}

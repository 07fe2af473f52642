/* Reads slots from Redis, in pages: all of them first, then each is given to the visitor.
 *
 * A page is one script, so one moment. If the partition was trimmed meanwhile beyond what has been
 * read, slots may be missing between two pages: all is read anew from the mark. What is given is a
 * chain from the mark that is told. */
#include "redis.h"

#include <stdlib.h>
#include <string.h>

enum { PAGE_SLOTS = 256 };

/* ARGV: log, slots. Answers: mark, newest, the values from the first slot on, until they take a
 * megabyte. Never a replica's: it may lag. Who may not ask that was asked when it connected. */
static const char read_page[] =
    "#!lua flags=no-writes,allow-oom\n"
    "local info = redis.pcall('INFO', 'replication')\n"
    "if type(info) == 'string' and not string.find(info, 'role:master', 1, true) then\n"
    "  return redis.error_reply('READONLY its role has changed')\n"
    "end\n"
    "local p = redis.call('HMGET', KEYS[1], 'log', 'below', 'newest')\n"
    "if p[1] ~= ARGV[1] then return 'gone' end\n"
    "local page = {p[2], p[3]}\n"
    "local bytes = 0\n"
    "for i = 2, #ARGV do\n"
    "  if ARGV[i] < p[2] or ARGV[i] > p[3] or bytes > 1048576 then break end\n"
    "  local value = redis.call('HGET', KEYS[1], ARGV[i])\n"
    "  page[#page + 1] = value\n"
    "  bytes = bytes + (value and #value or 0)\n"
    "end\n"
    "return page";

typedef struct page_reader {
    const etx__redis_log *log;
    etx__redis_partition *partition;
    redisReply **pages;
    size_t count;
    uint64_t mark;
    uint64_t next; /* the slot that is read next */
    uint64_t from;
    uint64_t connects; /* the session's, of the pages */
} page_reader;

static void forget(page_reader *reader) {
    for (size_t i = 0; i < reader->count; i++)
        freeReplyObject(reader->pages[i]);
    reader->count = 0;
}

static int ask(const page_reader *reader, redisReply **ret_page) {
    char names[PAGE_SLOTS][ETX__REDIS_NAME];
    etx__redis_command command;
    etx__redis_eval(&command, read_page, 1);
    etx__redis_word(&command, reader->partition->key);
    etx__redis_word(&command, reader->log->id);
    for (uint64_t i = 0; i < PAGE_SLOTS; i++) {
        etx__redis_slot_name(reader->next + i, names[i]);
        etx__redis_word(&command, names[i]);
    }
    etx__redis_session *session = &reader->partition->session;
    if (etx__redis_exec(session, &command, ret_page) != ETX__REDIS_DONE)
        return session->rc;
    if ((*ret_page)->type != REDIS_REPLY_ARRAY)
        return etx__redis_gone(session, reader->partition->key);
    return 0;
}

static int keep(page_reader *reader, redisReply *page) {
    redisReply **pages = realloc(reader->pages, (reader->count + 1) * sizeof *pages);
    if (!pages) {
        freeReplyObject(page);
        return etx__redis_say(&reader->partition->session, ETX_ENOMEM, "out of memory");
    }
    reader->pages = pages;
    reader->pages[reader->count++] = page;
    reader->next += page->elements - 2;
    return 0;
}

/* A page is no sequel if slots before it have been trimmed, or if another server gave it. */
static int goes_on(const page_reader *reader, uint64_t mark) {
    return reader->count > 0 && reader->next >= mark &&
           reader->connects == reader->partition->session.connects;
}

/* Reads one page. 1: that was the last. */
static int read_one(page_reader *reader) {
    redisReply *page = NULL;
    int rc = ask(reader, &page);
    uint64_t mark = etx__redis_number_at(page, 0);
    if (rc) {
        freeReplyObject(page);
        return rc;
    }
    if (!goes_on(reader, mark)) {
        uint64_t begin = reader->from > mark ? reader->from : mark;
        int elsewhere = begin != reader->next;
        forget(reader);
        reader->mark = mark;
        reader->next = begin;
        reader->connects = reader->partition->session.connects;
        if (elsewhere) { /* this page is not where to begin */
            freeReplyObject(page);
            return 0;
        }
    }
    uint64_t newest = etx__redis_number_at(page, 1);
    int any = etx__redis_text_at(page, 1).len > 0;
    rc = keep(reader, page);
    return rc ? rc : !any || reader->next > newest;
}

static int take_value(const page_reader *reader,
                      etx__store_reader *slots,
                      uint64_t number,
                      etx_bytes value) {
    uint32_t partition = (uint32_t)(reader->partition - reader->log->partition);
    if (value.len <= ETX__REDIS_HEADER)
        return etx__store_say(
            slots->message, slots->message_size, ETX_ECORRUPT,
            "slot %llu of partition %u is missing, or cut short: restore a backup "
            "of the store",
            (unsigned long long)number, partition);
    etx_slot slot = {
        .partition = partition,
        .slot = number,
        .batch = {(const char *)value.data + ETX__REDIS_HEADER, value.len - ETX__REDIS_HEADER}};
    etx__redis_header_read(value.data, &slot);
    return etx__store_reader_take(slots, &slot);
}

static int give_all(const page_reader *reader, etx__store_reader *slots) {
    uint64_t number = reader->from > reader->mark ? reader->from : reader->mark;
    int rc = 0;
    for (size_t i = 0; i < reader->count; i++)
        for (size_t at = 2; !rc && at < reader->pages[i]->elements; at++)
            rc = take_value(reader, slots, number++, etx__redis_text_at(reader->pages[i], at));
    return rc;
}

int etx__redis_get(etx_log *head,
                   uint32_t number,
                   uint64_t from,
                   etx_slot_fn visit,
                   void *user,
                   uint64_t *ret_mark,
                   char *message,
                   size_t message_size) {
    etx__redis_log *log = (etx__redis_log *)head;
    etx__store_reader slots = {visit, user, message, message_size};
    if (number >= log->partition_count)
        return etx__store_say(message, message_size, ETX_EINVALID, "there is no such partition");
    etx__redis_partition *partition = &log->partition[number];
    page_reader reader = {.log = log, .partition = partition, .from = from, .next = from};
    int rc = 0;
    while (!rc)
        rc = read_one(&reader);
    if (rc < 0)
        etx__store_say(message, message_size, rc, "%s", partition->session.text);
    else
        rc = give_all(&reader, &slots);
    forget(&reader);
    free(reader.pages);
    if (rc)
        return rc;
    if (from <= reader.mark)
        atomic_store(&partition->bytes, slots.bytes);
    if (ret_mark)
        *ret_mark = reader.mark;
    return 0;
}

/* Text that grows: answers, log lines and metrics are written into it. */
#ifndef ETXD_TEXT_H
#define ETXD_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* Zeroed it is empty. After a lack of memory `failed` is set, and nothing more is added. */
typedef struct etxd_text {
    char *bytes; /* ended by a 0, once something was added */
    size_t len;
    size_t size;
    int failed;
} etxd_text;

void etxd_text_add(etxd_text *text, const void *bytes, size_t len);
void etxd_text_put(etxd_text *text, const char *word);
void etxd_text_number(etxd_text *text, uint64_t number);
void etxd_text_print(etxd_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A JSON string, with its quotes; what is not UTF-8 becomes U+FFFD, and what a terminal would obey
 * is escaped. */
void etxd_text_json(etxd_text *text, const char *bytes, size_t len);
/* `,"name":"value"`; the comma is left out behind a '{' or '['. */
void etxd_text_member(etxd_text *text, const char *name, const char *value);
void etxd_text_member_number(etxd_text *text, const char *name, uint64_t number);
void etxd_text_member_flag(etxd_text *text, const char *name, int flag);
/* `,"name":`: a value follows. */
void etxd_text_name(etxd_text *text, const char *name);
/* ms since 1970 as "2026-01-31T12:00:00.123Z", as a JSON string, or null for 0. */
void etxd_text_member_time(etxd_text *text, const char *name, uint64_t ms);
/* Bytes in base64 (RFC 4648), without quotes. */
void etxd_text_base64(etxd_text *text, const void *bytes, size_t len);
void etxd_text_free(etxd_text *text);

enum { ETXD_MOMENT_MAX = 32 };
/* ms since 1970 as RFC 3339 has it, into ETXD_MOMENT_MAX bytes; returns `moment`. */
const char *etxd_moment(uint64_t ms, char *moment);
/* ms since 1970, now. */
uint64_t etxd_now_ms(void);

/* The word of the list (ended by NULL) that is nearest to one that is not in it, or NULL. */
const char *etxd_nearest(const char *word, const char *const *list);

/* FNV-1a, its high bits folded into the low ones. */
uint32_t etxd_hash(const char *text);

/* The length of the UTF-8 sequence that begins here, or 0 if there is none. */
size_t etxd_utf8(const char *bytes, size_t len);

#endif

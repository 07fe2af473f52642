/* Text: growing it, saying what is wrong, text of strangers, and headers that users give. */
#ifndef ETX_PARTICIPANT_HTTP_WORDS_H
#define ETX_PARTICIPANT_HTTP_WORDS_H

#include <stddef.h>

/* Text that grows; zeroed it is empty, freed by free(bytes). After a failure it stays `failed`. */
typedef struct etx__http_text {
    char *bytes; /* ends with a NUL that is not counted, once something was added */
    size_t len, size;
    int failed;
} etx__http_text;

void etx__http_add(etx__http_text *text, const void *bytes, size_t len);
void etx__http_add_text(etx__http_text *text, const char *more);
void etx__http_add_base64(etx__http_text *text, const void *bytes, size_t len);
/* Formats into `why`, which may be NULL, and returns `rc`. */
int etx__http_say(int rc, char *why, size_t size, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Copies text of strangers: control characters become spaces, what is not UTF-8 '?', and it is cut
 * before `size`, between characters. */
void etx__http_tidy(char *to, size_t size, const char *from, size_t len);
/* Any token of RFC 9110? */
int etx__http_is_token(const char *text, size_t len);

/* ---- fields.c: headers that users give */

/* Is it "Name: value" that may be sent beside our own? NULL, or why not. `exact`: one space after
 * the colon and nothing around the value, as they are kept. */
const char *etx__http_field_wrong(const char *line, int exact);
/* Splits one that is right. */
void etx__http_field_split(const char *line,
                           size_t *ret_name_len,
                           const char **ret_value,
                           size_t *ret_value_len);

#endif

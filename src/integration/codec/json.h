/* What the two halves of the JSON codec share: its words, and bytes as text. */
#ifndef ETX_INTEGRATION_CODEC_JSON_H
#define ETX_INTEGRATION_CODEC_JSON_H

#include <etx/codec_json.h>

/* Sets of words that stand for numbers. Of MARK and FLAG the number is that of a bit. */
typedef enum json_words {
    WORDS_RECORD,
    WORDS_STATE,
    WORDS_KIND,
    WORDS_REPLY,
    WORDS_MODE,
    WORDS_DURABILITY,
    WORDS_OPERATION,
    WORDS_DECISION,
    WORDS_ACTION,
    WORDS_MARK,
    WORDS_FLAG
} json_words;

/* NULL where the set has no such number. */
const char *etx__json_word(json_words words, unsigned value);
/* -1 where the set has no such word. */
int etx__json_value(json_words words, const char *word);

/* Integers up to this are JSON numbers, which every reader of JSON keeps exact; larger ones are
 * strings of decimal digits. */
#define JSON_NUMBER_MAX 9007199254740991u

/* Can it be shown as a string? UTF-8, without control characters other than tab, LF and CR. */
int etx__json_is_text(etx_bytes bytes);
/* RFC 4648, section 4, with padding. */
size_t etx__json_base64_size(size_t len);
void etx__json_base64_write(etx_bytes bytes, char *text);
/* Strict: 0 where `text` is not what base64_write writes. With ret_data NULL it only counts. */
int etx__json_base64_read(const char *text, size_t len, unsigned char *ret_data, size_t *ret_len);

size_t etx__json_bound(const etx_record *record);
size_t etx__json_encode(const etx_record *record, void *buffer);
int etx__json_decode(etx_bytes bytes,
                     etx_record_room *room,
                     etx_record *ret_record,
                     size_t *ret_used);

#endif

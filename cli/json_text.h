/* Members of JSON text as they are written there, byte for byte; the text should be sound. */
#ifndef ETX_CLI_JSON_TEXT_H
#define ETX_CLI_JSON_TEXT_H

#include <stddef.h>

/* A part of a text that ends with a 0; `at` NULL: there is none. */
typedef struct json_text {
    const char *at;
    size_t len;
} json_text;

/* The first value of the text, without what stands around it. */
json_text etx__json_text(const char *text);
/* Where the first member of an object, or item of an array, begins. */
const char *etx__json_inside(json_text whole);
/* The member (or item, whose name is not there) that begins there, and where the next one does. 0:
 * there is none. */
int etx__json_next(const char **at, json_text *ret_name, json_text *ret_value);
/* The value of the member; names with escapes are not found. */
json_text etx__json_member(json_text object, const char *name);
json_text etx__json_item(json_text array, size_t i);

#endif

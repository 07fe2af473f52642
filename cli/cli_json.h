/* JSON output by jansson: one object a line, bytes as text where they are text. */
#ifndef ETX_CLI_CLI_JSON_H
#define ETX_CLI_CLI_JSON_H

#include <jansson.h>

#include "cli.h"

/* Prints the object on one line and frees it. */
void etx__out_line(FILE *to, json_t *object);
/* Sets `name` to the bytes if they are printable UTF-8, else `name`_hex to their hexadecimals. */
void etx__out_bytes(json_t *object, const char *name, etx_bytes bytes);
void etx__out_number(json_t *object, const char *name, uint64_t number);
void etx__out_text(json_t *object, const char *name, const char *text);
/* With three digits behind the point; null if it is negative. */
void etx__out_real(json_t *object, const char *name, double number);

#endif

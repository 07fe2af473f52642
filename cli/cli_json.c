/* JSON output by jansson: one object a line, bytes as text where they are text. */
#include "cli_json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void etx__out_line(FILE *to, json_t *object) {
    if (json_dumpf(object, to, JSON_COMPACT | JSON_REAL_PRECISION(15)) == 0) {
        fputc('\n', to);
    }
    json_decref(object);
}

static int is_printable(etx_bytes bytes) {
    const unsigned char *data = bytes.data;
    size_t i;
    for (i = 0; i < bytes.len; i++) {
        if (data[i] < ' ' && data[i] != '\n' && data[i] != '\t') {
            return 0;
        }
    }
    return 1;
}

static void set_hex(json_t *object, const char *name, etx_bytes bytes) {
    static const char digits[] = "0123456789abcdef";
    const unsigned char *data = bytes.data;
    char *text = malloc(2 * bytes.len + 1);
    char key[64];
    size_t i;
    if (text == NULL) {
        return;
    }
    for (i = 0; i < bytes.len; i++) {
        text[2 * i] = digits[data[i] >> 4];
        text[2 * i + 1] = digits[data[i] & 15];
    }
    snprintf(key, sizeof key, "%s_hex", name);
    json_object_set_new(object, key, json_stringn(text, 2 * bytes.len));
    free(text);
}

void etx__out_bytes(json_t *object, const char *name, etx_bytes bytes) {
    json_t *text = NULL;
    if (is_printable(bytes)) {
        text = json_stringn(bytes.len > 0 ? bytes.data : "", bytes.len); /* NULL: no UTF-8 */
    }
    if (text != NULL) {
        json_object_set_new(object, name, text);
    } else {
        set_hex(object, name, bytes);
    }
}

void etx__out_number(json_t *object, const char *name, uint64_t number) {
    if (number > INT64_MAX) { /* jansson's integers are signed */
        char text[24];
        snprintf(text, sizeof text, "%llu", (unsigned long long)number);
        json_object_set_new(object, name, json_string(text));
    } else {
        json_object_set_new(object, name, json_integer((json_int_t)number));
    }
}

void etx__out_text(json_t *object, const char *name, const char *text) {
    etx_bytes bytes = {text, strlen(text)};
    etx__out_bytes(object, name, bytes);
}

void etx__out_real(json_t *object, const char *name, double number) {
    if (number < 0 || !isfinite(number)) {
        json_object_set_new(object, name, json_null());
    } else {
        json_object_set_new(object, name, json_real(round(number * 1000) / 1000));
    }
}

/* Reading JSON of a request: field by field, each refusal with a pointer to the field. */
#ifndef ETXD_JSON_H
#define ETXD_JSON_H

#include <jansson.h>

#include "etxd.h"

enum { ETXD_MEMBERS_MAX = 24 };

typedef struct etxd_member {
    const char *name;
    json_t *value;
} etxd_member;

/* An object of the body, and where it stands: "", "/filter", or "/branches" and its place there. */
typedef struct etxd_object {
    json_t *json;
    const char *within;
    size_t place; /* SIZE_MAX: none */
    etxd_problem *problem;
    etxd_scratch *scratch; /* of a body: where it lies, and in which piece */
    int piece, whole;      /* ... and whether all of it does */
    /* those of it, to be found without a hash for each field that may be there; 0: not listed */
    size_t count;
    etxd_member members[ETXD_MEMBERS_MAX];
} etxd_object;

/* Reads the body of a POST: demands the content type, one document, an object, not too deep, and no
 * fields but `names` (NULL: the caller looks at them). To be freed by etxd_json_free, with all that
 * is in it. 0, or -1 and a problem, as all here. */
int etxd_json_read(etxd_exchange *x, const char *const *names, etxd_object *ret);
/* What is zeroed is allowed. */
void etxd_json_free(etxd_object *body);
/* Begins with a value of the body. */
void etxd_json_open(etxd_object *object,
                    json_t *json,
                    const char *within,
                    size_t place,
                    etxd_problem *problem);
/* The problem is about that field; "": about the object. Returns -1. */
int etxd_json_point(const etxd_object *object, const char *name);
/* Refuses fields that are not among names (ended by NULL), with what may have been meant. */
int etxd_json_only(const etxd_object *object, const char *const *names);

/* NULL: it is not there. */
json_t *etxd_json_member(const etxd_object *object, const char *name);
/* These leave `*ret` as it is if the field is not there. Texts are borrowed, and have no NUL. */
int etxd_json_text(const etxd_object *object, const char *name, const char **ret);
int etxd_json_number(const etxd_object *object,
                     const char *name,
                     uint64_t least,
                     uint64_t most,
                     uint64_t *ret);
int etxd_json_flag(const etxd_object *object, const char *name, int *ret);
/* The place of the field's text among words (ended by NULL). */
int etxd_json_word(const etxd_object *object, const char *name, const char *const *words, int *ret);
int etxd_json_list(const etxd_object *object, const char *name, json_t **ret);
/* A list of texts: the i-th of it. */
int etxd_json_item(const etxd_object *object,
                   const char *name,
                   json_t *list,
                   size_t i,
                   const char **ret);
/* The field is needed, and is not there. */
int etxd_json_missing(const etxd_object *object, const char *name, const char *why);
int etxd_json_refuse(const etxd_object *object, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- json_span.c: where a value stands in the text, byte for byte; the text must be sound */

typedef struct etxd_span {
    const char *bytes;
    size_t len;
} etxd_span;

/* The nesting of a text, whatever else it is. */
unsigned etxd_json_depth(const char *bytes, size_t len);
/* Writes -1 in the place of each number that may be too large for 64 bits or a double: such are
 * allowed where nobody here reads them. The text may be anything. */
void etxd_json_without_large(char *bytes, size_t len);
/* The value of a member of the object that the text is; names with escapes are not found. 0, -1. */
int etxd_span_member(etxd_span object, const char *name, etxd_span *ret);
/* The same for an array whose elements are taken one after another: its end is not looked for. */
int etxd_span_array(etxd_span object, const char *name, etxd_span *ret);
/* Goes on behind the next element of an array: begin with `*at` 0. 1 and the value of that member
 * of it, without bytes if it is not there; or 0 at the array's end. */
int etxd_span_next(etxd_span array, size_t *at, const char *name, etxd_span *ret);

/* base64 (RFC 4648) to bytes, in `len` / 4 * 3 bytes of `to`; -1: it is none. */
int etxd_base64_decode(const char *text, size_t len, unsigned char *to, size_t *ret_len);

#endif

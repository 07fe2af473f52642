/* The table of settings, and how a value is set from text. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "text.h"

#define HEADING(text) {.heading = text},
#define ROW(member, kind, label, what, usual, low, high, bits, words) \
    {.name = label,                                                   \
     .argument = what,                                                \
     .fallback = usual,                                               \
     .help = words,                                                   \
     .offset = offsetof(etxd_config, member),                         \
     .least = low,                                                    \
     .most = high,                                                    \
     .type = ETXD_##kind,                                             \
     .flags = bits,                                                   \
     .place = ETXD_SETTING_##member},

static const etxd_setting settings[] = {ETXD_SETTING_MAP(HEADING, ROW){0}};

const etxd_setting *etxd_settings(void) {
    return settings;
}

const etxd_setting *etxd_setting_find(const char *name, const char **ret_near) {
    const char *names[ETXD_SETTINGS + 1];
    size_t count = 0;
    const etxd_setting *row;
    for (row = settings; row->heading != NULL || row->name != NULL; row++) {
        if (row->name != NULL && strcmp(row->name, name) == 0) {
            return row;
        }
        if (row->name != NULL) {
            names[count++] = row->name;
        }
    }
    names[count] = NULL;
    if (ret_near != NULL) {
        *ret_near = etxd_nearest(name, names);
    }
    return NULL;
}

/* ---- values */

static int refuse(char *message, const etxd_setting *row, const char *text, const char *why) {
    snprintf(message, ETXD_MESSAGE_MAX, "%s: '%.100s' %s", row->name, text, why);
    return -1;
}

static int to_number(const char *text, const char **ret_end, uint64_t *ret_number) {
    uint64_t number = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (number > (UINT64_MAX - digit) / 10) {
            return -1;
        }
        number = number * 10 + digit;
    }
    *ret_end = at;
    *ret_number = number;
    return at == text ? -1 : 0;
}

static int to_time(const char *text, uint64_t *ret_ms) {
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"", 1}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    const char *end;
    size_t i;
    if (to_number(text, &end, ret_ms) != 0) {
        return -1;
    }
    for (i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(end, units[i].unit) == 0 && *ret_ms <= UINT64_MAX / units[i].ms) {
            *ret_ms *= units[i].ms;
            return 0;
        }
    }
    return -1;
}

static int to_switch(const char *text, uint64_t *ret_on) {
    static const char *const words[][2] = {{"off", "on"}, {"false", "true"}, {"no", "yes"}};
    size_t i;
    for (i = 0; i < 3; i++) {
        if (strcmp(text, words[i][0]) == 0 || strcmp(text, words[i][1]) == 0) {
            *ret_on = strcmp(text, words[i][1]) == 0;
            return 0;
        }
    }
    return -1;
}

static int set_scalar(const etxd_setting *row, const char *text, uint64_t *value, char *message) {
    uint64_t number = 0;
    const char *end;
    char why[96];
    if (row->type == ETXD_SWITCH) {
        return to_switch(text, value) == 0 ? 0
                                           : refuse(message, row, text, "is neither on nor off");
    }
    if (row->type == ETXD_TIME && to_time(text, &number) != 0) {
        return refuse(message, row, text, "is no time: 250, 10s, 5m, 2h");
    }
    if (row->type == ETXD_NUMBER && (to_number(text, &end, &number) != 0 || *end != '\0')) {
        return refuse(message, row, text, "is no number");
    }
    if (number < row->least || number > row->most) {
        snprintf(why, sizeof why, "is not within %llu and %llu%s", (unsigned long long)row->least,
                 (unsigned long long)row->most,
                 row->type == ETXD_TIME ? " ms, which a number alone counts: 10s, 5m" : "");
        return refuse(message, row, text, why);
    }
    *value = number;
    return 0;
}

static void empty_list(etxd_list *list) {
    size_t i;
    for (i = 0; i < list->count; i++) {
        free(list->items[i]);
    }
    free(list->items);
    *list = (etxd_list){NULL, 0};
}

static int add_item(etxd_list *list, const char *text, size_t len) {
    char **items = realloc(list->items, (list->count + 1) * sizeof *items);
    if (items == NULL) {
        return -1;
    }
    list->items = items;
    list->items[list->count] = strndup(text, len);
    if (list->items[list->count] == NULL) {
        return -1;
    }
    list->count++;
    return 0;
}

/* The environment has one text for all of a list. */
static int set_list(etxd_list *list, const char *text, etxd_source source) {
    while (*text != '\0') {
        size_t len = source == ETXD_FROM_ENVIRONMENT ? strcspn(text, ",") : strlen(text);
        if (len > 0 && add_item(list, text, len) != 0) {
            return -1;
        }
        text += len + (text[len] == ',');
    }
    return 0;
}

int etxd_setting_set(etxd_config *config,
                     const etxd_setting *row,
                     const char *text,
                     etxd_source source,
                     char *message) {
    void *member = (char *)config + row->offset;
    uint8_t *from = &config->source[row->place];
    if (*from > source) {
        return 0;
    }
    if ((row->flags & ETXD_IS_FILE) && source != ETXD_FROM_DEFAULT && text[0] == '\0') {
        return refuse(message, row, text, "is an empty file name");
    }
    if (row->type == ETXD_LIST) {
        if (*from < source) {
            empty_list(member);
        }
        *from = (uint8_t)source;
        return set_list(member, text, source) == 0 ? 0 : refuse(message, row, text, "no memory");
    }
    if (row->type == ETXD_TEXT) {
        char *copy = strdup(text);
        if (copy == NULL) {
            return refuse(message, row, text, "no memory");
        }
        free(*(char **)member);
        *(char **)member = copy;
        *from = (uint8_t)source;
        return 0;
    }
    *from = (uint8_t)source;
    return set_scalar(row, text, member, message);
}

void etxd_config_free(etxd_config *config) {
    const etxd_setting *row;
    for (row = settings; row->heading != NULL || row->name != NULL; row++) {
        void *member = (char *)config + row->offset;
        if (row->name != NULL && row->type == ETXD_LIST) {
            empty_list(member);
        } else if (row->name != NULL && row->type == ETXD_TEXT) {
            free(*(char **)member);
        }
    }
    free(config->file);
    *config = (etxd_config){0};
}

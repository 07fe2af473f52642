/* The configuration's file: YAML, one mapping of settings to values or sequences of them. */
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#include "config.h"

typedef struct reading {
    etxd_config *config;
    const char *path;
    char *message;
    const etxd_setting *row; /* of the value that comes next; NULL: a name comes next */
    int in_document;
    int in_mapping;
    int in_sequence;
    int done;
    uint8_t seen[ETXD_SETTINGS]; /* names that stood there */
} reading;

static int refuse(const reading *r, const yaml_event_t *event, const char *what, const char *hint) {
    snprintf(r->message, ETXD_MESSAGE_MAX, "%.200s:%lu: %.150s%.100s", r->path,
             (unsigned long)event->start_mark.line + 1, what, hint);
    return -1;
}

static int take_name(reading *r, const yaml_event_t *event, const char *name) {
    const char *near = NULL;
    char hint[100] = "";
    char what[120];
    r->row = etxd_setting_find(name, &near);
    if (r->row != NULL && r->row->type != ETXD_LIST && r->seen[r->row->place]) {
        return refuse(r, event, r->row->name, " stands twice");
    }
    if (r->row != NULL) {
        r->seen[r->row->place] = 1;
        return 0;
    }
    snprintf(what, sizeof what, "'%.80s' is no setting", name);
    if (near != NULL) {
        snprintf(hint, sizeof hint, ": did you mean %s?", near);
    }
    return refuse(r, event, what, hint);
}

static int take_scalar(reading *r, const yaml_event_t *event) {
    const char *value = (const char *)event->data.scalar.value;
    char why[ETXD_MESSAGE_MAX];
    if (strlen(value) != event->data.scalar.length) {
        return refuse(r, event, "a value has a NUL", "");
    }
    if (!r->in_mapping) {
        return refuse(r, event, "the file must be one mapping: 'name: value' lines", "");
    }
    if (r->row == NULL) {
        return take_name(r, event, value);
    }
    if (etxd_setting_set(r->config, r->row, value, ETXD_FROM_FILE, why) != 0) {
        return refuse(r, event, why, "");
    }
    r->row = r->in_sequence ? r->row : NULL;
    return 0;
}

static int take_start(reading *r, const yaml_event_t *event) {
    if (event->type == YAML_MAPPING_START_EVENT && !r->in_mapping) {
        r->in_mapping = 1;
        return 0;
    }
    if (event->type == YAML_SEQUENCE_START_EVENT && r->row != NULL && !r->in_sequence &&
        r->row->type == ETXD_LIST) {
        r->in_sequence = 1;
        return 0;
    }
    return refuse(r, event, "a value is a word, or for a list a sequence of words", "");
}

static int take_event(reading *r, const yaml_event_t *event) {
    if (event->type == YAML_SCALAR_EVENT) {
        return take_scalar(r, event);
    }
    if (event->type == YAML_MAPPING_START_EVENT || event->type == YAML_SEQUENCE_START_EVENT) {
        return take_start(r, event);
    }
    if (event->type == YAML_SEQUENCE_END_EVENT) {
        r->in_sequence = 0;
        r->row = NULL;
    } else if (event->type == YAML_DOCUMENT_START_EVENT) {
        if (r->in_document) {
            return refuse(r, event, "a second document begins, and one is taken", "");
        }
        r->in_document = 1;
    } else if (event->type == YAML_ALIAS_EVENT) {
        return refuse(r, event, "aliases are not taken", "");
    } else if (event->type == YAML_STREAM_END_EVENT) {
        r->done = 1;
    }
    return 0;
}

static int read_events(reading *r, yaml_parser_t *parser) {
    while (!r->done) {
        yaml_event_t event;
        int rc;
        if (!yaml_parser_parse(parser, &event)) {
            snprintf(r->message, ETXD_MESSAGE_MAX, "%.200s:%lu: %.200s", r->path,
                     (unsigned long)parser->problem_mark.line + 1,
                     parser->problem != NULL ? parser->problem : "this is no YAML");
            return -1;
        }
        rc = take_event(r, &event);
        yaml_event_delete(&event);
        if (rc != 0) {
            return -1;
        }
    }
    return 0;
}

int etxd_config_file(etxd_config *config, const char *path, char *message) {
    reading r = {.config = config, .path = path, .message = message};
    yaml_parser_t parser;
    char why[128] = "no memory";
    int fd = -1;
    FILE *file = NULL;
    int rc;
    if (etxd_file_open(path, ETXD_FILE_MAX, &fd, why, sizeof why) == 0) {
        file = fdopen(fd, "r");
    }
    if (file == NULL) {
        snprintf(message, ETXD_MESSAGE_MAX, "%.200s: %s", path, why);
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    if (!yaml_parser_initialize(&parser)) {
        fclose(file);
        snprintf(message, ETXD_MESSAGE_MAX, "%.200s: no memory", path);
        return -1;
    }
    yaml_parser_set_input_file(&parser, file);
    rc = read_events(&r, &parser);
    yaml_parser_delete(&parser);
    fclose(file);
    return rc;
}

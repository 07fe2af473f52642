/* What GET /metrics of a server says, read; and what two readings say together. */
#include "metrics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading */

static size_t count_lines(const char *text) {
    size_t count = 1;
    for (; *text != '\0'; text++) {
        count += *text == '\n';
    }
    return count;
}

/* "name{labels} value": the line is cut into its parts. 0, or it is not one. */
static int read_row(char *line, metrics_row *ret_row) {
    char *name_end = line + strcspn(line, "{ ");
    char *value = name_end;
    char *end = NULL;
    *ret_row = (metrics_row){.name = line, .labels = ""};
    if (*name_end == '{') {
        char *close = strrchr(name_end, '}');
        if (close == NULL) {
            return -1;
        }
        *close = '\0';
        ret_row->labels = name_end + 1;
        value = close + 1;
    }
    if (line[0] == '#' || *value == '\0' || name_end == line) {
        return -1;
    }
    value += value == name_end; /* which becomes the name's end */
    *name_end = '\0';
    ret_row->value = strtod(value, &end);
    return isfinite(ret_row->value) && end > value ? 0 : -1;
}

int etx__metrics_read(const char *text, metrics *ret_metrics) {
    metrics self = {.text = strdup(text), .rows = NULL, .count = 0};
    char *line;
    self.rows = calloc(count_lines(text), sizeof *self.rows);
    if (self.text == NULL || self.rows == NULL) {
        etx__metrics_free(&self);
        return -1;
    }
    for (line = self.text; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        int more = line[len] != '\0';
        line[len] = '\0';
        self.count += read_row(line, &self.rows[self.count]) == 0;
        line += len + (size_t)more;
    }
    *ret_metrics = self;
    return 0;
}

void etx__metrics_free(metrics *self) {
    free(self->text);
    free(self->rows);
    *self = (metrics){NULL, NULL, 0};
}

/* ---- asking */

void etx__metrics_label(const metrics_row *row, const char *name, char *value, size_t size) {
    const char *at = row->labels;
    size_t name_len = strlen(name);
    value[0] = '\0';
    while (*at != '\0') {
        const char *begin = strstr(at, "=\"");
        size_t len = begin != NULL ? strcspn(begin + 2, "\"") : 0;
        if (begin == NULL) {
            return;
        }
        if ((size_t)(begin - at) == name_len && memcmp(at, name, name_len) == 0) {
            snprintf(value, size, "%.*s", (int)(len < size ? len : size - 1), begin + 2);
            return;
        }
        at = begin + 2 + len;
        at += strspn(at, "\",");
    }
}

double etx__metrics_sum(const metrics *self, const char *name, const char *label) {
    double sum = 0;
    size_t i;
    for (i = 0; i < self->count; i++) {
        const metrics_row *row = &self->rows[i];
        if (strcmp(row->name, name) == 0 && (label == NULL || strstr(row->labels, label) != NULL)) {
            sum += row->value;
        }
    }
    return sum;
}

double etx__metrics_grown(const metrics *now,
                          const metrics *before,
                          const char *name,
                          const char *label) {
    double is = etx__metrics_sum(now, name, label);
    double was = etx__metrics_sum(before, name, label);
    return is >= was ? is - was : is;
}

/* ---- quantiles */

/* The gauge of that quantile, or -1. */
static double find_gauge(const metrics *now, const char *name, double quantile) {
    size_t i;
    for (i = 0; i < now->count; i++) {
        char text[16];
        etx__metrics_label(&now->rows[i], "quantile", text, sizeof text);
        if (strcmp(now->rows[i].name, name) == 0 && text[0] != '\0' &&
            fabs(strtod(text, NULL) - quantile) < 1e-6) {
            return now->rows[i].value;
        }
    }
    return -1;
}

/* Where in the buckets the rank lies, between the bounds of its bucket; without an upper bound, the
 * lower. */
static double find_rank(const metrics *now, const metrics *before, const char *name, double rank) {
    double below = 0; /* the lower bound of the bucket, and how many lie below it */
    double below_count = 0;
    size_t i;
    for (i = 0; i < now->count; i++) {
        const metrics_row *row = &now->rows[i];
        char bound[32];
        double count, upper;
        if (strcmp(row->name, name) != 0) {
            continue;
        }
        count = etx__metrics_grown(now, before, name, row->labels);
        etx__metrics_label(row, "le", bound, sizeof bound);
        upper = strtod(bound, NULL);
        if (count >= rank) {
            return isfinite(upper) && count > below_count
                       ? below + (upper - below) * (rank - below_count) / (count - below_count)
                       : below;
        }
        below = upper;
        below_count = count;
    }
    return below;
}

double etx__metrics_quantile(const metrics *now,
                             const metrics *before,
                             const char *name,
                             double quantile) {
    char full[96];
    double count;
    snprintf(full, sizeof full, "%s_count", name);
    count = etx__metrics_grown(now, before, full, NULL);
    snprintf(full, sizeof full, "%s_bucket", name);
    return count > 0 ? find_rank(now, before, full, quantile * count)
                     : find_gauge(now, name, quantile);
}

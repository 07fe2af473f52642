/* What GET /metrics of a server says, read; and what two readings say together. */
#ifndef ETX_CLI_METRICS_H
#define ETX_CLI_METRICS_H

#include <stddef.h>

typedef struct metrics_row {
    const char *name;
    const char *labels; /* what stands between the braces, "" if nothing does */
    double value;
} metrics_row;

typedef struct metrics {
    char *text;
    metrics_row *rows;
    size_t count;
} metrics;

/* Reads OpenMetrics text; lines that are not understood are passed over. 0, or -1: no memory. Freed
 * by etx__metrics_free. */
int etx__metrics_read(const char *text, metrics *ret_metrics);
void etx__metrics_free(metrics *self);

/* The value of a label, cut to `size`; "" if the row has none of that name. */
void etx__metrics_label(const metrics_row *row, const char *name, char *value, size_t size);
/* The sum of the rows of that name whose labels have `label` in them (such as result="done"; NULL:
 * all rows); 0 if there is none. */
double etx__metrics_sum(const metrics *self, const char *name, const char *label);
/* By how much the sum has grown. A counter that is less than before began anew, from 0. */
double etx__metrics_grown(const metrics *now,
                          const metrics *before,
                          const char *name,
                          const char *label);
/* The quantile of what the histogram took up in between; where `name` is a gauge with quantiles,
 * what that says. Negative: nothing is known. */
double etx__metrics_quantile(const metrics *now,
                             const metrics *before,
                             const char *name,
                             double quantile);

#endif

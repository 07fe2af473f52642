/* /metrics: how families of OpenMetrics are written, and who writes which. */
#ifndef ETXD_METRICS_H
#define ETXD_METRICS_H

#include "etxd.h"

/* A family of one sample. */
typedef struct etxd_metric {
    const char *name, *type, *help; /* type: counter or gauge */
    uint64_t value;
} etxd_metric;

/* ---- metrics.c */

/* The lines that stand before a family's samples. */
void etxd_metric_head(etxd_text *text, const char *name, const char *type, const char *help);
void etxd_metrics_put(etxd_text *text, const etxd_metric *metrics, size_t count);
/* The samples of one histogram in us, as seconds; `labels` as they stand in braces, or "". */
void etxd_metrics_durations(etxd_text *text,
                            const char *name,
                            const char *labels,
                            const etx_histogram *histogram);

/* ---- metrics_engine.c, metrics_home.c, metrics_target.c */

void etxd_metrics_engine(etxd_text *text, etxd *server);
void etxd_metrics_homes(etxd_text *text, etxd *server);
void etxd_metrics_targets(etxd_text *text, etxd *server);

#endif

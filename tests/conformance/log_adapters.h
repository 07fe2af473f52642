/* The adapters that the conformance suite judges. */
#ifndef ETX_TESTS_CONFORMANCE_LOG_ADAPTERS_H
#define ETX_TESTS_CONFORMANCE_LOG_ADAPTERS_H

#include "log_subject.h"

typedef struct log_adapter {
    const char *scheme;
    const etx_log_ops *(*ops)(void);
    /* Sets the subject's URLs; 0, or the test fails. */
    int (*name)(log_subject *subject);
    int persistent; /* 1: what was put is there when the log is opened again */
} log_adapter;

/* NULL: there is none of that scheme in this build. Static. */
const log_adapter *log_adapter_find(const char *scheme);

#endif

/* One request to a collector of traces, by libcurl; where that was not there, none is made. */
#include <stdlib.h>
#include <string.h>

#include "secret.h"
#include "trace.h"

#ifdef ETXD_WITH_CURL

#include <errno.h>
#include <unistd.h>

#include <curl/curl.h>

struct etxd_trace_post {
    CURL *curl;
    struct curl_slist *headers;
    int (*is_over)(void *user);
    void *user;
    char error[CURL_ERROR_SIZE];
};

static size_t ignore(char *bytes, size_t size, size_t count, void *user) {
    (void)bytes;
    (void)user;
    return size * count;
}

/* Not 0 gives the transfer up. */
static int on_progress(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    const etxd_trace_post *one = user;
    (void)a, (void)b, (void)c, (void)d;
    return one->is_over(one->user);
}

static int add_header(etxd_trace_post *one, const char *line) {
    struct curl_slist *list = curl_slist_append(one->headers, line);
    one->headers = list != NULL ? list : one->headers;
    return list != NULL ? 0 : -1;
}

static int set_headers(etxd_trace_post *one, const etxd_config *config, char *message) {
    etxd_headers headers;
    size_t i;
    int rc = etxd_headers_read("trace-header", &config->trace_header, &headers, message);
    if (rc == 0) {
        rc = add_header(one, "Content-Type: application/json") | add_header(one, "Expect:");
        for (i = 0; i < headers.count; i++) {
            rc |= add_header(one, headers.lines[i]);
        }
        snprintf(message, ETXD_MESSAGE_MAX, "no memory for traces");
    }
    etxd_headers_free(&headers);
    return rc;
}

/* libcurl itself would tell only when spans are sent. */
static int judge_settings(const etxd_config *config, char *message) {
    CURLU *url = curl_url();
    CURLUcode code =
        url != NULL ? curl_url_set(url, CURLUPART_URL, config->trace_url, 0) : CURLUE_OUT_OF_MEMORY;
    curl_url_cleanup(url);
    if (code != CURLUE_OK) {
        snprintf(message, ETXD_MESSAGE_MAX, "trace-url: %.200s", curl_url_strerror(code));
        return -1;
    }
    if (config->trace_ca[0] != '\0' && access(config->trace_ca, R_OK) != 0) {
        snprintf(message, ETXD_MESSAGE_MAX, "trace-ca: %.200s: %s", config->trace_ca,
                 strerror(errno));
        return -1;
    }
    return 0;
}

static void set_options(etxd_trace_post *one, const etxd_config *config) {
    CURL *curl = one->curl;
    curl_easy_setopt(curl, CURLOPT_URL, config->trace_url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, one->headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ignore);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, one->error);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)config->trace_timeout);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, one);
    if (config->trace_ca[0] != '\0') {
        curl_easy_setopt(curl, CURLOPT_CAINFO, config->trace_ca);
    }
}

void etxd_trace_post_free(etxd_trace_post *one) {
    if (one != NULL) {
        curl_easy_cleanup(one->curl);
        curl_slist_free_all(one->headers);
        free(one);
        curl_global_cleanup();
    }
}

int etxd_trace_post_create(const etxd_config *config,
                           int (*is_over)(void *user),
                           void *user,
                           etxd_trace_post **ret_post,
                           char *message) {
    etxd_trace_post *one;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
        snprintf(message, ETXD_MESSAGE_MAX, "libcurl does not start");
        return -1;
    }
    one = calloc(1, sizeof *one);
    if (one == NULL || (one->curl = curl_easy_init()) == NULL) {
        snprintf(message, ETXD_MESSAGE_MAX, "no memory for traces");
        free(one);
        curl_global_cleanup();
        return -1;
    }
    one->is_over = is_over;
    one->user = user;
    if (judge_settings(config, message) != 0 || set_headers(one, config, message) != 0) {
        etxd_trace_post_free(one);
        return -1;
    }
    set_options(one, config);
    *ret_post = one;
    return 0;
}

etxd_trace_taken etxd_trace_post_send(etxd_trace_post *one,
                                      const etxd_text *body,
                                      char *why,
                                      size_t size) {
    CURL *curl = one->curl;
    long status = 0;
    CURLcode code;
    one->error[0] = '\0';
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body->bytes);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->len);
    code = curl_easy_perform(curl);
    if (code != CURLE_OK) {
        snprintf(why, size, "%.150s",
                 code == CURLE_ABORTED_BY_CALLBACK ? "no answer came before the server's end"
                 : one->error[0] != '\0'           ? one->error
                                                   : curl_easy_strerror(code));
        return ETXD_TRACE_AGAIN;
    }
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    snprintf(why, size, "status %ld", status);
    return status >= 200 && status < 300                                      ? ETXD_TRACE_TAKEN
           : status == 429 || status == 502 || status == 503 || status == 504 ? ETXD_TRACE_AGAIN
                                                                              : ETXD_TRACE_REFUSED;
}

#else

int etxd_trace_post_create(const etxd_config *config,
                           int (*is_over)(void *user),
                           void *user,
                           etxd_trace_post **ret_post,
                           char *message) {
    (void)config, (void)is_over, (void)user, (void)ret_post;
    snprintf(message, ETXD_MESSAGE_MAX, "trace-url: this etxd was built without libcurl");
    return -1;
}

etxd_trace_taken etxd_trace_post_send(etxd_trace_post *one,
                                      const etxd_text *body,
                                      char *why,
                                      size_t size) {
    (void)one, (void)body;
    snprintf(why, size, "there is no libcurl");
    return ETXD_TRACE_REFUSED;
}

void etxd_trace_post_free(etxd_trace_post *one) {
    (void)one;
}

#endif

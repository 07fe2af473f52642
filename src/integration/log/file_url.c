/* Reads the URL of a file log: "file:DIR?partitions=N&segment=SIZE&direct=0|1". */
#include "file.h"

#include <stdio.h>

static int parse_number(const char *text, size_t len, uint64_t *ret_value) {
    uint64_t value = 0;
    size_t i = 0;
    for (; i < len && i < 12 && text[i] >= '0' && text[i] <= '9'; i++)
        value = value * 10 + (uint64_t)(text[i] - '0');
    if (i == 0)
        return ETX_EINVALID;
    if (i + 1 == len && (text[i] == 'K' || text[i] == 'k'))
        value <<= 10;
    else if (i + 1 == len && (text[i] == 'M' || text[i] == 'm'))
        value <<= 20;
    else if (i + 1 == len && (text[i] == 'G' || text[i] == 'g'))
        value <<= 30;
    else if (i != len)
        return ETX_EINVALID;
    *ret_value = value;
    return 0;
}

static int option_take(etx__file_url *url,
                       const char *name,
                       size_t name_len,
                       const char *value,
                       size_t value_len,
                       const etx__file_words *words) {
    uint64_t number = 0;
    int bad = parse_number(value, value_len, &number);
    if (name_len == 10 && memcmp(name, "partitions", 10) == 0) {
        if (bad || number < 1 || number > ETX__PARTITIONS_MAX)
            return etx__file_say(words, ETX_EINVALID, "the option partitions is 1 to %u",
                                 ETX__PARTITIONS_MAX);
        url->partitions = (uint32_t)number;
        return 0;
    }
    if (name_len == 7 && memcmp(name, "segment", 7) == 0) {
        if (bad || number < ETX__SEGMENT_MIN || number > ETX__SEGMENT_MAX || number % ETX__BLOCK)
            return etx__file_say(words, ETX_EINVALID,
                                 "the option segment is 1M to 1G, a multiple of 4K");
        url->segment_size = number;
        return 0;
    }
    if (name_len == 6 && memcmp(name, "direct", 6) == 0) {
        if (bad || number > 1)
            return etx__file_say(words, ETX_EINVALID, "the option direct is 0 or 1");
        url->direct = (int)number;
        return 0;
    }
    return etx__file_say(
        words, ETX_EINVALID,
        "a file log has no option '%.*s': there are partitions, segment and direct", (int)name_len,
        name);
}

static int options_take(etx__file_url *url, const char *at, const etx__file_words *words) {
    while (*at) {
        size_t len = strcspn(at, "&");
        size_t name_len = strcspn(at, "=&");
        size_t skip = name_len < len ? name_len + 1 : len;
        int rc = len ? option_take(url, at, name_len, at + skip, len - skip, words) : 0;
        if (rc)
            return rc;
        at += len;
        at += *at == '&';
    }
    return 0;
}

int etx__file_name_long(size_t len, const etx__file_words *words) {
    return etx__file_say(
        words, ETX_EINVALID,
        "the name of the log's directory is too long: it has %zu characters, and a "
        "path has 4095 at most, each name in it 255",
        len);
}

/* Errors: ETX_EINVALID, which names what is wrong. */
int etx__file_url_parse(const char *url, etx__file_url *ret_url, const etx__file_words *words) {
    const char *path;
    size_t len;
    *ret_url = (etx__file_url){.direct = -1};
    if (!url || strncmp(url, "file:", 5) != 0)
        return etx__file_say(words, ETX_EINVALID, "the URL of a file log begins with 'file:'");
    path = url + 5;
    if (strncmp(path, "///", 3) == 0)
        path += 2;
    len = strcspn(path, "?");
    while (len > 1 && path[len - 1] == '/')
        len--;
    if (len == 0)
        return etx__file_say(words, ETX_EINVALID,
                             "the URL of a file log names its directory: file:/var/lib/shop/etx");
    if (len >= sizeof ret_url->dir)
        return etx__file_name_long(len, words);
    memcpy(ret_url->dir, path, len);
    path += strcspn(path, "?");
    return options_take(ret_url, *path ? path + 1 : path, words);
}

/* Addresses by what they are for: which of them no pattern of more than one address lets be called.
 *
 * A server that can be told to call addresses is a way into networks that its caller cannot reach.
 * Link-local addresses are those of the machine's own network and, on most clouds, of the service
 * that hands out its credentials; the latter have other addresses as well. */
#include "http.h"

#include <string.h>

static int begins(const uint8_t *ip, const uint8_t *prefix, size_t bits) {
    size_t bytes = bits / 8;
    unsigned rest = bits % 8;
    if (memcmp(ip, prefix, bytes) != 0) {
        return 0;
    }
    return rest == 0 || ((ip[bytes] ^ prefix[bytes]) >> (8 - rest)) == 0;
}

static etx__http_reach reach_of_4(const uint8_t *ip) {
    static const uint8_t alibaba[4] = {100, 100, 100, 200};
    static const uint8_t oracle[4] = {192, 0, 0, 192};
    static const uint8_t azure[4] = {168, 63, 129, 16};
    if (ip[0] == 0) {
        return ETX__HTTP_NOWHERE;
    }
    if (ip[0] == 127) {
        return ETX__HTTP_LOOPBACK;
    }
    if ((ip[0] == 169 && ip[1] == 254) || ip[0] >= 224 || memcmp(ip, alibaba, 4) == 0 ||
        memcmp(ip, oracle, 4) == 0 || memcmp(ip, azure, 4) == 0) {
        return ETX__HTTP_SPECIAL;
    }
    return ETX__HTTP_OPEN;
}

/* An IPv4 address that is reached through this one: where it stands, or NULL. */
static const uint8_t *embedded(const uint8_t *ip) {
    static const uint8_t zero[12] = {0};
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    static const uint8_t stateless[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    static const uint8_t translated[12] = {0, 0x64, 0xff, 0x9b};
    static const uint8_t six_to_four[2] = {0x20, 0x02};
    if (memcmp(ip, zero, 12) == 0 || memcmp(ip, mapped, 12) == 0 ||
        memcmp(ip, stateless, 12) == 0 || memcmp(ip, translated, 12) == 0) {
        return ip + 12;
    }
    return memcmp(ip, six_to_four, 2) == 0 ? ip + 2 : NULL;
}

/* Networks whose addresses lead on to an IPv4 address that does not stand there plainly: behind a
 * translator of the network's own, in any of five places (RFC 8215, 6052), or behind a Teredo
 * relay (RFC 4380). */
static int leads_elsewhere(const uint8_t *ip) {
    static const uint8_t local[6] = {0, 0x64, 0xff, 0x9b, 0, 1};
    static const uint8_t teredo[4] = {0x20, 0x01};
    return memcmp(ip, local, sizeof local) == 0 || memcmp(ip, teredo, sizeof teredo) == 0;
}

etx__http_reach etx__http_reach_of(const uint8_t *ip, size_t ip_len) {
    static const uint8_t zero[16] = {0};
    static const uint8_t one[16] = {[15] = 1};
    static const uint8_t link_local[2] = {0xfe, 0x80};
    static const uint8_t amazon[16] = {0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54};
    static const uint8_t google[16] = {0xfd, 0x20, 0x00, 0xce, [14] = 0x02, [15] = 0x54};
    if (ip_len == 4) {
        return reach_of_4(ip);
    }
    if (memcmp(ip, zero, 16) == 0) {
        return ETX__HTTP_NOWHERE;
    }
    if (memcmp(ip, one, 16) == 0) {
        return ETX__HTTP_LOOPBACK;
    }
    if (begins(ip, link_local, 10) || ip[0] == 0xff || memcmp(ip, amazon, 16) == 0 ||
        memcmp(ip, google, 16) == 0 || leads_elsewhere(ip)) {
        return ETX__HTTP_SPECIAL;
    }
    const uint8_t *ip4 = embedded(ip);
    if (ip4 == NULL) {
        return ETX__HTTP_OPEN;
    }
    /* a way round what is said of the IPv4 address */
    return reach_of_4(ip4) == ETX__HTTP_OPEN ? ETX__HTTP_OPEN : ETX__HTTP_SPECIAL;
}

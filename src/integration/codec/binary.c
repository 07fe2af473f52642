/* The binary codec (id 1): the compact form of records that logs keep. */
#include "binary.h"

const etx_codec *etx_codec_binary(void) {
    static const etx_codec codec = {
        .version = ETX_CODEC_VERSION,
        .id = 1,
        .name = "binary",
        .bound = etx__binary_bound,
        .encode = etx__binary_encode,
        .decode = etx__binary_decode,
    };
    return &codec;
}

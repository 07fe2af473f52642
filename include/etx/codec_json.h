/* The JSON codec: not in libetx, but in the module etx/codec_json.so and the command etx. */
#ifndef ETX_CODEC_JSON_H
#define ETX_CODEC_JSON_H

#include <etx/codec.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One line of JSON for each record, for people and other programs. Not in libetx: in the module
 * etx/codec_json.so and in the command etx. Static. Any thread. */
ETX_API const etx_codec *etx_codec_json(void);

#ifdef __cplusplus
}
#endif
#endif

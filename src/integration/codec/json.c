/* The JSON codec (id 2): one record is one line, for people and for programs in any language. */
#include "json.h"

#include <string.h>

const etx_codec *etx_codec_json(void) {
    static const etx_codec codec = {
        .version = ETX_CODEC_VERSION,
        .id = 2,
        .name = "json",
        .bound = etx__json_bound,
        .encode = etx__json_encode,
        .decode = etx__json_decode,
    };
    return &codec;
}

static const char *pick_word(const char *const *words, size_t count, unsigned value) {
    return value < count ? words[value] : NULL;
}

#define PICK(words, value) pick_word(words, sizeof(words) / sizeof(words)[0], value)

static const char *own_word(json_words words, unsigned value) {
    static const char *const operations[] = {"forward", "commit", "undo"};
    static const char *const decisions[] = {"abort", "commit"};
    static const char *const actions[] = {NULL, "park", "resume", "settle"};
    static const char *const marks[] = {"forced", "parked", "held", "never-begun", "chosen"};
    static const char *const flags[] = {"by-initiator", "keeps-refusals", "wants-results"};
    switch (words) {
        case WORDS_OPERATION:
            return PICK(operations, value);
        case WORDS_DECISION:
            return PICK(decisions, value);
        case WORDS_ACTION:
            return PICK(actions, value);
        case WORDS_MARK:
            return PICK(marks, value);
        case WORDS_FLAG:
            return PICK(flags, value);
        case WORDS_RECORD:
            return etx_record_name(value);
        case WORDS_STATE:
            return etx_state_name((etx_state)value);
        case WORDS_KIND:
            return etx_kind_name((etx_kind)value);
        case WORDS_REPLY:
            return etx_reply_name((etx_reply)value);
        case WORDS_MODE:
            return etx_mode_name((etx_mode)value);
        case WORDS_DURABILITY:
            return etx_durability_name((etx_durability)value);
    }
    return NULL;
}

/* libetx says "?" where there is no word. */
const char *etx__json_word(json_words words, unsigned value) {
    const char *word = own_word(words, value);
    return word != NULL && word[0] != '?' ? word : NULL;
}

int etx__json_value(json_words words, const char *word) {
    enum { VALUES_MAX = 16 }; /* more than any set has */
    for (unsigned value = 0; value < VALUES_MAX; value++) {
        const char *candidate = etx__json_word(words, value);
        if (candidate != NULL && strcmp(candidate, word) == 0) {
            return (int)value;
        }
    }
    return -1;
}

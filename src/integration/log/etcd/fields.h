/* Fields of the messages of etcd's gRPC interface, and values of some. */
#ifndef ETX__LOG_ETCD_FIELDS_H
#define ETX__LOG_ETCD_FIELDS_H

enum {
    HEADER = 1, /* of all answers */
    HEADER_REVISION = 3,
    RANGE_KEY = 1,
    RANGE_END = 2,
    RANGE_LIMIT = 3,
    RANGE_REVISION = 4,
    RANGE_ORDER = 5,
    RANGE_ORDER_DESCEND = 2,
    RANGE_KEYS_ONLY = 8,
    RANGE_KVS = 2, /* of its answer */
    KV_KEY = 1,
    KV_MOD_REVISION = 3,
    KV_VALUE = 5,
    KV_LEASE = 6,
    PUT_KEY = 1,
    PUT_VALUE = 2,
    PUT_LEASE = 3,
    DELETE_KEY = 1,
    DELETE_END = 2,
    TXN_COMPARE = 1,
    TXN_SUCCESS = 2,
    TXN_FAILURE = 3,
    TXN_SUCCEEDED = 2, /* of its answer */
    TXN_RESPONSES = 3,
    OP_RANGE = 1,
    OP_PUT = 2,
    OP_DELETE = 3,
    STATUS_VERSION = 2, /* of its answer */
    STATUS_BYTES = 3,
    STATUS_LEADER = 4,
    AUTHENTICATE_NAME = 1,
    AUTHENTICATE_PASSWORD = 2,
    AUTHENTICATE_TOKEN = 2, /* of its answer */
    MEMBERS = 2,            /* of a list */
    MEMBER_LEARNER = 5,
    ALARMS = 2, /* of an answer */
    ALARM_WHAT = 2,
    ALARM_NOSPACE = 1,
    ALARM_CORRUPT = 2,
    COMPACT_REVISION = 1,
    GRANT_TTL = 1,
    LEASE_ID = 1,
    LEASE_ANSWER_ID = 2, /* of all answers about one */
    LEASE_ANSWER_TTL = 3,
    COMPARE_RESULT = 1,
    COMPARE_EQUAL = 0,
    COMPARE_GREATER = 1,
    COMPARE_LESS = 2,
    COMPARE_TARGET = 2,
    COMPARE_KEY = 3,
    /* what is compared with: its field; as a target it is four less */
    COMPARE_CREATE_REVISION = 5,
    COMPARE_MOD_REVISION = 6,
    COMPARE_VALUE = 7
};

#endif

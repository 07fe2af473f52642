/* What can go wrong on the wire: one list makes the codes, their names and what they mean. */
#ifndef NET_ERROR_H
#define NET_ERROR_H

/* Functions of net/ return 0 or one of these. They say what happened; whether bytes may have
 * reached the peer stands beside it (net_sent in client.h). */
#define NET_ERRORS(X)                                                    \
    X(NET_EINVALID, -1, "an argument is not valid")                      \
    X(NET_ENOMEM, -2, "out of memory")                                   \
    X(NET_ESYSTEM, -3, "the system refused; errno says why")             \
    X(NET_EBUSY, -4, "a limit is reached; try later")                    \
    X(NET_ETIMEOUT, -5, "the time given is over")                        \
    X(NET_ECANCELLED, -6, "cancelled")                                   \
    X(NET_ERESOLVE, -7, "the name was not resolved")                     \
    X(NET_EFORBIDDEN, -8, "no address of the target is allowed")         \
    X(NET_ECONNECT, -9, "no connection could be made")                   \
    X(NET_ETLS, -10, "TLS failed")                                       \
    X(NET_ECLOSED, -11, "the connection ended before the answer's end")  \
    X(NET_EPROTOCOL, -12, "the peer does not speak HTTP/1.1 as it must") \
    X(NET_ETOOBIG, -13, "the answer is larger than allowed")             \
    X(NET_ECERTIFICATE, -14, "the peer wants a certificate that it accepts")

typedef enum net_error {
#define NET_ERROR_ENUM(name, number, text) name = number,
    NET_ERRORS(NET_ERROR_ENUM)
#undef NET_ERROR_ENUM
} net_error;

/* What a code means, a sentence without a full stop; of a number that is none, "unknown error". Any
 * thread. */
const char *net_strerror(int code);

#endif

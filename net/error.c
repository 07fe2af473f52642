/* The texts of the codes of error.h. */
#include "error.h"

const char *net_strerror(int code) {
    switch (code) {
        case 0:
            return "no error";
#define NET_ERROR_CASE(name, number, text) \
    case number:                           \
        return text;
            NET_ERRORS(NET_ERROR_CASE)
#undef NET_ERROR_CASE
    }
    return "unknown error";
}

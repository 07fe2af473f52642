/* What `etx top` shows of an interval. */
#ifndef ETX_CLI_TOP_H
#define ETX_CLI_TOP_H

#include "metrics.h"
#include "server.h"

enum { TOP_OLDEST = 10 };

/* One object: rates, latencies, gauges, targets, from two readings that lie `seconds` apart. */
json_t *etx__top_object(const metrics *now, const metrics *before, double seconds);
/* Lists what is in flight, and adds the oldest of it to the object. 0, or an ETX error. */
int etx__top_oldest(server *from, json_t *object);
/* The object as a page of at most `rows` lines. */
void etx__top_print(cli_context *cli, const char *server_name, const json_t *object, int rows);

#endif

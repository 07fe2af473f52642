#!/bin/sh
# Places an order with etxd, and watches what becomes of it: curl and nothing else.
#
#   order.sh CUSTOMER GOODS QUANTITY PRICE
#
# ETX_SERVER: etxd, by default http://127.0.0.1:7830. ORDER, STOCK, PAYMENT: the participants, by
# default ports 8001 to 8003 of this machine (ledger.c or ledger.py).
#
# Exit status: 0 it is committed, 1 it is aborted, 2 nobody knows yet: ask by the gid.
set -eu
if [ $# != 4 ]; then
    echo 'usage: order.sh CUSTOMER GOODS QUANTITY PRICE' >&2
    exit 2
fi
server=${ETX_SERVER:-http://127.0.0.1:7830}
order=${ORDER:-http://127.0.0.1:8001}
stock=${STOCK:-http://127.0.0.1:8002}
payment=${PAYMENT:-http://127.0.0.1:8003}

# A name of our own: whoever is not sure whether it was heard says all of it again.
gid=order-$(cat /proc/sys/kernel/random/uuid)
body=$(
    cat <<END
{"gid": "$gid", "wait": "begun", "branches": [
  {"name": "order", "kind": "tcc", "url": "$order",
   "payload": {"from": "free", "to": "placed", "amount": 1}},
  {"name": "stock", "kind": "tcc", "url": "$stock",
   "payload": {"from": "$2", "to": "sold", "amount": $3}},
  {"name": "payment", "kind": "tcc", "url": "$payment",
   "payload": {"from": "$1", "to": "shop", "amount": $4}}]}
END
)

# --retry repeats what is safe to repeat: the gid makes it one order, however often it is sent.
curl -sS --fail-with-body --retry 10 --retry-connrefused --max-time 30 -o /dev/null \
    -H 'Content-Type: application/json' -d "$body" "$server/v1/transactions"

# A state again and again, until it is one that stays.
seen=
tries=0
while [ "$tries" -lt 600 ]; do
    tries=$((tries + 1))
    story=$(curl -sS --max-time 30 "$server/v1/transactions/$gid") || story=
    state=$(printf '%s\n' "$story" | sed -n 's/^{"gid":"[^"]*",.*"state":"\([A-Z]*\)".*/\1/p')
    if [ -n "$state" ] && [ "$state" != "$seen" ]; then
        echo "$gid: $state"
        seen=$state
    fi
    case $state in
    COMMITTED) exit 0 ;;
    ABORTED)
        printf '%s\n' "$story" | sed -n 's/.*"reason":"\([^"]*\)".*/because: \1/p'
        exit 1
        ;;
    esac
    sleep 0.1
done
echo "$gid: not ended yet; ask again: curl $server/v1/transactions/$gid" >&2
exit 2

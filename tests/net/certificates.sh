#!/bin/sh
# Makes what the TLS tests need: two authorities, and certificates that are good or bad in one way each.
#
#   certificates.sh DIR
#
# Needs openssl. Keys are of P-256, since those are made quickly.
set -eu
cd "$1"

key() {
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" 2>/dev/null
}

authority() {
    key "$1"
    openssl req -x509 -new -key "$1.key" -subj "/CN=$1" -days 30 -out "$1.pem" \
        -addext basicConstraints=critical,CA:true 2>/dev/null
}

# certificate NAME AUTHORITY SUBJECT-ALT-NAME [OPTION...]
certificate() {
    name=$1
    by=$2
    alt=$3
    shift 3
    key "$name"
    openssl req -new -key "$name.key" -subj "/CN=$name/O=ETX" -out "$name.csr" 2>/dev/null
    printf 'subjectAltName=%s\n' "$alt" >"$name.ext"
    openssl x509 -req -in "$name.csr" -CA "$by.pem" -CAkey "$by.key" -CAcreateserial \
        -extfile "$name.ext" -out "$name.pem" "$@" 2>/dev/null
}

authority one
authority two
certificate server one DNS:localhost,IP:127.0.0.1 -days 30
certificate renewed one DNS:localhost,IP:127.0.0.1 -days 30
certificate elsewhere one DNS:elsewhere.example -days 30
certificate client one DNS:client -days 30
certificate stranger two DNS:client -days 30
# valid for a time that is over
certificate expired one DNS:localhost,IP:127.0.0.1 -days -1

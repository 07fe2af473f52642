/* A session with Redis: connecting, one command at a time, and never waiting for ever.
 *
 * A command that was sent whole and not answered is lost: the connection is closed, and nobody
 * knows whether it took effect, now or later. One of which Redis has not got the last byte does
 * nothing. So before a command is sent, an idle connection is looked at: a server that was
 * restarted meanwhile has closed it, and a new one is made instead. */
#include "redis.h"

#include <stdio.h>
#include <string.h>

enum { PIECE = 16 << 10 };

void etx__redis_session_init(etx__redis_session *session, const etx__redis_store *store) {
    *session = (etx__redis_session){.store = store, .link = {.fd = -1}};
}

void etx__redis_drop(etx__redis_session *session) {
    etx__redis_link_close(&session->link);
    if (session->reader)
        redisReaderFree(session->reader);
    session->reader = NULL;
}

static etx__redis_outcome lost(etx__redis_session *session, const char *why) {
    session->code[0] = 0;
    etx__redis_say(session, ETX_EUNAVAILABLE, "%s", why);
    etx__redis_drop(session);
    return ETX__REDIS_LOST;
}

/* ---- one command */

static etx__redis_outcome receive(etx__redis_session *session,
                                  uint64_t until,
                                  redisReply **ret_reply) {
    char piece[PIECE];
    void *reply = NULL;
    while (redisReaderGetReply(session->reader, &reply) == REDIS_OK && !reply) {
        ssize_t len = etx__redis_link_receive(&session->link, piece, sizeof piece, until);
        if (len < 0)
            return lost(session, "Redis has not answered within timeout_ms");
        if (len == 0)
            return lost(session, "Redis has closed the connection");
        if (redisReaderFeed(session->reader, piece, (size_t)len) != REDIS_OK)
            return lost(session, "out of memory for what Redis answers");
    }
    if (!reply)
        return lost(session, "what answers is no Redis: check the URL's host and port");
    *ret_reply = reply;
    return ETX__REDIS_DONE;
}

static etx__redis_outcome answer(etx__redis_session *session,
                                 uint64_t until,
                                 redisReply **ret_reply) {
    redisReply *reply = NULL;
    etx__redis_outcome outcome = receive(session, until, &reply);
    if (outcome == ETX__REDIS_DONE && reply->type == REDIS_REPLY_ERROR) {
        outcome = etx__redis_failed(session, reply->str);
        /* one that only reads now: the next connection looks for the primary again */
        if (outcome == ETX__REDIS_LOST || strcmp(session->code, "READONLY") == 0)
            etx__redis_drop(session);
        freeReplyObject(reply);
        reply = NULL;
    }
    *ret_reply = reply;
    return outcome;
}

static etx__redis_outcome run(etx__redis_session *session,
                              const etx__redis_command *command,
                              redisReply **ret_reply) {
    char *bytes = NULL;
    uint64_t until = etx__redis_now_ms() + session->store->common.timeout_ms;
    int len = redisFormatCommandArgv(&bytes, command->count, (const char **)command->words,
                                     command->lengths);
    *ret_reply = NULL;
    session->code[0] = 0;
    if (len < 0) {
        etx__redis_say(session, ETX_ENOMEM, "out of memory");
        return ETX__REDIS_UNSENT;
    }
    int rc = etx__redis_link_send(&session->link, bytes, (size_t)len, until);
    redisFreeCommand(bytes);
    if (rc) {
        lost(session, "the connection to Redis is lost, or takes nothing more");
        return ETX__REDIS_UNSENT;
    }
    return answer(session, until, ret_reply);
}

/* ---- connecting */

static int introduce(etx__redis_session *session) {
    const etx__redis_store *store = session->store;
    etx__redis_command auth = {.count = 0};
    char password[ETX__STORE_PASSWORD_MAX + 2];
    redisReply *reply = NULL;
    if (!store->place.user[0] && !store->common.password)
        return 0;
    etx__redis_word(&auth, "AUTH");
    if (store->place.user[0])
        etx__redis_word(&auth, store->place.user);
    etx__store_password(&store->common, password);
    etx__redis_word(&auth, password);
    etx__redis_outcome outcome = run(session, &auth, &reply);
    explicit_bzero(password, sizeof password);
    freeReplyObject(reply);
    return outcome == ETX__REDIS_DONE ? 0 : session->rc;
}

/* A name is for those who look at CLIENT LIST; not every user may give it. */
static int name_client(etx__redis_session *session) {
    etx__redis_command name = {.count = 0};
    redisReply *reply = NULL;
    etx__redis_word(&name, "CLIENT");
    etx__redis_word(&name, "SETNAME");
    etx__redis_word(&name, "etx");
    etx__redis_outcome outcome = run(session, &name, &reply);
    freeReplyObject(reply);
    return outcome == ETX__REDIS_DONE || strcmp(session->code, "NOPERM") == 0 ? 0 : session->rc;
}

static int choose_database(etx__redis_session *session) {
    etx__redis_command select = {.count = 0};
    redisReply *reply = NULL;
    if (!session->store->database)
        return 0;
    etx__redis_word(&select, "SELECT");
    etx__redis_number(&select, session->store->database);
    etx__redis_outcome outcome = run(session, &select, &reply);
    freeReplyObject(reply);
    return outcome == ETX__REDIS_DONE ? 0 : session->rc;
}

/* Also a replica that takes writes would lose them. */
static int check_role(etx__redis_session *session) {
    etx__redis_command info = {.count = 0};
    redisReply *reply = NULL;
    etx__redis_word(&info, "INFO");
    etx__redis_word(&info, "replication");
    etx__redis_outcome outcome = run(session, &info, &reply);
    int rc = outcome == ETX__REDIS_DONE || strcmp(session->code, "NOPERM") == 0 ? 0 : session->rc;
    if (!rc && reply && reply->type == REDIS_REPLY_STRING && strstr(reply->str, "role:slave"))
        rc = etx__redis_say(session, ETX_EUNAVAILABLE,
                            "the server is a replica: name the primary, or several hosts of which "
                            "one is");
    freeReplyObject(reply);
    return rc;
}

static int connect_to(etx__redis_session *session, const etx__redis_address *address) {
    char why[300];
    uint64_t until = etx__redis_now_ms() + session->store->common.timeout_ms;
    session->code[0] = 0;
    int rc = etx__redis_link_open(&session->link, address, until, why, sizeof why);
    if (rc)
        return etx__redis_say(session, rc, "%s", why);
    session->connects++;
    session->reader = redisReaderCreate();
    rc = session->reader ? 0 : etx__redis_say(session, ETX_ENOMEM, "out of memory");
    rc = rc ? rc : introduce(session);
    rc = rc ? rc : name_client(session);
    rc = rc ? rc : choose_database(session);
    rc = rc ? rc : check_role(session);
    if (rc)
        etx__redis_drop(session);
    return rc;
}

/* The first host that is a primary. */
static int connect_any(etx__redis_session *session) {
    const etx__redis_store *store = session->store;
    int rc = ETX_EUNAVAILABLE;
    if (store->socket[0])
        return connect_to(session, &(etx__redis_address){.socket = store->socket});
    for (uint32_t i = 0; rc && i < store->place.host_count; i++) {
        const etx__store_host *host = &store->place.host[i];
        rc = connect_to(session, &(etx__redis_address){
                                     .host = host->name, .port = host->port, .tls = store->tls});
    }
    return rc;
}

/* An idle server says nothing: what comes, if only the end, is its farewell. */
static int is_over(etx__redis_session *session) {
    char byte;
    return etx__redis_link_receive(&session->link, &byte, 1, 0) >= 0;
}

etx__redis_outcome etx__redis_exec(etx__redis_session *session,
                                   const etx__redis_command *command,
                                   redisReply **ret_reply) {
    *ret_reply = NULL;
    if (session->reader && is_over(session))
        etx__redis_drop(session);
    if (!session->reader && connect_any(session))
        return ETX__REDIS_UNSENT;
    return run(session, command, ret_reply);
}

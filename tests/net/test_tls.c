/* TLS on both sides: who is trusted, who is not, and certificates that are changed under way. */
#include "rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

typedef struct tls_test {
    char folder[128];
    net_loop *loop;
    net_client *client;
    int done;
    net_result result;
    char text[512];
} tls_test;

static const char *path_in(const tls_test *self, const char *name, char *path, size_t size) {
    snprintf(path, size, "%s/%s", self->folder, name);
    return path;
}

static net_tls *make_tls(const tls_test *self,
                         int server,
                         const char *name,
                         const char *authority,
                         net_tls_clients clients) {
    char certificate[200];
    char key[200];
    char trusted[200];
    char message[NET_TLS_MESSAGE_MAX];
    char file[64];
    net_tls *tls = NULL;
    net_tls_options options = {.size = sizeof options, .server = server, .clients = clients};
    if (name != NULL) {
        snprintf(file, sizeof file, "%s.pem", name);
        options.certificate = path_in(self, file, certificate, sizeof certificate);
        snprintf(file, sizeof file, "%s.key", name);
        options.key = path_in(self, file, key, sizeof key);
    }
    if (authority != NULL) {
        options.authorities = path_in(self, authority, trusted, sizeof trusted);
    }
    if (net_tls_create(&options, message, &tls) != 0) {
        fail_msg("%s", message);
    }
    return tls;
}

static void on_done(uint64_t id, const net_result *result, void *user) {
    tls_test *self = user;
    (void)id;
    self->done++;
    self->result = *result;
    snprintf(self->text, sizeof self->text, "%.*s", (int)result->body.len,
             result->body.len ? result->body.bytes : "");
    if (result->error != 0) {
        snprintf(self->text, sizeof self->text, "%s", result->detail);
    }
}

static void ask(tls_test *self, const char *text, net_tls *tls) {
    net_url url;
    assert_int_equal(net_url_parse(text, strlen(text), &url, NULL), 0);
    const net_fetch fetch = {.size = sizeof fetch,
                             .url = &url,
                             .method = "GET",
                             .tls = tls,
                             .done = on_done,
                             .user = self};
    int before = self->done;
    assert_int_equal(net_client_fetch(self->client, &fetch, NULL), 0);
    for (int i = 0; i < 1000 && self->done == before; i++) {
        net_loop_turn(self->loop, 10);
    }
    assert_int_equal(self->done, before + 1);
}

static void begin(tls_test *self, void **state) {
    const net_client_options options = {.size = sizeof options};
    *self = (tls_test){0};
    snprintf(self->folder, sizeof self->folder, "%s", (const char *)*state);
    assert_int_equal(net_loop_create(&self->loop), 0);
    assert_int_equal(net_client_create(self->loop, &options, &self->client), 0);
}

static void end(tls_test *self) {
    net_client_free(self->client);
    net_loop_free(self->loop);
}

/* One request to a server with this certificate, by a client that trusts this authority. */
static void ask_server(tls_test *self,
                       const char *server,
                       const char *authority,
                       const char *host,
                       const char *own,
                       net_tls_clients clients) {
    rig one = {.tls = make_tls(self, 1, server, clients ? "one.pem" : NULL, clients)};
    net_tls *tls = make_tls(self, 0, own, authority, NET_TLS_CLIENTS_UNASKED);
    char text[100];
    rig_start(&one);
    snprintf(text, sizeof text, "https://%s%s/who", host, strrchr(one.url, ':'));
    ask(self, text, tls);
    rig_stop(&one);
    net_tls_free(one.tls);
    net_tls_free(tls);
}

static void test_trust(void **state) {
    tls_test self;
    begin(&self, state);
    ask_server(&self, "server", "one.pem", "localhost", NULL, NET_TLS_CLIENTS_UNASKED);
    assert_int_equal(self.result.error, 0);
    assert_string_equal(self.text, "");
    ask_server(&self, "server", "one.pem", "127.0.0.1", NULL, NET_TLS_CLIENTS_UNASKED);
    assert_int_equal(self.result.error, 0);
    end(&self);
}

static void expect_refused(tls_test *self, const char *reason) {
    assert_int_equal(self->result.error, NET_ETLS);
    assert_int_equal(self->result.sent, 0);
    if (strstr(self->text, reason) == NULL) {
        fail_msg("%s", self->text);
    }
}

static void test_no_trust(void **state) {
    tls_test self;
    begin(&self, state);
    ask_server(&self, "server", "two.pem", "localhost", NULL, NET_TLS_CLIENTS_UNASKED);
    expect_refused(&self, "issuer");
    ask_server(&self, "server", NULL, "localhost", NULL, NET_TLS_CLIENTS_UNASKED);
    expect_refused(&self, "");
    ask_server(&self, "elsewhere", "one.pem", "localhost", NULL, NET_TLS_CLIENTS_UNASKED);
    expect_refused(&self, "ostname");
    ask_server(&self, "elsewhere", "one.pem", "127.0.0.1", NULL, NET_TLS_CLIENTS_UNASKED);
    expect_refused(&self, "IP address");
    ask_server(&self, "expired", "one.pem", "localhost", NULL, NET_TLS_CLIENTS_UNASKED);
    expect_refused(&self, "expired");
    end(&self);
}

static void test_clients(void **state) {
    tls_test self;
    begin(&self, state);
    ask_server(&self, "server", "one.pem", "localhost", "client", NET_TLS_CLIENTS_REQUIRED);
    assert_int_equal(self.result.error, 0);
    assert_string_equal(self.text, "O=ETX,CN=client");
    ask_server(&self, "server", "one.pem", "localhost", NULL, NET_TLS_CLIENTS_OPTIONAL);
    assert_int_equal(self.result.error, 0);
    assert_string_equal(self.text, "");
    /* with TLS 1.3 a client learns that it is refused after it has sent its request */
    ask_server(&self, "server", "one.pem", "localhost", NULL, NET_TLS_CLIENTS_REQUIRED);
    assert_int_equal(self.result.error, NET_ECERTIFICATE);
    assert_non_null(strstr(self.text, "certificate required"));
    ask_server(&self, "server", "one.pem", "localhost", "stranger", NET_TLS_CLIENTS_OPTIONAL);
    assert_int_equal(self.result.error, NET_ECERTIFICATE);
    end(&self);
}

static void copy_file(const tls_test *self, const char *from, const char *to) {
    char path[200];
    char bytes[16384];
    FILE *file = fopen(path_in(self, from, path, sizeof path), "rb");
    size_t len = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    file = fopen(path_in(self, to, path, sizeof path), "wb");
    fwrite(bytes, 1, len, file);
    fclose(file);
}

/* The common name of the certificate that a server shows. */
static void shown_name(const rig *server, char *name, size_t size) {
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    int fd = rig_connect(server);
    SSL_set_fd(ssl, fd);
    assert_int_equal(SSL_connect(ssl), 1);
    X509 *shown = SSL_get1_peer_certificate(ssl);
    X509_NAME_get_text_by_NID(X509_get_subject_name(shown), NID_commonName, name, (int)size);
    X509_free(shown);
    SSL_free(ssl);
    close(fd);
    SSL_CTX_free(context);
}

static void test_reload(void **state) {
    tls_test self;
    char name[64];
    char message[NET_TLS_MESSAGE_MAX];
    char path[200];
    begin(&self, state);
    copy_file(&self, "server.pem", "live.pem");
    copy_file(&self, "server.key", "live.key");
    rig one = {.tls = make_tls(&self, 1, "live", NULL, NET_TLS_CLIENTS_UNASKED)};
    rig_start(&one);
    shown_name(&one, name, sizeof name);
    assert_string_equal(name, "server");
    copy_file(&self, "renewed.pem", "live.pem");
    assert_int_equal(net_tls_reload(one.tls, message), NET_ETLS); /* the key does not fit yet */
    assert_non_null(strstr(message, "live.key"));
    shown_name(&one, name, sizeof name);
    assert_string_equal(name, "server");
    copy_file(&self, "renewed.key", "live.key");
    assert_int_equal(net_tls_reload(one.tls, message), 0);
    shown_name(&one, name, sizeof name);
    assert_string_equal(name, "renewed");
    unlink(path_in(&self, "live.pem", path, sizeof path));
    assert_int_equal(net_tls_reload(one.tls, message), NET_ETLS);
    rig_stop(&one);
    net_tls_free(one.tls);
    end(&self);
}

/* What a foreign client may not do. */
static int try_connect(const rig *server, int version, const char *protocols, char *selected) {
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(context, 0);
    SSL_CTX_set_max_proto_version(context, version);
    if (protocols != NULL) {
        SSL_CTX_set_alpn_protos(context, (const unsigned char *)protocols,
                                (unsigned)strlen(protocols));
    }
    SSL *ssl = SSL_new(context);
    int fd = rig_connect(server);
    SSL_set_fd(ssl, fd);
    int rc = SSL_connect(ssl);
    const unsigned char *name;
    unsigned len;
    SSL_get0_alpn_selected(ssl, &name, &len);
    snprintf(selected, 32, "%.*s", (int)len, len ? (const char *)name : "");
    SSL_free(ssl);
    close(fd);
    SSL_CTX_free(context);
    return rc;
}

static void test_versions(void **state) {
    tls_test self;
    char selected[32];
    int closed;
    begin(&self, state);
    rig one = {.tls = make_tls(&self, 1, "server", NULL, NET_TLS_CLIENTS_UNASKED)};
    rig_start(&one);
    assert_int_equal(try_connect(&one, TLS1_2_VERSION, NULL, selected), 1);
    assert_int_equal(try_connect(&one, TLS1_3_VERSION, "\x02h2\x08http/1.1", selected), 1);
    assert_string_equal(selected, "http/1.1");
    assert_int_not_equal(try_connect(&one, TLS1_1_VERSION, NULL, selected), 1);
    assert_int_not_equal(try_connect(&one, TLS1_3_VERSION, "\x02h2", selected), 1);
    char *reply = rig_talk(&one, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, &closed);
    assert_null(strstr(reply, "HTTP/1.1 200"));
    assert_true(closed > 0);
    free(reply);
    assert_int_equal(atomic_load(&one.handled), 0);
    rig_stop(&one);
    net_tls_free(one.tls);
    end(&self);
}

/* Bodies of many records, both ways, on one connection. */
static void test_large(void **state) {
    tls_test self;
    char text[100];
    begin(&self, state);
    rig one = {.tls = make_tls(&self, 1, "server", NULL, NET_TLS_CLIENTS_UNASKED),
               .options = {.body_bytes_max = 8 << 20}};
    net_tls *tls = make_tls(&self, 0, NULL, "one.pem", NET_TLS_CLIENTS_UNASKED);
    rig_start(&one);
    char *body = malloc(3 << 20);
    memset(body, 'y', 3 << 20);
    snprintf(text, sizeof text, "%s/x", one.url);
    net_url url;
    assert_int_equal(net_url_parse(text, strlen(text), &url, NULL), 0);
    const net_fetch fetch = {.size = sizeof fetch,
                             .url = &url,
                             .method = "POST",
                             .tls = tls,
                             .body = body,
                             .body_len = 3 << 20,
                             .answer_bytes_max = 4 << 20,
                             .done = on_done,
                             .user = &self};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(net_client_fetch(self.client, &fetch, NULL), 0);
        for (int turn = 0; turn < 3000 && self.done == i; turn++) {
            net_loop_turn(self.loop, 10);
        }
        assert_int_equal(self.done, i + 1);
        assert_int_equal(self.result.error, 0);
        assert_true(self.result.body.len > 3 << 20);
    }
    assert_int_equal(net_client_count(self.client).opened, 1);
    snprintf(text, sizeof text, "%s/stream", one.url);
    ask(&self, text, tls);
    assert_string_equal(self.text, "one two three");
    free(body);
    rig_stop(&one);
    net_tls_free(one.tls);
    net_tls_free(tls);
    end(&self);
}

/* Requests that share a connection. */
static void test_pipeline(void **state) {
    tls_test self;
    char text[100];
    begin(&self, state);
    rig one = {.tls = make_tls(&self, 1, "server", NULL, NET_TLS_CLIENTS_UNASKED)};
    net_tls *tls = make_tls(&self, 0, NULL, "one.pem", NET_TLS_CLIENTS_UNASKED);
    rig_start(&one);
    snprintf(text, sizeof text, "%s/x", one.url);
    ask(&self, text, tls);
    net_url url;
    assert_int_equal(net_url_parse(text, strlen(text), &url, NULL), 0);
    const net_fetch fetch = {.size = sizeof fetch,
                             .url = &url,
                             .method = "POST",
                             .tls = tls,
                             .pipeline_max = 8,
                             .done = on_done,
                             .user = &self};
    self.done = 0;
    for (int i = 0; i < 8; i++) {
        assert_int_equal(net_client_fetch(self.client, &fetch, NULL), 0);
    }
    for (int turn = 0; turn < 1000 && self.done < 8; turn++) {
        net_loop_turn(self.loop, 10);
        assert_int_equal(self.result.error, 0);
    }
    assert_int_equal(self.done, 8);
    assert_int_equal(net_client_count(self.client).opened, 1);
    rig_stop(&one);
    net_tls_free(one.tls);
    net_tls_free(tls);
    end(&self);
}

/* ---- an answer that ends with its connection */

typedef struct closer {
    SSL_CTX *context;
    int listener;
    int notify; /* it says goodbye */
} closer;

/* Answers one request, without a length, and closes. */
static void *answer_and_close(void *user) {
    static const char says[] = "HTTP/1.0 200 OK\r\n\r\nabc";
    closer *self = user;
    char bytes[4096];
    int fd = accept(self->listener, NULL, NULL);
    SSL *ssl = SSL_new(self->context);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1 && SSL_read(ssl, bytes, sizeof bytes) > 0 &&
        SSL_write(ssl, says, sizeof says - 1) > 0 && self->notify) {
        SSL_shutdown(ssl);
    }
    SSL_free(ssl);
    close(fd);
    return NULL;
}

/* Whoever stands between can end a connection, but not say goodbye in the peer's name. */
static void test_goodbye(void **state) {
    tls_test self;
    char path[200];
    char text[64];
    begin(&self, state);
    for (int notify = 0; notify < 2; notify++) {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof at;
        closer peer = {SSL_CTX_new(TLS_server_method()), socket(AF_INET, SOCK_STREAM, 0), notify};
        net_tls *tls = make_tls(&self, 0, NULL, "one.pem", NET_TLS_CLIENTS_UNASKED);
        pthread_t thread;
        path_in(&self, "server.pem", path, sizeof path);
        assert_int_equal(SSL_CTX_use_certificate_chain_file(peer.context, path), 1);
        path_in(&self, "server.key", path, sizeof path);
        assert_int_equal(SSL_CTX_use_PrivateKey_file(peer.context, path, SSL_FILETYPE_PEM), 1);
        assert_int_equal(bind(peer.listener, (struct sockaddr *)&at, sizeof at), 0);
        assert_int_equal(listen(peer.listener, 1), 0);
        getsockname(peer.listener, (struct sockaddr *)&at, &len);
        pthread_create(&thread, NULL, answer_and_close, &peer);
        snprintf(text, sizeof text, "https://localhost:%d/x", ntohs(at.sin_port));
        ask(&self, text, tls);
        assert_int_equal(self.result.error, notify ? 0 : NET_ETLS);
        if (notify) {
            assert_string_equal(self.text, "abc");
        } else {
            assert_int_equal(self.result.sent, 1);
        }
        pthread_join(thread, NULL);
        close(peer.listener);
        SSL_CTX_free(peer.context);
        net_tls_free(tls);
    }
    end(&self);
}

static void test_options(void **state) {
    net_tls_options options = {0};
    net_tls *tls;
    char message[NET_TLS_MESSAGE_MAX];
    (void)state;
    assert_int_equal(net_tls_create(&options, message, &tls), NET_EINVALID);
    options = (net_tls_options){.size = sizeof options, .server = 1};
    assert_int_equal(net_tls_create(&options, message, &tls), NET_EINVALID);
    options = (net_tls_options){.size = sizeof options, .key = "x"};
    assert_int_equal(net_tls_create(&options, message, &tls), NET_EINVALID);
    options = (net_tls_options){.size = sizeof options, .authorities = "/nonexistent.pem"};
    assert_int_equal(net_tls_create(&options, message, &tls), NET_ETLS);
    assert_non_null(strstr(message, "/nonexistent.pem"));
    net_tls_free(NULL);
}

static void expect_words(const net_tls_options *options, const char *words) {
    net_tls *tls;
    char message[NET_TLS_MESSAGE_MAX];
    assert_int_equal(net_tls_create(options, message, &tls), NET_ETLS);
    if (strncmp(message, words, strlen(words)) != 0) {
        fail_msg("%s, and not %s", message, words);
    }
}

/* What the system says is told in its words, what OpenSSL finds in a file in OpenSSL's. */
static void test_files(void **state) {
    tls_test self = {.done = 0};
    char certificate[200];
    char key[200];
    char other[200];
    snprintf(self.folder, sizeof self.folder, "%s", (const char *)*state);
    path_in(&self, "server.pem", certificate, sizeof certificate);
    path_in(&self, "server.key", key, sizeof key);
    path_in(&self, "client.key", other, sizeof other);
    net_tls_options options = {.size = sizeof options, .certificate = "/nowhere/c", .key = key};
    expect_words(&options, "cannot read the certificate /nowhere/c: No such file or directory");
    options.certificate = certificate;
    options.key = "/nowhere/k";
    expect_words(&options, "cannot read the key /nowhere/k: No such file or directory");
    options.key = other;
    expect_words(&options, "key ");
    options = (net_tls_options){.size = sizeof options, .authorities = "/nowhere/a"};
    expect_words(&options, "cannot read the authorities /nowhere/a: No such file or directory");
    options.authorities = key;
    ERR_raise(ERR_LIB_SYS, ENOENT); /* an earlier failure, of something else */
    expect_words(&options, "authorities ");
}

static int make_certificates(void **state) {
    char *folder = strdup("/tmp/etx-net-XXXXXX");
    char command[512];
    assert_non_null(mkdtemp(folder));
    snprintf(command, sizeof command, "%s %s", getenv("NET_CERTIFICATES"), folder);
    *state = folder;
    return system(command) == 0 ? 0 : -1;
}

static int remove_certificates(void **state) {
    char command[256];
    snprintf(command, sizeof command, "rm -rf '%s'", (char *)*state);
    int rc = system(command);
    free(*state);
    return rc;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trust),    cmocka_unit_test(test_no_trust),
        cmocka_unit_test(test_clients),  cmocka_unit_test(test_reload),
        cmocka_unit_test(test_versions), cmocka_unit_test(test_pipeline),
        cmocka_unit_test(test_large),    cmocka_unit_test(test_options),
        cmocka_unit_test(test_files),    cmocka_unit_test(test_goodbye),
    };
    return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}

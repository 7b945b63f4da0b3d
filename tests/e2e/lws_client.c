/* A WebSocket client on libwebsockets for the interoperation test: opens ws://HOST:PORT/PATH, sends each
 * MESSAGE in turn, prints each answer on a line of its own, and closes with code 1000. Exit status 0 when all
 * went well. */
#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_MAX 65536

struct session {
    char **messages;
    int count;
    int sent;
    int answered;
    int closed;
    int failed;
    char in[MESSAGE_MAX];
    size_t in_len;
    unsigned char out[LWS_PRE + MESSAGE_MAX];
};

static int send_next(struct session *session, struct lws *wsi)
{
    size_t len = strlen(session->messages[session->sent]);

    if (len > MESSAGE_MAX)
        return -1;
    memcpy(session->out + LWS_PRE, session->messages[session->sent], len);
    session->sent++;
    return lws_write(wsi, session->out + LWS_PRE, len, LWS_WRITE_TEXT) < (int)len ? -1 : 0;
}

static int take(struct session *session, struct lws *wsi, const char *data, size_t len)
{
    if (session->in_len + len > sizeof(session->in))
        return -1;
    memcpy(session->in + session->in_len, data, len);
    session->in_len += len;
    if (!lws_is_final_fragment(wsi) || lws_remaining_packet_payload(wsi) != 0)
        return 0;
    printf("%.*s\n", (int)session->in_len, session->in);
    session->in_len = 0;
    session->answered++;
    if (session->answered == session->count) {
        lws_close_reason(wsi, LWS_CLOSE_STATUS_NORMAL, NULL, 0);
        return -1;
    }
    lws_callback_on_writable(wsi);
    return 0;
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    struct session *session = lws_context_user(lws_get_context(wsi));

    (void)user;
    switch (reason) {
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        fprintf(stderr, "connection error: %.*s\n", (int)len, in ? (const char *)in : "");
        session->failed = 1;
        session->closed = 1;
        break;
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        lws_callback_on_writable(wsi);
        break;
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        if (session->sent == session->answered && session->sent < session->count)
            return send_next(session, wsi);
        break;
    case LWS_CALLBACK_CLIENT_RECEIVE:
        return take(session, wsi, in, len);
    case LWS_CALLBACK_CLIENT_CLOSED:
        session->closed = 1;
        break;
    default:
        break;
    }
    return 0;
}

static const struct lws_protocols protocols[] = {
    {.name = "default", .callback = on_event, .rx_buffer_size = 4096},
    {.name = NULL},
};

int main(int argc, char **argv)
{
    struct lws_context_creation_info info;
    struct lws_client_connect_info connect;
    struct lws_context *context;
    struct session *session;
    int ok;

    if (argc < 5) {
        fprintf(stderr, "usage: %s HOST PORT PATH MESSAGE...\n", argv[0]);
        return 2;
    }
    lws_set_log_level(LLL_ERR, NULL);
    session = calloc(1, sizeof(*session));
    if (!session)
        return 1;
    session->messages = argv + 4;
    session->count = argc - 4;

    memset(&info, 0, sizeof(info));
    info.port = CONTEXT_PORT_NO_LISTEN;
    info.protocols = protocols;
    info.user = session;
    context = lws_create_context(&info);
    if (!context) {
        free(session);
        return 1;
    }
    memset(&connect, 0, sizeof(connect));
    connect.context = context;
    connect.address = argv[1];
    connect.port = (int)strtol(argv[2], NULL, 10);
    connect.path = argv[3];
    connect.host = argv[1];
    connect.origin = argv[1];
    connect.ietf_version_or_minus_one = -1;
    if (!lws_client_connect_via_info(&connect))
        session->failed = session->closed = 1;
    while (!session->closed && lws_service(context, 0) >= 0)
        ;
    ok = !session->failed && session->answered == session->count;
    lws_context_destroy(context);
    free(session);
    return ok ? 0 : 1;
}

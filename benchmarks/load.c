/* Load generator for realtime transcription gateways: `load upstream` is the model server behind the gateway, `load run`
   holds paced sessions through the gateway and times every answer. benchmarks/README.md says what is measured. */
#define _GNU_SOURCE
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    OPENING_MAX = 32,           /* handshakes under way at a time */
    OPEN_TIMEOUT_US = 60000000, /* for all of them */
    DRAIN_TIMEOUT_US = 4000000, /* for answers still under way when the sending stops */
    END_TIMEOUT_US = 12000000,  /* for final commits, their answers and the closing handshakes */
    LATE_US = 20000,            /* an append sent this long after it was due counts as late */
    NAP_US = 200,               /* appends due within this time of each other are sent together */
    BURST_MAX = 32,             /* appends sent before answers are looked at again */
    RING = 512,                 /* appends in flight per session whose send time is kept */
    ACK_EVERY = 32,             /* numbered events between two acknowledgements */
};

enum state { NEW, CONNECTING, UPGRADING, GREETING, OPEN, FINISHING, CLOSING, ENDED, FAILED };

struct session {
    struct peer peer;
    enum state state;
    char key[25];
    uint64_t sent, units;    /* appends sent; the last unit of audio that was answered */
    uint64_t seq;            /* the last numbered event, for sessions under Parley's contract */
    uint32_t sent_at_us[RING]; /* since the run began */
};

static struct {
    long port, sessions, append_us, unit_us, ahead_us, text_every, contract;
    const char *path;
} set;
static struct {
    long opening, open, ended, errors;
    uint64_t sent, late, answered;
    char first_error[256];
} seen;
static struct {
    uint64_t begin_us;            /* when the first append was due */
    uint64_t from, to;            /* the appends that are measured, counted over all sessions */
    uint32_t *latency_us, *lateness_us;
    size_t latencies, latenesses;
} run;
static struct session *sessions;
static uint8_t *appends[POOL_CHUNKS];
static size_t append_length;
static uint64_t random_state = 2;
static int epoll;

static void fail(struct session *session, const char *why, const char *detail, size_t detail_length) {
    if (!seen.errors++)
        snprintf(seen.first_error, sizeof seen.first_error, "%s %.*s", why, (int)(detail_length < 160 ? detail_length : 160),
                 detail ? detail : "");
    if (session->state >= OPEN)
        seen.open--;
    else if (session->state != NEW)
        seen.opening--;
    if (session->state != NEW) peer_close(&session->peer);
    session->state = FAILED;
}

static bool send_frame(struct session *session, uint8_t opcode, const void *payload, size_t length) {
    uint8_t frame[512], mask[4];
    uint32_t random = next_random(&random_state);
    memcpy(mask, &random, 4);
    return peer_write(&session->peer, epoll, session, frame, frame_build(frame, opcode, mask, payload, length));
}

static bool send_text(struct session *session, const char *text) {
    return send_frame(session, OP_TEXT, text, strlen(text));
}

static void start_session(struct session *session) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)set.port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0) die("socket");
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) {
        close(fd);
        fail(session, "connect:", strerror(errno), 160);
        return;
    }
    session->state = CONNECTING;
    seen.opening++;
    peer_open(&session->peer, fd, epoll, session, true);
}

static bool send_upgrade(struct session *session) {
    uint8_t nonce[16];
    char head[512];
    for (int i = 0; i < 16; i++) nonce[i] = (uint8_t)next_random(&random_state);
    base64(nonce, sizeof nonce, session->key);
    int length = snprintf(head, sizeof head,
                          "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%ld\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n",
                          set.path, set.port, session->key);
    session->state = UPGRADING;
    return peer_write(&session->peer, epoll, session, head, (size_t)length);
}

static ssize_t take_head(struct session *session, uint8_t *data, size_t length) {
    char accept[32];
    const uint8_t *end = memmem(data, length, "\r\n\r\n", 4);
    if (!end) return length < 8192 ? 0 : -1;
    accept_for(session->key, accept);
    size_t used = (size_t)(end - data) + 4;
    if (memcmp(data, "HTTP/1.1 101", 12) != 0 || !memmem(data, used, accept, strlen(accept))) {
        fail(session, "not upgraded:", (const char *)data, strcspn((const char *)data, "\r"));
        return -1;
    }
    session->state = GREETING;
    return (ssize_t)used;
}

static void record(struct session *session, uint64_t unit, uint64_t at_us) {
    uint64_t whole_us = unit * (uint64_t)set.unit_us + (uint64_t)set.ahead_us;
    uint64_t append = (whole_us + (uint64_t)set.append_us - 1) / (uint64_t)set.append_us - 1;
    uint64_t order = append * (uint64_t)set.sessions + (uint64_t)(session - sessions);
    if (order >= run.from && order < run.to && run.latencies < run.to - run.from)
        run.latency_us[run.latencies++] = (uint32_t)(at_us - run.begin_us) - session->sent_at_us[append % RING];
}

/* Every number in the text must be the next one: none lost, none twice, none of another session. */
static bool take_delta(struct session *session, const char *text, size_t length, uint64_t at_us) {
    const char *end = text + length, *key = memmem(text, length, "\"delta\":", 8);
    const char *from = key ? memchr(key + 8, '"', (size_t)(end - key - 8)) : NULL;
    const char *to = from ? memchr(from + 1, '"', (size_t)(end - from - 1)) : NULL;
    if (!to) return false;
    for (const char *at = from + 1; at < to;) {
        uint64_t unit = 0;
        if (*at++ == ' ') continue;
        for (at--; at < to && *at >= '0' && *at <= '9'; at++) unit = unit * 10 + (uint64_t)(*at - '0');
        if (unit != session->units + (uint64_t)set.text_every ||
            unit * (uint64_t)set.unit_us + (uint64_t)set.ahead_us > session->sent * (uint64_t)set.append_us)
            return false;
        session->units = unit;
        seen.answered++;
        record(session, unit, at_us);
    }
    return true;
}

/* Under the contract every event is numbered, without gaps, and acknowledged now and then. */
static bool take_number(struct session *session, const char *text, size_t length) {
    const char *key = memmem(text, length, "\"seq\":", 6);
    char ack[64];
    uint64_t seq = 0;
    if (!key) return false;
    for (const char *at = key + 6; at < text + length && *at >= '0' && *at <= '9'; at++) seq = seq * 10 + (uint64_t)(*at - '0');
    if (seq != session->seq + 1) return false;
    session->seq = seq;
    if (seq % ACK_EVERY) return true;
    snprintf(ack, sizeof ack, "{\"type\":\"session.ack\",\"seq\":%llu}", (unsigned long long)seq);
    return send_text(session, ack);
}

static bool take_message(struct session *session, const char *text, size_t length) {
    size_t head = length < 64 ? length : 64;
    if (memmem(text, head, "\"transcription.delta\"", 21))
        return take_delta(session, text, length, now_us()) && (!set.contract || take_number(session, text, length));
    if (memmem(text, head, "\"error\"", 7)) return false;
    if (memmem(text, head, "\"session.created\"", 17) && session->state == GREETING) {
        session->state = OPEN;
        seen.opening--;
        seen.open++;
        return send_text(session, set.contract
                                      ? "{\"type\":\"session.update\",\"model\":\"bench\",\"parley\":{\"resume\":true}}"
                                      : "{\"type\":\"session.update\",\"model\":\"bench\"}") &&
               send_text(session, "{\"type\":\"input_audio_buffer.commit\"}");
    }
    if (memmem(text, head, "\"transcription.done\"", 20)) {
        bool asked = session->state == FINISHING;
        session->state = CLOSING;
        if (set.contract) return asked && send_text(session, "{\"type\":\"session.end\"}");
        return asked && send_frame(session, OP_CLOSE, "\x03\xe8", 2);
    }
    return session->state >= OPEN; /* a gateway's own notices */
}

static bool take_frame(struct session *session, const struct frame *frame) {
    switch (frame->masked ? -1 : frame->opcode) {
    case OP_TEXT:
        return take_message(session, (const char *)frame->payload, frame->length);
    case OP_PING:
        return frame->length < 126 && send_frame(session, OP_PONG, frame->payload, frame->length);
    case OP_PONG:
        return true;
    case OP_CLOSE:
        /* Under the contract it is the server that closes. */
        return session->state == CLOSING && (!set.contract || send_frame(session, OP_CLOSE, "\x03\xe8", 2));
    default:
        return false;
    }
}

static void take_bytes(struct session *session) {
    uint8_t *data;
    ssize_t length = peer_read(&session->peer, &data), used = 1;
    if (length < 0) return;
    if (length == 0) {
        if (session->state != CLOSING) {
            fail(session, "the connection was cut", NULL, 0);
            return;
        }
        peer_close(&session->peer);
        session->state = ENDED;
        seen.open--;
        seen.ended++;
        return;
    }
    while (length > 0 && used > 0) {
        struct frame frame = {0};
        bool framed = session->state != UPGRADING;
        used = framed ? frame_parse(data, (size_t)length, &frame) : take_head(session, data, (size_t)length);
        if (session->state == FAILED) return;
        if (used < 0 || (framed && used > 0 && !take_frame(session, &frame))) {
            fail(session, "unexpected message:", (const char *)frame.payload, frame.payload ? frame.length : 0);
            return;
        }
        data += used;
        length -= used;
    }
    peer_keep(&session->peer, data, (size_t)length);
}

static void take_event(struct session *session, uint32_t events) {
    bool whole = true;
    if (session->state == CONNECTING && events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(session->peer.fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error) {
            fail(session, "connect:", strerror(error), 160);
            return;
        }
        whole = send_upgrade(session);
    }
    if (whole && events & EPOLLOUT) whole = peer_flush(&session->peer, epoll, session);
    if (!whole)
        fail(session, "the connection does not take what is sent", NULL, 0);
    else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        take_bytes(session);
}

static void take_events(uint64_t wait_us) {
    struct epoll_event events[64];
    struct timespec wait = {(time_t)(wait_us / 1000000), (long)(wait_us % 1000000 * 1000)};
    int ready = epoll_pwait2(epoll, events, 64, &wait, NULL);
    if (ready < 0 && errno != EINTR) die("epoll_pwait2");
    for (int i = 0; i < ready; i++) take_event(events[i].data.ptr, events[i].events);
}

static void open_sessions(void) {
    uint64_t deadline_us = now_us() + OPEN_TIMEOUT_US;
    long next = 0;
    while ((next < set.sessions || seen.opening) && now_us() < deadline_us) {
        while (next < set.sessions && seen.opening < OPENING_MAX) start_session(&sessions[next++]);
        take_events(100000);
        if (seen.errors > 10) return;
    }
    for (long i = 0; i < set.sessions; i++)
        if (sessions[i].state < OPEN) fail(&sessions[i], "not open in time", NULL, 0);
}

static void send_append(uint64_t order, uint64_t due_us) {
    struct session *session = &sessions[order % (uint64_t)set.sessions];
    uint64_t at_us = now_us();
    if (session->state != OPEN) return;
    if (order >= run.from && order < run.to) {
        run.lateness_us[run.latenesses++] = (uint32_t)(at_us - due_us);
        if (at_us - due_us > LATE_US) seen.late++;
    }
    size_t chunk = session->sent % POOL_CHUNKS;
    session->sent_at_us[session->sent++ % RING] = (uint32_t)(at_us - run.begin_us);
    seen.sent++;
    if (!peer_write(&session->peer, epoll, session, appends[chunk], append_length))
        fail(session, "the connection does not take what is sent", NULL, 0);
}

/* Append number `order` of all belongs to session order % sessions, so the sessions' phases are spread evenly. */
static uint64_t due_us(uint64_t order) {
    return run.begin_us + order * (uint64_t)set.append_us / (uint64_t)set.sessions;
}

static void announce(const char *what) {
    puts(what);
    fflush(stdout);
}

static void send_appends(void) {
    run.begin_us = now_us() + 10000;
    for (uint64_t order = 0; order < run.to;) {
        uint64_t now = now_us();
        for (int burst = 0; burst < BURST_MAX && order < run.to && due_us(order) <= now; burst++, order++) {
            if (order == run.from) announce("measuring");
            send_append(order, due_us(order));
        }
        uint64_t due = order < run.to ? due_us(order) : now;
        now = now_us();
        take_events(due <= now ? 0 : due - now < NAP_US ? NAP_US : due - now);
    }
    announce("measured");
}

static uint64_t answers_due(void) {
    uint64_t units = 0;
    for (long i = 0; i < set.sessions; i++) {
        uint64_t sent_us = sessions[i].sent * (uint64_t)set.append_us, ahead_us = (uint64_t)set.ahead_us;
        units += (sent_us > ahead_us ? sent_us - ahead_us : 0) / (uint64_t)set.unit_us / (uint64_t)set.text_every;
    }
    return units;
}

static void drain(void) {
    uint64_t due = answers_due();
    for (uint64_t deadline_us = now_us() + DRAIN_TIMEOUT_US; seen.answered < due && now_us() < deadline_us;)
        take_events(10000);
}

static void end_sessions(void) {
    uint64_t deadline_us = now_us() + END_TIMEOUT_US;
    for (long i = 0; i < set.sessions; i++) {
        if (sessions[i].state != OPEN) continue;
        sessions[i].state = FINISHING;
        if (!send_text(&sessions[i], "{\"type\":\"input_audio_buffer.commit\",\"final\":true}"))
            fail(&sessions[i], "the connection does not take what is sent", NULL, 0);
        if (i % BURST_MAX == 0) take_events(0);
    }
    while (seen.open && now_us() < deadline_us) take_events(10000);
    for (long i = 0; i < set.sessions; i++)
        if (sessions[i].state == FINISHING || sessions[i].state == CLOSING) fail(&sessions[i], "not ended in time", NULL, 0);
}

static int ascending(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static double quantile_ms(uint32_t *values, size_t length, double quantile) {
    if (!length) return 0;
    return values[(size_t)((double)(length - 1) * quantile)] / 1e3;
}

static void print_result(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    qsort(run.latency_us, run.latencies, sizeof *run.latency_us, ascending);
    qsort(run.lateness_us, run.latenesses, sizeof *run.lateness_us, ascending);
    for (char *at = seen.first_error; *at; at++)
        if (*at == '"' || *at == '\\' || (unsigned char)*at < 32 || (unsigned char)*at > 126) *at = '\'';
    printf("{\"sessions\":%ld,\"ended\":%ld,\"sent\":%llu,\"due\":%llu,\"answered\":%llu,\"appends\":%zu,"
           "\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,\"late\":%llu,\"late_p99_ms\":%.3f,"
           "\"errors\":%ld,\"first_error\":\"%s\"}\n",
           set.sessions, seen.ended, (unsigned long long)seen.sent, (unsigned long long)answers_due(),
           (unsigned long long)seen.answered, run.latenesses, quantile_ms(run.latency_us, run.latencies, 0.5),
           quantile_ms(run.latency_us, run.latencies, 0.99), quantile_ms(run.latency_us, run.latencies, 1),
           (unsigned long long)seen.late, quantile_ms(run.lateness_us, run.latenesses, 0.99), seen.errors,
           seen.first_error);
}

static void prepare(void) {
    size_t length;
    char **pool = audio_pool((size_t)set.append_us / 1000 * SAMPLE_RATE_HZ / 1000 * SAMPLE_BYTES, &length);
    char *text = malloc(length + 64);
    if (!text || length + 64 > FRAME_BYTES_MAX) die("append");
    for (int i = 0; i < POOL_CHUNKS; i++) {
        uint32_t mask = next_random(&random_state);
        int used = sprintf(text, "{\"type\":\"input_audio_buffer.append\",\"audio\":\"%.*s\"}", (int)length, pool[i]);
        appends[i] = malloc((size_t)used + FRAME_HEAD_BYTES_MAX);
        if (!appends[i]) die("malloc");
        append_length = frame_build(appends[i], OP_TEXT, (uint8_t *)&mask, text, (size_t)used);
    }
    free(text);
    sessions = calloc((size_t)set.sessions, sizeof *sessions);
    run.latency_us = calloc(run.to - run.from, sizeof *run.latency_us);
    run.lateness_us = calloc(run.to - run.from, sizeof *run.lateness_us);
    if (!sessions || !run.latency_us || !run.lateness_us) die("calloc");
}

static int run_load(int argc, char **argv) {
    set.port = option(argc, argv, "--port", 9000);
    set.path = text_option(argc, argv, "--path", "/v1/realtime");
    set.sessions = option(argc, argv, "--sessions", 100);
    set.append_us = option(argc, argv, "--append-ms", 100) * 1000;
    set.unit_us = option(argc, argv, "--unit-ms", 100) * 1000;
    set.ahead_us = option(argc, argv, "--ahead-us", 0);
    set.text_every = option(argc, argv, "--text-every", 1);
    set.contract = option(argc, argv, "--contract", 0);
    uint64_t per_second = (uint64_t)set.sessions * 1000000 / (uint64_t)set.append_us;
    run.from = per_second * (uint64_t)option(argc, argv, "--warm-s", 2);
    run.to = run.from + per_second * (uint64_t)option(argc, argv, "--measure-s", 5);
    raise_descriptor_limit((size_t)set.sessions + 32);
    prepare();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    open_sessions();
    if (!seen.errors) {
        send_appends();
        drain();
        end_sessions();
    }
    print_result();
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "upstream")) return run_upstream(argc - 2, argv + 2);
    if (argc > 1 && !strcmp(argv[1], "run")) return run_load(argc - 2, argv + 2);
    fprintf(stderr, "usage: load upstream [--port N] [--append-ms N] [--unit-ms N] [--ahead-us N]\n"
                    "                     [--text-every N]\n"
                    "       load run [--port N] [--path /v1/realtime] [--sessions N] [--append-ms N] [--unit-ms N]\n"
                    "                [--ahead-us N] [--text-every N] [--contract 1] [--warm-s N] [--measure-s N]\n");
    return 2;
}

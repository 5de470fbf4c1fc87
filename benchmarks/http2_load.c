/* Load generator for SageMaker's bidirectional operation: paced sessions, each a stream of signed events over HTTP/2 in
   the clear, every answer timed and its number checked. benchmarks/README.md says what is measured.

   It is no general HTTP/2 client: it keeps to the windows it is given, answers SETTINGS and PING, and takes the rest of
   what a server may send for a failure. */
#define _GNU_SOURCE
#include "http2_sign.h"
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
    OPENING_MAX = 16,           /* connections under way at a time */
    OPEN_TIMEOUT_US = 60000000, /* for all of them */
    DRAIN_TIMEOUT_US = 4000000, /* for answers still under way when the sending stops */
    END_TIMEOUT_US = 12000000,  /* for final commits, their answers and the streams' ends */
    LATE_US = 20000,            /* an event sent this long after it was due counts as late */
    NAP_US = 200,               /* events due within this time of each other are sent together */
    BURST_MAX = 32,             /* events sent before answers are looked at again */
    RING = 512,                 /* events in flight per session whose due time is kept */
    WINDOW_BYTES = 1 << 28,     /* that this client offers; it never has to offer more */
    FRAME_HEAD_BYTES = 9,
};

enum { DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, PING = 6, GOAWAY = 7, WINDOW_UPDATE = 8 };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };
enum { SETTING_INITIAL_WINDOW_SIZE = 4 };

enum state { NEW, GREETING, OPEN, FINISHING, CLOSING, ENDED, FAILED };

struct session {
    struct connection *connection;
    struct chain chain;
    uint32_t stream;
    enum state state;
    int64_t window;
    uint64_t due, sent, units; /* events due and sent; the last one that was answered */
    uint8_t *in;
    size_t in_length;
    uint32_t due_at_us[RING]; /* since the run began */
};

struct connection {
    struct peer peer;
    bool connecting;
    int64_t window, initial_window;
    struct session *sessions;
    long open; /* streams that have not ended */
};

static struct {
    long port, sessions, streams, event_us;
    const char *endpoint;
} set;
static struct {
    long opening, open, ended, errors;
    uint64_t sent, late, answered;
    char first_error[256];
} seen;
static struct {
    uint64_t begin_us;
    uint64_t from, to; /* the events that are measured, counted over all sessions */
    uint32_t *latency_us, *lateness_us;
    size_t latencies, latenesses;
    uint64_t cpu_us, wall_us; /* this program's, while it measured */
} run;
static struct session *sessions;
static struct connection *connections;
static long connection_count;
static struct part appends[POOL_CHUNKS], update, commit, final_commit, nothing;
static char path[128], authority[32];
static uint64_t random_state = 2;
static int epoll;

static void fail(struct session *session, const char *why, const char *detail, size_t detail_length) {
    if (session->state >= ENDED) return;
    if (!seen.errors++)
        snprintf(seen.first_error, sizeof seen.first_error, "%s %.*s", why, (int)(detail_length < 160 ? detail_length : 160),
                 detail ? detail : "");
    if (session->state >= OPEN) seen.open--;
    session->state = FAILED;
    session->connection->open--;
}

static void fail_connection(struct connection *connection, const char *why, const char *detail, size_t detail_length) {
    for (long i = 0; i < set.streams; i++) fail(&connection->sessions[i], why, detail, detail_length);
    if (connection->connecting) seen.opening--;
    connection->connecting = false;
    if (connection->peer.fd >= 0) peer_close(&connection->peer);
}

static uint8_t *put_head(uint8_t *out, size_t length, uint8_t type, uint8_t flags, uint32_t stream) {
    const uint8_t head[FRAME_HEAD_BYTES] = {
        (uint8_t)(length >> 16), (uint8_t)(length >> 8), (uint8_t)length, type, flags, (uint8_t)(stream >> 24),
        (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};
    memcpy(out, head, sizeof head);
    return out + FRAME_HEAD_BYTES;
}

static uint8_t *put_number(uint8_t *out, uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) *out++ = (uint8_t)(value >> shift);
    return out;
}

static uint32_t number(const uint8_t *data) {
    return (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
}

/* RFC 7541: a length in a prefix of 7 bits, not Huffman-coded, and the text. */
static uint8_t *put_text(uint8_t *out, const char *text) {
    size_t length = strlen(text), rest = length;
    if (length < 127) {
        *out++ = (uint8_t)length;
    } else {
        *out++ = 127;
        for (rest -= 127; rest >= 128; rest >>= 7) *out++ = (uint8_t)(rest | 128);
        *out++ = (uint8_t)rest;
    }
    memcpy(out, text, length);
    return out + length;
}

static uint8_t *put_field(uint8_t *out, const char *name, const char *value) {
    *out++ = 0; /* literal, not to be indexed, its name as well */
    return put_text(put_text(out, name), value);
}

static bool write_all(struct connection *connection, const void *data, size_t length) {
    return peer_write(&connection->peer, epoll, connection, data, length);
}

static bool send_headers(struct session *session) {
    static uint8_t frame[2048];
    char date[17], authorization[512], id[33];
    for (int i = 0; i < 4; i++) snprintf(id + 8 * i, 9, "%08x", next_random(&random_state) ^ (uint32_t)getpid());
    sign_request(&session->chain, path, authority, id, date, authorization);
    uint8_t *out = frame + FRAME_HEAD_BYTES;
    out = put_field(out, ":method", "POST");
    out = put_field(out, ":scheme", "http");
    out = put_field(out, ":path", path);
    out = put_field(out, ":authority", authority);
    out = put_field(out, "content-type", "application/vnd.amazon.eventstream");
    out = put_field(out, "amz-sdk-invocation-id", id);
    out = put_field(out, "x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-EVENTS");
    out = put_field(out, "x-amz-date", date);
    out = put_field(out, "authorization", authorization);
    put_head(frame, (size_t)(out - frame) - FRAME_HEAD_BYTES, HEADERS, END_HEADERS, session->stream);
    session->state = GREETING;
    session->window = session->connection->initial_window;
    return write_all(session->connection, frame, (size_t)(out - frame));
}

static bool send_part(struct session *session, const struct part *part, uint8_t flags) {
    static uint8_t frame[FRAME_HEAD_BYTES + EVENT_BYTES_MAX];
    size_t length = sign_part(&session->chain, part, frame + FRAME_HEAD_BYTES);
    put_head(frame, length, DATA, flags, session->stream);
    session->window -= (int64_t)length;
    session->connection->window -= (int64_t)length;
    return write_all(session->connection, frame, FRAME_HEAD_BYTES + length);
}

static bool may_send(const struct session *session, const struct part *part) {
    int64_t length = (int64_t)part->length + WRAPPER_BYTES;
    return session->window >= length && session->connection->window >= length;
}

/* What is due, as far as the windows reach. */
static bool send_due(struct session *session) {
    if (session->state != OPEN && session->state != FINISHING) return true;
    while (session->sent < session->due) {
        const struct part *part = &appends[session->sent % POOL_CHUNKS];
        if (!may_send(session, part)) return true;
        session->sent++;
        seen.sent++;
        if (!send_part(session, part, 0)) return false;
    }
    return true;
}

static bool send_due_of_all(struct connection *connection) {
    for (long i = 0; i < set.streams; i++)
        if (!send_due(&connection->sessions[i])) return false;
    return true;
}

static void start_connection(struct connection *connection) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)set.port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0) die("socket");
    connection->window = connection->initial_window = 65535;
    connection->connecting = true;
    seen.opening++;
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) {
        close(fd);
        connection->peer.fd = -1;
        fail_connection(connection, "connect:", strerror(errno), 160);
        return;
    }
    peer_open(&connection->peer, fd, epoll, connection, true);
}

static bool send_preface(struct connection *connection) {
    uint8_t frame[24 + 2 * FRAME_HEAD_BYTES + 10] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    uint8_t *out = put_head(frame + 24, 6, SETTINGS, 0, 0);
    *out++ = 0;
    *out++ = SETTING_INITIAL_WINDOW_SIZE;
    out = put_number(out, WINDOW_BYTES);
    out = put_number(put_head(out, 4, WINDOW_UPDATE, 0, 0), WINDOW_BYTES);
    if (!write_all(connection, frame, (size_t)(out - frame))) return false;
    connection->connecting = false;
    seen.opening--;
    for (long i = 0; i < set.streams; i++)
        if (!send_headers(&connection->sessions[i])) return false;
    return true;
}

/* The answer to event n reads " n": none may be lost, come twice or be another session's. */
static bool take_delta(struct session *session, const char *text, size_t length) {
    const char *key = memmem(text, length, "\"delta\":\"", 9);
    uint64_t unit = 0;
    if (!key) return false;
    for (const char *at = key + 9; at < text + length && *at != '"'; at++) {
        if (*at == ' ') continue;
        if (*at < '0' || *at > '9') return false;
        unit = unit * 10 + (uint64_t)(*at - '0');
        if (at + 1 < text + length && at[1] >= '0' && at[1] <= '9') continue;
        if (unit != session->units + 1 || unit > session->sent) return false;
        session->units = unit;
        seen.answered++;
        uint64_t order = (unit - 1) * (uint64_t)set.sessions + (uint64_t)(session - sessions);
        if (order >= run.from && order < run.to && run.latencies < run.to - run.from)
            run.latency_us[run.latencies++] = (uint32_t)(now_us() - run.begin_us) - session->due_at_us[(unit - 1) % RING];
        unit = 0;
    }
    return true;
}

static bool take_message(struct session *session, const char *text, size_t length) {
    size_t head = length < 64 ? length : 64;
    if (memmem(text, head, "\"transcription.delta\"", 21)) return take_delta(session, text, length);
    if (memmem(text, head, "\"session.created\"", 17) && session->state == GREETING) {
        session->state = OPEN;
        seen.open++;
        return send_part(session, &update, 0) && send_part(session, &commit, 0);
    }
    if (memmem(text, head, "\"transcription.done\"", 20) && session->state == FINISHING) {
        session->state = CLOSING;
        return send_part(session, &nothing, END_STREAM);
    }
    return false;
}

static bool take_data(struct session *session, const uint8_t *data, size_t length) {
    const uint8_t *payload;
    size_t payload_length;
    session->in = realloc(session->in, session->in_length + length + 1);
    if (!session->in) die("realloc");
    memcpy(session->in + session->in_length, data, length);
    session->in_length += length;
    size_t at = 0;
    for (long used; (used = event_parse(session->in + at, session->in_length - at, &payload, &payload_length)); at += (size_t)used) {
        if (used < 0) {
            fail(session, "a broken event", NULL, 0);
            return true;
        }
        if (!take_message(session, (const char *)payload, payload_length)) {
            fail(session, "unexpected event:", (const char *)payload, payload_length);
            return true;
        }
    }
    session->in_length -= at;
    memmove(session->in, session->in + at, session->in_length);
    return true;
}

static void end_stream(struct session *session) {
    if (session->state == ENDED || session->state == FAILED) return;
    if (session->state != CLOSING || session->in_length) {
        fail(session, "the stream ended", NULL, 0);
        return;
    }
    session->state = ENDED;
    seen.open--;
    seen.ended++;
    session->connection->open--;
}

static bool take_settings(struct connection *connection, const uint8_t *data, size_t length) {
    uint8_t ack[FRAME_HEAD_BYTES];
    for (size_t at = 0; at + 6 <= length; at += 6) {
        if ((data[at] << 8 | data[at + 1]) != SETTING_INITIAL_WINDOW_SIZE) continue;
        int64_t now = number(data + at + 2);
        for (long i = 0; i < set.streams; i++) connection->sessions[i].window += now - connection->initial_window;
        connection->initial_window = now;
    }
    put_head(ack, 0, SETTINGS, ACK, 0);
    return write_all(connection, ack, sizeof ack) && send_due_of_all(connection);
}

static bool take_window(struct connection *connection, struct session *session, uint32_t more) {
    if (session) {
        session->window += more;
        return send_due(session);
    }
    connection->window += more;
    return send_due_of_all(connection);
}

/* False when the connection is of no more use. */
static bool take_frame(struct connection *connection, const uint8_t *head, const uint8_t *data, size_t length) {
    uint8_t type = head[3], flags = head[4], pong[FRAME_HEAD_BYTES + 8];
    uint32_t stream = number(head + 5) & 0x7fffffff;
    struct session *session = stream % 2 && stream / 2 < (uint32_t)set.streams ? &connection->sessions[stream / 2] : NULL;
    bool whole = true;
    switch (type) {
    case DATA:
        whole = session && take_data(session, data, length);
        break;
    case HEADERS:
        /* A change of the table's size may stand before it; :status 200 is entry 8 of the static table. */
        while (length && (data[0] & 0xe0) == 0x20) data++, length--;
        if (session && session->state == GREETING && (!length || data[0] != 0x88)) fail(session, "the status is not 200", NULL, 0);
        break;
    case RST_STREAM:
        if (session) fail(session, "the stream was reset", NULL, 0);
        return true;
    case SETTINGS:
        return flags & ACK || take_settings(connection, data, length);
    case PING:
        if (flags & ACK || length != 8) return length == 8;
        memcpy(put_head(pong, 8, PING, ACK, 0), data, 8);
        return write_all(connection, pong, sizeof pong);
    case GOAWAY:
        return length >= 8 && number(data + 4) == 0;
    case WINDOW_UPDATE:
        return length == 4 && take_window(connection, session, number(data) & 0x7fffffff);
    default:
        return true;
    }
    if (whole && flags & END_STREAM) end_stream(session);
    return whole;
}

static void take_bytes(struct connection *connection) {
    uint8_t *data;
    ssize_t length = peer_read(&connection->peer, &data);
    if (length < 0) return;
    if (length == 0) {
        fail_connection(connection, "the connection was cut", NULL, 0);
        return;
    }
    while (length >= FRAME_HEAD_BYTES) {
        ssize_t size = (ssize_t)data[0] << 16 | (ssize_t)data[1] << 8 | data[2];
        if (length < FRAME_HEAD_BYTES + size) break;
        if (!take_frame(connection, data, data + FRAME_HEAD_BYTES, (size_t)size)) {
            fail_connection(connection, "unexpected frame", NULL, 0);
            return;
        }
        data += FRAME_HEAD_BYTES + size;
        length -= FRAME_HEAD_BYTES + size;
    }
    peer_keep(&connection->peer, data, (size_t)length);
    if (!connection->open) peer_close(&connection->peer);
}

static void take_event(struct connection *connection, uint32_t events) {
    bool whole = true;
    if (connection->peer.fd < 0) return;
    if (connection->connecting && events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(connection->peer.fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error) {
            fail_connection(connection, "connect:", strerror(error), 160);
            return;
        }
        whole = send_preface(connection);
    }
    if (whole && events & EPOLLOUT) whole = peer_flush(&connection->peer, epoll, connection);
    if (!whole)
        fail_connection(connection, "the connection does not take what is sent", NULL, 0);
    else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        take_bytes(connection);
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
    while ((next < connection_count || seen.open < set.sessions) && now_us() < deadline_us) {
        /* Those that are not greeted yet count as well, so that a server is not stormed. */
        while (next < connection_count && next * set.streams - seen.open < OPENING_MAX * set.streams)
            start_connection(&connections[next++]);
        take_events(100000);
        if (seen.errors > 10) return;
    }
    for (long i = 0; i < set.sessions; i++)
        if (sessions[i].state < OPEN) fail(&sessions[i], "not open in time", NULL, 0);
}

static void send_event(uint64_t order, uint64_t due_us) {
    struct session *session = &sessions[order % (uint64_t)set.sessions];
    uint64_t at_us = now_us();
    if (session->state != OPEN) return;
    if (order >= run.from && order < run.to) {
        run.lateness_us[run.latenesses++] = (uint32_t)(at_us - due_us);
        if (at_us - due_us > LATE_US) seen.late++;
    }
    session->due_at_us[session->due++ % RING] = (uint32_t)(at_us - run.begin_us);
    if (!send_due(session)) fail_connection(session->connection, "the connection does not take what is sent", NULL, 0);
}

/* Event number `order` of all belongs to session order % sessions, so the sessions' phases are spread evenly. */
static uint64_t due_us(uint64_t order) {
    return run.begin_us + order * (uint64_t)set.event_us / (uint64_t)set.sessions;
}

/* What this program takes of its core bounds what can be measured. */
static void count_own(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    uint64_t cpu_us = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
                      (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    run.cpu_us = cpu_us - run.cpu_us;
    run.wall_us = now_us() - run.wall_us;
}

static void announce(const char *what) {
    count_own();
    puts(what);
    fflush(stdout);
}

static void send_events(void) {
    run.begin_us = now_us() + 10000;
    for (uint64_t order = 0; order < run.to;) {
        uint64_t now = now_us();
        for (int burst = 0; burst < BURST_MAX && order < run.to && due_us(order) <= now; burst++, order++) {
            if (order == run.from) announce("measuring");
            send_event(order, due_us(order));
        }
        uint64_t due = order < run.to ? due_us(order) : now;
        now = now_us();
        take_events(due <= now ? 0 : due - now < NAP_US ? NAP_US : due - now);
    }
    announce("measured");
}

static uint64_t answers_due(void) {
    uint64_t due = 0;
    for (long i = 0; i < set.sessions; i++) due += sessions[i].due;
    return due;
}

static void end_sessions(void) {
    for (uint64_t deadline_us = now_us() + DRAIN_TIMEOUT_US; seen.answered < answers_due() && now_us() < deadline_us;)
        take_events(10000);
    uint64_t deadline_us = now_us() + END_TIMEOUT_US;
    for (long i = 0; i < set.sessions; i++) {
        if (sessions[i].state != OPEN) continue;
        sessions[i].state = FINISHING;
        if (!send_part(&sessions[i], &final_commit, 0))
            fail_connection(sessions[i].connection, "the connection does not take what is sent", NULL, 0);
        if (i % BURST_MAX == 0) take_events(0);
    }
    while (seen.open && now_us() < deadline_us) take_events(10000);
    for (long i = 0; i < set.sessions; i++) fail(&sessions[i], "not ended in time", NULL, 0);
}

static int ascending(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static double quantile_ms(const uint32_t *values, size_t length, double quantile) {
    return length ? values[(size_t)((double)(length - 1) * quantile)] / 1e3 : 0;
}

static void print_result(void) {
    qsort(run.latency_us, run.latencies, sizeof *run.latency_us, ascending);
    qsort(run.lateness_us, run.latenesses, sizeof *run.lateness_us, ascending);
    for (char *at = seen.first_error; *at; at++)
        if (*at == '"' || *at == '\\' || (unsigned char)*at < 32 || (unsigned char)*at > 126) *at = '\'';
    printf("{\"sessions\":%ld,\"ended\":%ld,\"sent\":%llu,\"due\":%llu,\"answered\":%llu,\"appends\":%zu,"
           "\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,\"late\":%llu,\"late_p99_ms\":%.3f,"
           "\"load_share\":%.3f,\"errors\":%ld,\"first_error\":\"%s\"}\n",
           set.sessions, seen.ended, (unsigned long long)seen.sent, (unsigned long long)answers_due(),
           (unsigned long long)seen.answered, run.latenesses, quantile_ms(run.latency_us, run.latencies, 0.5),
           quantile_ms(run.latency_us, run.latencies, 0.99), quantile_ms(run.latency_us, run.latencies, 1),
           (unsigned long long)seen.late, quantile_ms(run.lateness_us, run.latenesses, 0.99),
           run.wall_us ? (double)run.cpu_us / (double)run.wall_us : 0, seen.errors,
           seen.first_error);
}

static void build_text(struct part *part, const char *text) { part_build(part, text, strlen(text)); }

static void prepare(void) {
    size_t length;
    char **pool = audio_pool((size_t)set.event_us / 1000 * SAMPLE_RATE_HZ / 1000 * SAMPLE_BYTES, &length);
    char *text = malloc(length + 64);
    if (!text) die("malloc");
    for (int i = 0; i < POOL_CHUNKS; i++) {
        int used = sprintf(text, "{\"type\":\"input_audio_buffer.append\",\"audio\":\"%.*s\"}", (int)length, pool[i]);
        part_build(&appends[i], text, (size_t)used);
    }
    free(text);
    build_text(&update, "{\"type\":\"session.update\",\"model\":\"bench\"}");
    build_text(&commit, "{\"type\":\"input_audio_buffer.commit\"}");
    build_text(&final_commit, "{\"type\":\"input_audio_buffer.commit\",\"final\":true}");
    build_text(&nothing, "");
    snprintf(path, sizeof path, "/endpoints/%.63s/invocations-bidirectional-stream", set.endpoint);
    snprintf(authority, sizeof authority, "127.0.0.1:%ld", set.port);
    connection_count = set.sessions / set.streams;
    set.sessions = connection_count * set.streams;
    sessions = calloc((size_t)set.sessions, sizeof *sessions);
    connections = calloc((size_t)connection_count, sizeof *connections);
    run.latency_us = calloc(run.to - run.from, sizeof *run.latency_us);
    run.lateness_us = calloc(run.to - run.from, sizeof *run.lateness_us);
    if (!sessions || !connections || !run.latency_us || !run.lateness_us) die("calloc");
    for (long i = 0; i < set.sessions; i++) {
        struct connection *connection = &connections[i / set.streams];
        if (i % set.streams == 0) connection->sessions = &sessions[i], connection->open = set.streams;
        sessions[i].connection = connection;
        sessions[i].stream = (uint32_t)(2 * (i % set.streams) + 1);
    }
}

int main(int argc, char **argv) {
    set.port = option(argc, argv, "--port", 9000);
    set.endpoint = text_option(argc, argv, "--endpoint", "parley");
    set.sessions = option(argc, argv, "--sessions", 100);
    set.streams = option(argc, argv, "--streams", 1);
    set.event_us = option(argc, argv, "--append-ms", 100) * 1000;
    uint64_t per_second = (uint64_t)(set.sessions / set.streams * set.streams) * 1000000 / (uint64_t)set.event_us;
    run.from = per_second * (uint64_t)option(argc, argv, "--warm-s", 2);
    run.to = run.from + per_second * (uint64_t)option(argc, argv, "--measure-s", 5);
    raise_descriptor_limit((size_t)set.sessions + 32);
    sign_begin(text_option(argc, argv, "--key", "AKIDBENCH"), text_option(argc, argv, "--secret", "not-a-secret-but-long-enough"));
    prepare();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    open_sessions();
    if (!seen.errors) {
        send_events();
        end_sessions();
    }
    print_result();
    return 0;
}

/* A stand-in for `vllm serve`: its realtime protocol as far as a gateway needs it, and the two pages a gateway probes.

   The delta for the n-th unit of audio reads " n", so that whoever receives it can tell which append it answers, what
   was lost, and what was mixed up, however a gateway joins, splits or leaves out messages. */
#define _GNU_SOURCE
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { DONE_TEXT_BYTES_MAX = 48 * 1024 };

struct stream {
    struct peer peer;
    bool upgraded, started;
    uint64_t appends, bytes, units;
};

static struct {
    uint64_t accepted, appends, deltas, dones, altered, unmasked, refused;
    long connected;
} count;
static int epoll;
static uint64_t unit_samples;
static uint64_t text_every;
static uint64_t ahead_samples;
static uint8_t *pcm;
static size_t pcm_bytes;

static bool send_text(struct stream *stream, const char *text, size_t length) {
    uint8_t out[FRAME_BYTES_MAX + FRAME_HEAD_BYTES_MAX];
    return peer_write(&stream->peer, epoll, stream, out, frame_build(out, OP_TEXT, NULL, text, length));
}

/* One delta for each unit of audio received, in one write: the real server writes each on its own, but over time. */
static bool answer_audio(struct stream *stream) {
    static uint8_t out[FRAME_BYTES_MAX];
    size_t used = 0;
    uint64_t samples = stream->bytes / SAMPLE_BYTES;
    uint64_t whole = samples > ahead_samples ? (samples - ahead_samples) / unit_samples : 0;
    while (stream->started && whole > stream->units && used + 128 < sizeof out) {
        char text[96];
        uint64_t unit = ++stream->units;
        int length = unit % text_every
                         ? snprintf(text, sizeof text, "{\"type\":\"transcription.delta\",\"delta\":\"\"}")
                         : snprintf(text, sizeof text, "{\"type\":\"transcription.delta\",\"delta\":\" %llu\"}",
                                    (unsigned long long)unit);
        used += frame_build(out + used, OP_TEXT, NULL, text, (size_t)length);
        count.deltas++;
    }
    return !used || peer_write(&stream->peer, epoll, stream, out, used);
}

static bool finish_turn(struct stream *stream) {
    static char out[DONE_TEXT_BYTES_MAX + 512];
    size_t used = (size_t)sprintf(out, "{\"type\":\"transcription.done\",\"text\":\"");
    for (uint64_t unit = text_every; unit <= stream->units && used < DONE_TEXT_BYTES_MAX; unit += text_every)
        used += (size_t)sprintf(out + used, " %llu", (unsigned long long)unit);
    unsigned long long completion = stream->units;
    used += (size_t)sprintf(out + used,
                            "\",\"usage\":{\"prompt_tokens\":39,\"total_tokens\":%llu,\"completion_tokens\":%llu,"
                            "\"prompt_tokens_details\":null}}",
                            completion + 39, completion);
    stream->started = false;
    stream->appends = stream->bytes = stream->units = 0;
    count.dones++;
    return send_text(stream, out, used);
}

/* However the audio was joined or split on its way, it has to go on where it stopped. */
static bool take_audio(struct stream *stream, const char *text, size_t length) {
    static uint8_t data[FRAME_BYTES_MAX];
    size_t size = 0;
    if (length > sizeof data || !unbase64(text, length, data, &size)) count.altered++;
    for (size_t done = 0; done < size;) {
        size_t at = (stream->bytes + done) % pcm_bytes, part = pcm_bytes - at < size - done ? pcm_bytes - at : size - done;
        if (memcmp(data + done, pcm + at, part) != 0) {
            count.altered++;
            break;
        }
        done += part;
    }
    stream->appends++;
    stream->bytes += size;
    count.appends++;
    return answer_audio(stream);
}

static bool take_message(struct stream *stream, const char *text, size_t length) {
    const char *kind = memmem(text, length < 64 ? length : 64, "\"input_audio_buffer.", 20);
    if (!kind) return memmem(text, length, "\"session.update\"", 16) != NULL;
    kind += 20;
    const char *end = text + length;
    if ((size_t)(end - kind) > 8 && !memcmp(kind, "append\"", 7)) {
        const char *audio = memmem(kind, (size_t)(end - kind), "\"audio\"", 7);
        const char *from = audio ? memchr(audio + 7, '"', (size_t)(end - audio - 7)) : NULL;
        const char *to = from ? memchr(from + 1, '"', (size_t)(end - from - 1)) : NULL;
        return to && take_audio(stream, from + 1, (size_t)(to - from - 1));
    }
    if (memmem(kind, (size_t)(end - kind), "true", 4)) return !stream->started || finish_turn(stream);
    stream->started = true;
    return answer_audio(stream);
}

/* False when the connection is to be closed. */
static bool take_frame(struct stream *stream, const struct frame *frame) {
    uint8_t out[FRAME_HEAD_BYTES_MAX + 128];
    if (!frame->masked) { /* RFC 6455, 5.1: a client's frames are masked */
        count.unmasked++;
        return false;
    }
    switch (frame->opcode) {
    case OP_TEXT:
        if (take_message(stream, (const char *)frame->payload, frame->length)) return true;
        count.refused++;
        return false;
    case OP_PING:
        if (frame->length > 125) return false;
        return peer_write(&stream->peer, epoll, stream, out,
                          frame_build(out, OP_PONG, NULL, frame->payload, frame->length));
    case OP_PONG:
        return true;
    case OP_CLOSE:
        peer_write(&stream->peer, epoll, stream, out,
                   frame_build(out, OP_CLOSE, NULL, frame->payload, frame->length < 2 ? 0 : 2));
        return false;
    default: /* a binary frame ends a connection to vLLM */
        count.refused++;
        return false;
    }
}

static bool send_page(struct stream *stream, const char *status, const char *body) {
    char out[1024];
    int length = snprintf(out, sizeof out,
                          "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", status,
                          strlen(body), body);
    return peer_write(&stream->peer, epoll, stream, out, (size_t)length);
}

static bool upgrade(struct stream *stream, const char *key) {
    char accept[32], out[512];
    static uint64_t serial;
    accept_for(key, accept);
    int length = snprintf(out, sizeof out,
                          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Accept: %s\r\n\r\n",
                          accept);
    stream->upgraded = true;
    if (!peer_write(&stream->peer, epoll, stream, out, (size_t)length)) return false;
    length = snprintf(out, sizeof out, "{\"type\":\"session.created\",\"id\":\"sess-%032llx\",\"created\":%lld}",
                      (unsigned long long)++serial, (long long)time(NULL));
    return send_text(stream, out, (size_t)length);
}

static const char *header(const char *head, const char *name) {
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (!strncasecmp(line, name, strlen(name)) && line[strlen(name)] == ':') {
            line += strlen(name) + 1;
            return line + strspn(line, " \t");
        }
    }
    return NULL;
}

static bool take_request(struct stream *stream, const char *head) {
    char body[512];
    const char *key = header(head, "Sec-WebSocket-Key");
    if (!strncmp(head, "GET /v1/realtime", 16) && key && strcspn(key, "\r") == 24) return upgrade(stream, key);
    if (!strncmp(head, "GET /health ", 12)) return send_page(stream, "200 OK", "");
    if (!strncmp(head, "GET /v1/models ", 15))
        return send_page(stream, "200 OK", "{\"object\":\"list\",\"data\":[{\"id\":\"bench\",\"object\":\"model\"}]}");
    if (!strncmp(head, "GET /count ", 11)) {
        snprintf(body, sizeof body,
                 "{\"accepted\":%llu,\"connected\":%ld,\"appends\":%llu,\"deltas\":%llu,\"dones\":%llu,"
                 "\"altered\":%llu,\"unmasked\":%llu,\"refused\":%llu}",
                 (unsigned long long)count.accepted, count.connected, (unsigned long long)count.appends,
                 (unsigned long long)count.deltas, (unsigned long long)count.dones,
                 (unsigned long long)count.altered, (unsigned long long)count.unmasked,
                 (unsigned long long)count.refused);
        return send_page(stream, "200 OK", body);
    }
    return send_page(stream, "404 Not Found", "{}");
}

/* Bytes used up of what was read, or -1 when the connection is to be closed. */
static ssize_t take_head(struct stream *stream, uint8_t *data, size_t length) {
    char head[8192];
    const uint8_t *end = memmem(data, length, "\r\n\r\n", 4);
    size_t used = end ? (size_t)(end - data) + 4 : 0;
    if (!end) return length < sizeof head ? 0 : -1;
    if (used >= sizeof head) return -1;
    memcpy(head, data, used);
    head[used] = 0;
    return take_request(stream, head) ? (ssize_t)used : -1;
}

/* False when the connection is to be closed. */
static bool take_bytes(struct stream *stream) {
    uint8_t *data;
    ssize_t length = peer_read(&stream->peer, &data), used = 1;
    if (length <= 0) return length < 0;
    while (length > 0 && used > 0) {
        struct frame frame;
        bool framed = stream->upgraded;
        used = framed ? frame_parse(data, (size_t)length, &frame) : take_head(stream, data, (size_t)length);
        if (used < 0 || (framed && used > 0 && !take_frame(stream, &frame))) return false;
        data += used;
        length -= used;
    }
    peer_keep(&stream->peer, data, (size_t)length);
    return true;
}

static void accept_all(int listener) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        struct stream *stream = calloc(1, sizeof *stream);
        if (!stream) die("calloc");
        peer_open(&stream->peer, fd, epoll, stream, false);
        count.accepted++;
        count.connected++;
    }
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) die("accept");
}

static int listen_on(long port) {
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0) die("bind");
    if (listen(fd, 4096) < 0) die("listen");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
    return fd;
}

int run_upstream(int argc, char **argv) {
    size_t append_ms = (size_t)option(argc, argv, "--append-ms", 100);
    unit_samples = (uint64_t)option(argc, argv, "--unit-ms", 100) * SAMPLE_RATE_HZ / 1000;
    text_every = (uint64_t)option(argc, argv, "--text-every", 1);
    raise_descriptor_limit(4096);
    ahead_samples = (uint64_t)option(argc, argv, "--ahead-us", 0) * SAMPLE_RATE_HZ / 1000000;
    pcm_bytes = append_ms * SAMPLE_RATE_HZ / 1000 * SAMPLE_BYTES;
    pcm = audio_pcm(pcm_bytes);
    pcm_bytes *= POOL_CHUNKS;
    epoll = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_on(option(argc, argv, "--port", 9100));
    printf("listening\n");
    fflush(stdout);
    for (;;) {
        struct epoll_event events[256];
        int ready = epoll_wait(epoll, events, 256, -1);
        if (ready < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < ready; i++) {
            struct stream *stream = events[i].data.ptr;
            if (!stream) {
                accept_all(listener);
                continue;
            }
            bool open = !(events[i].events & EPOLLOUT) || peer_flush(&stream->peer, epoll, stream);
            if (open && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) open = take_bytes(stream);
            if (!open) {
                peer_close(&stream->peer);
                free(stream);
                count.connected--;
            }
        }
    }
}

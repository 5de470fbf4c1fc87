#define _GNU_SOURCE
#include "wire.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static uint8_t scratch[4 * FRAME_BYTES_MAX];

uint64_t now_us(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000 + (uint64_t)at.tv_nsec / 1000;
}

void die(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

void raise_descriptor_limit(size_t needed) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) die("getrlimit");
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0) die("setrlimit");
    if (limit.rlim_cur < needed) {
        fprintf(stderr, "load: %zu file descriptors are needed and the hard limit is %llu: raise it (ulimit -Hn)\n",
                needed, (unsigned long long)limit.rlim_cur);
        exit(1);
    }
}

const char *text_option(int argc, char **argv, const char *name, const char *otherwise) {
    for (int i = 0; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0) return argv[i + 1];
    return otherwise;
}

long option(int argc, char **argv, const char *name, long otherwise) {
    const char *text = text_option(argc, argv, name, NULL);
    if (!text) return otherwise;
    char *end;
    long value = strtol(text, &end, 10);
    if (*end == 0 && value > 0) return value;
    fprintf(stderr, "load: %s needs a positive whole number, not %s\n", name, text);
    exit(2);
}

void peer_open(struct peer *peer, int fd, int epoll, void *owner, bool connecting) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    memset(peer, 0, sizeof *peer);
    peer->fd = fd;
    peer->writing = connecting;
    struct epoll_event event = {.events = connecting ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = owner};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
}

void peer_close(struct peer *peer) {
    close(peer->fd);
    free(peer->in);
    free(peer->out);
    memset(peer, 0, sizeof *peer);
    peer->fd = -1;
}

ssize_t peer_read(struct peer *peer, uint8_t **data) {
    size_t kept = peer->in_length;
    if (kept) memcpy(scratch, peer->in, kept);
    ssize_t got = recv(peer->fd, scratch + kept, sizeof scratch - kept, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return -1;
    if (got <= 0) return 0;
    peer->in_length = 0;
    *data = scratch;
    return (ssize_t)kept + got;
}

void peer_keep(struct peer *peer, const uint8_t *rest, size_t length) {
    if (length) {
        peer->in = realloc(peer->in, length);
        if (!peer->in) die("realloc");
        memcpy(peer->in, rest, length);
    }
    peer->in_length = length;
}

static bool watch(struct peer *peer, int epoll, void *owner, bool writing) {
    if (peer->writing == writing) return true;
    peer->writing = writing;
    struct epoll_event event = {.events = writing ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = owner};
    return epoll_ctl(epoll, EPOLL_CTL_MOD, peer->fd, &event) == 0;
}

bool peer_write(struct peer *peer, int epoll, void *owner, const void *data, size_t length) {
    size_t done = 0;
    if (!peer->out_length) {
        ssize_t sent = send(peer->fd, data, length, MSG_NOSIGNAL);
        if (sent == (ssize_t)length) return true;
        if (sent < 0 && errno != EAGAIN && errno != EINTR) return false;
        done = sent > 0 ? (size_t)sent : 0;
    }
    size_t waiting = peer->out_length + length - done;
    if (waiting > OUT_BYTES_MAX) return false;
    peer->out = realloc(peer->out, waiting);
    if (!peer->out) die("realloc");
    memcpy(peer->out + peer->out_length, (const uint8_t *)data + done, length - done);
    peer->out_length = waiting;
    return watch(peer, epoll, owner, true);
}

bool peer_flush(struct peer *peer, int epoll, void *owner) {
    if (peer->out_length) {
        ssize_t sent = send(peer->fd, peer->out, peer->out_length, MSG_NOSIGNAL);
        if (sent < 0) return errno == EAGAIN || errno == EINTR;
        peer->out_length -= (size_t)sent;
        memmove(peer->out, peer->out + sent, peer->out_length);
    }
    return watch(peer, epoll, owner, peer->out_length > 0);
}

static void mask_bytes(uint8_t *data, size_t length, const uint8_t *mask) {
    uint64_t wide, word;
    memcpy(&wide, mask, 4);
    memcpy((uint8_t *)&wide + 4, mask, 4);
    size_t i = 0;
    for (; i + 8 <= length; i += 8) {
        memcpy(&word, data + i, 8);
        word ^= wide;
        memcpy(data + i, &word, 8);
    }
    for (; i < length; i++) data[i] ^= mask[i & 3];
}

ssize_t frame_parse(uint8_t *data, size_t length, struct frame *frame) {
    if (length < 2) return 0;
    /* Nobody here fragments or has negotiated an extension: FIN is set, the reserved bits are not. */
    if ((data[0] & 0xf0) != 0x80) return -1;
    frame->opcode = data[0] & 0x0f;
    frame->masked = data[1] & 0x80;
    size_t size = data[1] & 0x7f, head = 2;
    if (size == 127) return -1;
    if (size == 126) {
        if (length < 4) return 0;
        size = (size_t)data[2] << 8 | data[3];
        head = 4;
    }
    const uint8_t *mask = data + head;
    if (frame->masked) head += 4;
    if (length < head + size) return 0;
    frame->payload = data + head;
    frame->length = size;
    if (frame->masked) mask_bytes(frame->payload, size, mask);
    return (ssize_t)(head + size);
}

size_t frame_build(uint8_t *out, uint8_t opcode, const uint8_t *mask, const void *payload, size_t length) {
    size_t head = 2;
    out[0] = 0x80 | opcode;
    if (length < 126) {
        out[1] = (uint8_t)length;
    } else {
        out[1] = 126;
        out[2] = (uint8_t)(length >> 8);
        out[3] = (uint8_t)length;
        head = 4;
    }
    if (mask) {
        out[1] |= 0x80;
        memcpy(out + head, mask, 4);
        head += 4;
    }
    memcpy(out + head, payload, length);
    if (mask) mask_bytes(out + head, length, mask);
    return head + length;
}

static uint32_t rotate(uint32_t value, int bits) { return value << bits | value >> (32 - bits); }

static void sha1_block(uint32_t state[5], const uint8_t *block) {
    static const uint32_t constants[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
    uint32_t words[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int i = 0; i < 16; i++)
        words[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
                   (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 80; i++)
        words[i] = rotate(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        uint32_t mix = i < 20 ? ((b & c) | (~b & d)) : i >= 40 && i < 60 ? ((b & c) | (b & d) | (c & d)) : b ^ c ^ d;
        uint32_t next = rotate(a, 5) + mix + e + constants[i / 20] + words[i];
        e = d, d = c, c = rotate(b, 30), b = a, a = next;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
}

void accept_for(const char *key, char *accept) {
    /* Key and GUID are 60 bytes together, so the padded message is exactly two blocks (FIPS 180-4, 5.1.1). */
    uint8_t message[128] = {0}, digest[20];
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    memcpy(message, key, 24);
    memcpy(message + 24, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
    message[60] = 0x80;
    message[126] = 60 * 8 >> 8;
    message[127] = (60 * 8) & 0xff;
    sha1_block(state, message);
    sha1_block(state, message + 64);
    for (int i = 0; i < 20; i++) digest[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
    accept[base64(digest, sizeof digest, accept)] = 0;
}

size_t base64(const uint8_t *data, size_t length, char *text) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t used = 0;
    for (size_t i = 0; i < length; i += 3) {
        size_t left = length - i;
        uint32_t group = (uint32_t)data[i] << 16 | (left > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
                         (left > 2 ? data[i + 2] : 0);
        text[used++] = digits[group >> 18];
        text[used++] = digits[group >> 12 & 63];
        text[used++] = left > 1 ? digits[group >> 6 & 63] : '=';
        text[used++] = left > 2 ? digits[group & 63] : '=';
    }
    return used;
}

bool unbase64(const char *text, size_t length, uint8_t *data, size_t *size) {
    static int8_t values[256];
    if (!values['B']) {
        memset(values, -1, sizeof values);
        for (int i = 0; i < 64; i++)
            values[(uint8_t)"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[i]] = (int8_t)i;
    }
    *size = 0;
    if (length % 4) return false;
    while (length && text[length - 1] == '=') length--;
    uint32_t group = 0;
    int bits = 0;
    for (size_t i = 0; i < length; i++) {
        int8_t value = values[(uint8_t)text[i]];
        if (value < 0) return false;
        group = group << 6 | (uint32_t)value;
        bits += 6;
        if (bits >= 8) data[(*size)++] = (uint8_t)(group >> (bits -= 8));
    }
    return true;
}

uint32_t next_random(uint64_t *state) { /* splitmix64 */
    uint64_t value = *state += 0x9e3779b97f4a7c15;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
    value = (value ^ value >> 27) * 0x94d049bb133111eb;
    return (uint32_t)(value >> 32);
}

uint8_t *audio_pcm(size_t bytes) {
    uint64_t state = 1;
    uint8_t *pcm = malloc(POOL_CHUNKS * bytes);
    if (!pcm) die("malloc");
    for (size_t i = 0; i < POOL_CHUNKS * bytes; i++) pcm[i] = (uint8_t)next_random(&state);
    return pcm;
}

char **audio_pool(size_t bytes, size_t *text_length) {
    uint8_t *pcm = audio_pcm(bytes);
    char **pool = calloc(POOL_CHUNKS, sizeof *pool);
    if (!pool) die("malloc");
    for (size_t chunk = 0; chunk < POOL_CHUNKS; chunk++) {
        pool[chunk] = malloc(bytes / 3 * 4 + 8);
        if (!pool[chunk]) die("malloc");
        *text_length = base64(pcm + chunk * bytes, bytes, pool[chunk]);
    }
    free(pcm);
    return pool;
}

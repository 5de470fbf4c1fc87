/* What both roles of the load generator share: sockets with buffers, WebSocket frames, the audio they exchange. */
#ifndef WIRE_H
#define WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    SAMPLE_RATE_HZ = 16000,
    SAMPLE_BYTES = 2,
    POOL_CHUNKS = 64,
    FRAME_HEAD_BYTES_MAX = 14,
    FRAME_BYTES_MAX = 65536,
    OUT_BYTES_MAX = 1 << 20,
    OP_TEXT = 1,
    OP_CLOSE = 8,
    OP_PING = 9,
    OP_PONG = 10,
};

/* A non-blocking socket registered with epoll, with what could not be parsed or written yet. */
struct peer {
    int fd;
    bool writing; /* EPOLLOUT is asked for */
    uint8_t *in, *out;
    size_t in_length, out_length;
};

struct frame {
    uint8_t opcode;
    bool masked;
    uint8_t *payload;
    size_t length;
};

uint64_t now_us(void);
void die(const char *what);
void raise_descriptor_limit(size_t needed);
long option(int argc, char **argv, const char *name, long otherwise);
const char *text_option(int argc, char **argv, const char *name, const char *otherwise);

/* Registers `owner` with epoll for `fd`, without Nagle's delay. */
void peer_open(struct peer *peer, int fd, int epoll, void *owner, bool connecting);
void peer_close(struct peer *peer);
/* All bytes not yet parsed, in a buffer shared by all peers: 0 at the end of the stream, -1 when there are none. */
ssize_t peer_read(struct peer *peer, uint8_t **data);
/* Keeps the unparsed rest of what `peer_read` gave. */
void peer_keep(struct peer *peer, const uint8_t *rest, size_t length);
/* Both give false when the connection is broken, or when more than OUT_BYTES_MAX would wait to be written. */
bool peer_write(struct peer *peer, int epoll, void *owner, const void *data, size_t length);
bool peer_flush(struct peer *peer, int epoll, void *owner);

/* Bytes of the first frame in `data`, unmasked in place; 0 when it is incomplete, -1 when it is not acceptable. */
ssize_t frame_parse(uint8_t *data, size_t length, struct frame *frame);
/* Writes a frame and gives its length; `mask` is NULL on the server's side. */
size_t frame_build(uint8_t *out, uint8_t opcode, const uint8_t *mask, const void *payload, size_t length);

/* The base64 text of Sec-WebSocket-Accept for a key of 24 characters; `accept` takes 29 bytes. */
void accept_for(const char *key, char *accept);
size_t base64(const uint8_t *data, size_t length, char *text);
/* False for what is not base64; `data` takes three quarters of `length`. */
bool unbase64(const char *text, size_t length, uint8_t *data, size_t *size);
/* The same pseudo-random audio in every process: POOL_CHUNKS pieces of `bytes` bytes, one behind the other. */
uint8_t *audio_pcm(size_t bytes);
/* The pieces in base64, `*text_length` characters each. */
char **audio_pool(size_t bytes, size_t *text_length);
uint32_t next_random(uint64_t *state);

int run_upstream(int argc, char **argv);

#endif

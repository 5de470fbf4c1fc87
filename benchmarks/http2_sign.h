/* A client's half of application/vnd.amazon.eventstream and of Signature Version 4, as far as the load generator needs it. */
#ifndef HTTP2_SIGN_H
#define HTTP2_SIGN_H

#include <stddef.h>
#include <stdint.h>

enum {
    DIGEST_BYTES = 32,
    HEX_BYTES = 2 * DIGEST_BYTES,
    EVENT_BYTES_MAX = 16 * 1024,
    /* Prelude, the headers :date and :chunk-signature, and the checksum. */
    WRAPPER_BYTES = 12 + 15 + 52 + 4,
};

/* A part as an event, with the hash that its signature covers. */
struct part {
    uint8_t *bytes;
    size_t length;
    char hash[HEX_BYTES + 1];
};

/* The signature that the next event's covers, in hexadecimal digits. */
struct chain {
    char previous[HEX_BYTES + 1];
};

/* The key that signs for today; call it before all others. */
void sign_begin(const char *access_key_id, const char *secret_access_key);
/* A text that is one whole part; `text` of length 0 makes the empty event that ends a stream. */
void part_build(struct part *part, const char *text, size_t length);
/* Signs a request for this path and authority and begins its chain. `date` takes 17 bytes, `authorization` 512. */
void sign_request(struct chain *chain, const char *path, const char *authority, const char *id, char *date,
                  char *authorization);
/* Writes the signing event around a part and gives its length. */
size_t sign_part(struct chain *chain, const struct part *part, uint8_t *out);
/* The payload of the first event in `data` and the event's length; 0 when it is incomplete, -1 when it is broken. */
long event_parse(const uint8_t *data, size_t length, const uint8_t **payload, size_t *payload_length);

#endif

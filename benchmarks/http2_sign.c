#define _GNU_SOURCE
#include "http2_sign.h"
#include "wire.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#define REGION "us-east-1"
#define EVENTS_PAYLOAD "STREAMING-AWS4-HMAC-SHA256-EVENTS"
#define SIGNED "amz-sdk-invocation-id;content-type;host;x-amz-content-sha256;x-amz-date"

static char key_id[64], scope[64];
static uint8_t signing_key[DIGEST_BYTES];
static const EVP_MD *sha256;

static void put32(uint8_t *out, uint32_t value) {
    for (int i = 0; i < 4; i++) out[i] = (uint8_t)(value >> (24 - 8 * i));
}

static uint32_t get32(const uint8_t *data) {
    return (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
}

static void hex(const uint8_t *data, size_t length, char *text) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < length; i++) {
        text[2 * i] = digits[data[i] >> 4];
        text[2 * i + 1] = digits[data[i] & 15];
    }
    text[2 * length] = 0;
}

static void digest_hex(const void *data, size_t length, char *text) {
    uint8_t digest[DIGEST_BYTES];
    if (!EVP_Digest(data, length, digest, NULL, sha256, NULL)) die("sha256");
    hex(digest, sizeof digest, text);
}

static void mac(const void *key, size_t key_length, const char *text, uint8_t *out) {
    if (!HMAC(sha256, key, (int)key_length, (const uint8_t *)text, strlen(text), out, NULL)) die("hmac");
}

static void stamp(time_t at, char *text) {
    struct tm parts;
    gmtime_r(&at, &parts);
    strftime(text, 17, "%Y%m%dT%H%M%SZ", &parts);
}

void sign_begin(const char *access_key_id, const char *secret_access_key) {
    char date[17], text[128];
    sha256 = EVP_sha256();
    stamp(time(NULL), date);
    snprintf(key_id, sizeof key_id, "%s", access_key_id);
    snprintf(scope, sizeof scope, "%.8s/" REGION "/sagemaker/aws4_request", date);
    snprintf(text, sizeof text, "AWS4%s", secret_access_key);
    date[8] = 0;
    mac(text, strlen(text), date, signing_key);
    for (const char *const *step = (const char *const[]){REGION, "sagemaker", "aws4_request", NULL}; *step; step++) {
        uint8_t next[DIGEST_BYTES];
        mac(signing_key, sizeof signing_key, *step, next);
        memcpy(signing_key, next, sizeof next);
    }
}

static size_t put_string_header(uint8_t *out, const char *name, const char *value) {
    size_t named = strlen(name), length = strlen(value);
    out[0] = (uint8_t)named;
    memcpy(out + 1, name, named);
    out[named + 1] = 7;
    out[named + 2] = 0;
    out[named + 3] = (uint8_t)length;
    memcpy(out + named + 4, value, length);
    return named + 4 + length;
}

/* Prelude and checksum around headers and payload that are in their places already. */
static size_t frame_event(uint8_t *out, size_t headers, size_t payload) {
    size_t total = 16 + headers + payload;
    put32(out, (uint32_t)total);
    put32(out + 4, (uint32_t)headers);
    put32(out + 8, (uint32_t)crc32(0, out, 8));
    put32(out + total - 4, (uint32_t)crc32(0, out, (uInt)(total - 4)));
    return total;
}

void part_build(struct part *part, const char *text, size_t length) {
    uint8_t headers[160];
    size_t used = 0;
    used += put_string_header(headers + used, ":message-type", "event");
    used += put_string_header(headers + used, ":event-type", "PayloadPart");
    used += put_string_header(headers + used, "DataType", "UTF8");
    used += put_string_header(headers + used, "CompletionState", "COMPLETE");
    used += put_string_header(headers + used, ":content-type", "application/octet-stream");
    part->bytes = malloc(used + length + 16);
    if (!part->bytes || used + length + 16 + WRAPPER_BYTES > EVENT_BYTES_MAX) die("part");
    memcpy(part->bytes + 12, headers, used);
    memcpy(part->bytes + 12 + used, text, length);
    part->length = length ? frame_event(part->bytes, used, length) : 0;
    digest_hex(part->bytes, part->length, part->hash);
}

void sign_request(struct chain *chain, const char *path, const char *authority, const char *id, char *date,
                  char *authorization) {
    char canonical[1024], hash[HEX_BYTES + 1], text[256];
    uint8_t signature[DIGEST_BYTES];
    stamp(time(NULL), date);
    int length = snprintf(canonical, sizeof canonical,
                          "POST\n%s\n\namz-sdk-invocation-id:%s\ncontent-type:application/vnd.amazon.eventstream\n"
                          "host:%s\nx-amz-content-sha256:" EVENTS_PAYLOAD "\nx-amz-date:%s\n\n" SIGNED
                          "\n" EVENTS_PAYLOAD,
                          path, id, authority, date);
    digest_hex(canonical, (size_t)length, hash);
    snprintf(text, sizeof text, "AWS4-HMAC-SHA256\n%s\n%s\n%s", date, scope, hash);
    mac(signing_key, sizeof signing_key, text, signature);
    hex(signature, sizeof signature, chain->previous);
    snprintf(authorization, 512, "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=" SIGNED ", Signature=%s", key_id,
             scope, chain->previous);
}

size_t sign_part(struct chain *chain, const struct part *part, uint8_t *out) {
    /* The time has whole seconds, so what depends on it alone is made once a second. */
    static time_t at;
    static char date[17], date_hash[HEX_BYTES + 1];
    static uint8_t date_header[15] = {5, ':', 'd', 'a', 't', 'e', 8};
    char text[320];
    time_t now = time(NULL);
    if (now != at) {
        uint64_t ms = (uint64_t)now * 1000;
        at = now;
        stamp(now, date);
        put32(date_header + 7, (uint32_t)(ms >> 32));
        put32(date_header + 11, (uint32_t)ms);
        digest_hex(date_header, sizeof date_header, date_hash);
    }
    uint8_t *headers = out + 12;
    memcpy(headers, date_header, sizeof date_header);
    memcpy(headers + 15, "\x10:chunk-signature\x06\x00\x20", 20);
    snprintf(text, sizeof text, "AWS4-HMAC-SHA256-PAYLOAD\n%s\n%s\n%s\n%s\n%s", date, scope, chain->previous, date_hash,
             part->hash);
    mac(signing_key, sizeof signing_key, text, headers + 35);
    hex(headers + 35, DIGEST_BYTES, chain->previous);
    memcpy(headers + 67, part->bytes, part->length);
    return frame_event(out, 67, part->length);
}

long event_parse(const uint8_t *data, size_t length, const uint8_t **payload, size_t *payload_length) {
    if (length < 16) return 0;
    size_t total = get32(data), headers = get32(data + 4);
    if (total < 16 || headers > total - 16 || total > (1 << 20)) return -1;
    if (length < total) return 0;
    if (get32(data + 8) != crc32(0, data, 8) || get32(data + total - 4) != crc32(0, data, (uInt)(total - 4))) return -1;
    *payload = data + 12 + headers;
    *payload_length = total - 16 - headers;
    return (long)total;
}

#include "bench/lib/sigv4.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { HASH = 32, HEX = 2 * HASH + 1 };

static void hex(const unsigned char *hash, char *out)
{
    for (size_t i = 0; i < HASH; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", hash[i]);
    }
}

static void hash_hex(const void *bytes, size_t len, char *out)
{
    unsigned char hash[HASH];
    (void)EVP_Digest(bytes, len, hash, NULL, EVP_sha256(), NULL);
    hex(hash, out);
}

static void hmac(const void *key, size_t key_len, const char *text, unsigned char *out)
{
    unsigned char result[HASH];
    (void)HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)text, strlen(text), result, NULL);
    memcpy(out, result, HASH);
}

/* The path is encoded once more than on the wire. */
static void encode_path(const char *path, char *out, size_t room)
{
    size_t at = 0;
    for (; *path != '\0' && at + 4 < room; path++) {
        if (isalnum((unsigned char)*path) || strchr("-._~/", *path) != NULL) {
            out[at++] = *path;
        } else {
            at += (size_t)snprintf(out + at, 4, "%%%02X", (unsigned char)*path);
        }
    }
    out[at] = '\0';
}

size_t sigv4_fields(char *out, size_t room, const char *path, const char *host, const void *body,
                    size_t body_len, const char *access_key, const char *secret)
{
    char date[20], scope[64], encoded[400], body_hash[HEX], canonical[900], canonical_hash[HEX], to_sign[300],
        text[100];
    unsigned char key[HASH];
    time_t now = time(NULL);
    struct tm parts;
    (void)strftime(date, sizeof date, "%Y%m%dT%H%M%SZ", gmtime_r(&now, &parts));
    (void)snprintf(scope, sizeof scope, "%.8s/us-east-1/execute-api/aws4_request", date);
    encode_path(path, encoded, sizeof encoded);
    hash_hex(body, body_len, body_hash);
    int len =
        snprintf(canonical, sizeof canonical, "POST\n%s\n\nhost:%s\nx-amz-date:%s\n\nhost;x-amz-date\n%s",
                 encoded, host, date, body_hash);
    hash_hex(canonical, (size_t)len, canonical_hash);
    (void)snprintf(to_sign, sizeof to_sign, "AWS4-HMAC-SHA256\n%s\n%s\n%s", date, scope, canonical_hash);
    (void)snprintf(text, sizeof text, "AWS4%s", secret);
    (void)snprintf(canonical, sizeof canonical, "%.8s", date);
    hmac(text, strlen(text), canonical, key);
    hmac(key, HASH, "us-east-1", key);
    hmac(key, HASH, "execute-api", key);
    hmac(key, HASH, "aws4_request", key);
    hmac(key, HASH, to_sign, key);
    hex(key, body_hash);
    len = snprintf(
        out, room,
        "X-Amz-Date: %s\r\nAuthorization: AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=host;x-amz-date, "
        "Signature=%s\r\n",
        date, access_key, scope, body_hash);
    return (size_t)len;
}

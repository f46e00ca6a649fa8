#include "package/package.h"
#include "base/hex.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include <unistd.h>

#define PREFIX "sha256:"

static void digest_text(const uint8_t *md, char ret[PACKAGE_DIGEST_TEXT])
{
    memcpy(ret, PREFIX, sizeof(PREFIX));
    hex_encode(ret + sizeof(PREFIX) - 1, md, 32);
}

void package_digest(const void *data, size_t n, char ret[PACKAGE_DIGEST_TEXT])
{
    uint8_t md[EVP_MAX_MD_SIZE];

    if (!EVP_Digest(data, n, md, NULL, EVP_sha256(), NULL))
        abort();
    digest_text(md, ret);
}

static void cleanup_md(EVP_MD_CTX **c)
{
    EVP_MD_CTX_free(*c);
}

int package_digest_file(int fd, char ret[PACKAGE_DIGEST_TEXT])
{
    __attribute__((cleanup(cleanup_md))) EVP_MD_CTX *c = EVP_MD_CTX_new();
    uint8_t md[EVP_MAX_MD_SIZE], block[16384];
    off_t at = 0;

    if (!c || !EVP_DigestInit_ex(c, EVP_sha256(), NULL))
        return -ENOMEM;
    for (;;) {
        ssize_t n = pread(fd, block, sizeof(block), at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        if (!EVP_DigestUpdate(c, block, (size_t)n))
            return -ENOMEM;
        at += n;
    }
    if (!EVP_DigestFinal_ex(c, md, NULL))
        return -ENOMEM;
    digest_text(md, ret);
    return 0;
}

bool package_digest_valid(const char *text)
{
    return strncmp(text, PREFIX, sizeof(PREFIX) - 1) == 0 &&
           strlen(text) == PACKAGE_DIGEST_TEXT - 1 &&
           strspn(text + sizeof(PREFIX) - 1, "0123456789abcdef") == 64;
}

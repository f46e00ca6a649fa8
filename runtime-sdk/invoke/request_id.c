/* request_id.c - see the header. */
#include "invoke/request_id.h"
#include "base/hex.h"
#include "base/random.h"

#include <string.h>

void request_ids_init(struct request_ids *ids)
{
    *ids = (struct request_ids){.high = random_u64(), .next = random_u64()};
}

/* splitmix64's output function (Steele, Lea, Flood 2014): a bijection, so ids of one process differ. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

void request_id_make(struct request_ids *ids, char out[REQUEST_ID_SIZE])
{
    uint64_t low = mix(ids->next++);
    uint8_t raw[16];
    char h[33];

    memcpy(raw, &ids->high, 8);
    memcpy(raw + 8, &low, 8);
    hex_encode(h, raw, sizeof(raw));
    memcpy(out, h, 8);
    memcpy(out + 9, h + 8, 4);
    memcpy(out + 14, h + 12, 4);
    memcpy(out + 19, h + 16, 4);
    memcpy(out + 24, h + 20, 12);
    out[8] = out[13] = out[18] = out[23] = '-';
    out[36] = '\0';
}

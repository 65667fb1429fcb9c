/* What the C and C++ test programs share: a source that counts, and a check that says where it failed. */
#ifndef ABI_H
#define ABI_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tilekeep.h>

#define CHECK(condition)                                                                                              \
    do {                                                                                                              \
        if (!(condition)) {                                                                                           \
            fprintf(stderr, "%s:%d: %s (last error: %s)\n", __FILE__, __LINE__, #condition, tilekeep_last_error());   \
            exit(1);                                                                                                  \
        }                                                                                                             \
    } while (0)

/* A call that must fail with this status and leave a message. */
#define FAILS(status, call)                                                                                           \
    do {                                                                                                              \
        CHECK((call) == (status));                                                                                    \
        CHECK(tilekeep_last_error()[0] != '\0');                                                                      \
    } while (0)

#define INVALID TILEKEEP_ERR_INVALID_ARGUMENT

#ifndef WITHOUT_SOURCE

struct counting {
    int n_reads, n_destroyed, fail_with;
};

/* 300 x 200 pixels in blocks of 64 x 64: each sample is x + 3 * y + 50 * band + 7 * frame. */
static tilekeep_status counting_read(void *user_data, uint32_t level, uint32_t col, uint32_t row, uint32_t plane,
                                     uint32_t frame, void *buffer, size_t buffer_size)
{
    struct counting *counting = (struct counting *)user_data;
    uint32_t width = col == 4 ? 300 - 256 : 64, height = row == 3 ? 200 - 192 : 64, x, y, band;
    unsigned char *sample = (unsigned char *)buffer;
    counting->n_reads++;
    if (counting->fail_with != 0) {
        if (counting->fail_with == TILEKEEP_ERR_CORRUPT) {
            tilekeep_set_last_error("the counting source was told to fail");
        }
        return counting->fail_with;
    }
    if (level != 0 || plane != 0 || buffer_size != (size_t)width * height * 3) {
        return TILEKEEP_ERR_INTERNAL;
    }
    for (y = 0; y < height; y++) {
        for (x = 0; x < width; x++) {
            for (band = 0; band < 3; band++) {
                *sample++ = (unsigned char)(col * 64 + x + 3 * (row * 64 + y) + 50 * band + 7 * frame);
            }
        }
    }
    return TILEKEEP_OK;
}

static void counting_destroy(void *user_data)
{
    ((struct counting *)user_data)->n_destroyed++;
}

static tilekeep_source counting_source(struct counting *counting, const tilekeep_source_level *level)
{
    tilekeep_source source;
    memset(&source, 0, sizeof source);
    memset(counting, 0, sizeof *counting);
    source.struct_size = sizeof source;
    source.n_bands = 3;
    source.sample_type = TILEKEEP_SAMPLE_U8;
    source.user_data = counting;
    source.destroy = counting_destroy;
    source.read_block = counting_read;
    source.levels = level;
    source.n_levels = 1;
    source.name = "counting";
    return source;
}

#endif

#endif

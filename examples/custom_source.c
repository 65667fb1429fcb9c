/* A raster of one's own: a source that makes its pixels, opened like any file.
 *
 *     custom_source [TILE.png]
 */
#include <stdio.h>
#include <tilekeep.h>

/* 2^20 pixels square, a terabyte of pixels that is never stored: the xor of the coordinates, in blocks of 256 x 256. */
struct pattern {
    int n_reads;
};

static tilekeep_status read_block(void *user_data, uint32_t level, uint32_t col, uint32_t row, uint32_t plane,
                                  uint32_t frame, void *buffer, size_t buffer_size)
{
    unsigned char *pixels = buffer;
    size_t i;
    (void)user_data;
    (void)plane;
    (void)frame;
    if (level > 0) {
        tilekeep_set_last_error("the pattern has one level");
        return TILEKEEP_ERR_INVALID_ARGUMENT;
    }
    for (i = 0; i < buffer_size; i++) {
        uint32_t x = col * 256 + (uint32_t)(i % 256), y = row * 256 + (uint32_t)(i / 256);
        pixels[i] = (unsigned char)((x ^ y) >> 2);
    }
    return TILEKEEP_OK;
}

static void destroy(void *user_data)
{
    ((struct pattern *)user_data)->n_reads = -1;
}

int main(int argc, char **argv)
{
    const char *tile_file = argc > 1 ? argv[1] : "pattern.png";
    struct pattern pattern = {0};
    tilekeep_source_level level = {1 << 20, 1 << 20, 256, 256};
    tilekeep_source source = {.struct_size = sizeof source};
    tilekeep_tile_options options = {.struct_size = sizeof options};
    tilekeep_tile tile = {.struct_size = sizeof tile};
    tilekeep_dataset *dataset = NULL;
    FILE *out;

    source.n_bands = 1;
    source.sample_type = TILEKEEP_SAMPLE_U8;
    source.user_data = &pattern;
    source.destroy = destroy;
    source.read_block = read_block;
    source.levels = &level;
    source.n_levels = 1;
    source.name = "pattern";
    options.encoding = TILEKEEP_ENCODING_PNG;
    options.width = options.height = 1024;
    if (tilekeep_open_source(&source, NULL, &dataset) != TILEKEEP_OK
        || tilekeep_read_tile(dataset, 0, 511, 511, &options, &tile) != TILEKEEP_OK) {
        fprintf(stderr, "custom_source: %s\n", tilekeep_last_error());
        tilekeep_close(dataset);
        return 1;
    }
    out = fopen(tile_file, "wb");
    if (out == NULL || fwrite(tile.data, 1, tile.size, out) != tile.size || fclose(out) != 0) {
        perror(tile_file);
        return 1;
    }
    printf("%s: %ux%u pixels\n", tile_file, tile.width, tile.height);
    tilekeep_free_tile(&tile);
    tilekeep_close(dataset);
    return pattern.n_reads == -1 ? 0 : 1;
}

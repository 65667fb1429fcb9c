/* Opens a raster, prints what it is, and writes one of its tiles as PNG.
 *
 *     quickstart FILE [TILE.png]
 */
#include <stdio.h>
#include <stdlib.h>
#include <tilekeep.h>

static void must(tilekeep_status status, const char *what)
{
    if (status != TILEKEEP_OK) {
        fprintf(stderr, "quickstart: %s: %s\n", what, tilekeep_last_error());
        exit(1);
    }
}

int main(int argc, char **argv)
{
    const char *tile_file = argc > 2 ? argv[2] : "tile.png";
    tilekeep_dataset *dataset = NULL;
    tilekeep_dataset_info info = {.struct_size = sizeof info};
    tilekeep_level size = {.struct_size = sizeof size};
    tilekeep_tile_options options = {.struct_size = sizeof options};
    tilekeep_tile tile = {.struct_size = sizeof tile};
    uint32_t level, found = 0;
    double transform[6];
    FILE *out;

    if (argc < 2) {
        fprintf(stderr, "usage: quickstart FILE [TILE.png]\n");
        return 2;
    }
    must(tilekeep_open(argv[1], NULL, &dataset), "open");
    must(tilekeep_info(dataset, &info), "info");
    printf("%s (%s), %u band(s) of %u byte(s)\n", info.format, info.compression, info.n_bands, info.sample_bytes);
    for (level = 0; level < info.n_levels; level++) {
        must(tilekeep_level_info(dataset, level, &size), "level");
        printf("  level %u: %llux%llu in blocks of %ux%u, %s\n", level, (unsigned long long)size.width,
               (unsigned long long)size.height, size.block_width, size.block_height,
               size.is_stored ? "stored" : "made when asked for");
        if (size.width > 512) {
            found = level;
        }
    }
    if (tilekeep_geotransform(dataset, transform) == TILEKEEP_OK) {
        printf("  top left corner at %g, %g\n", transform[0], transform[3]);
    }

    /* The tile in the middle of a coarse level; samples that are not bytes are shown from 0 to 1000. */
    must(tilekeep_level_info(dataset, found, &size), "level");
    options.encoding = TILEKEEP_ENCODING_PNG;
    if (info.sample_type != TILEKEEP_SAMPLE_U8) {
        options.has_range = 1;
        options.range_max = 1000;
    }
    must(tilekeep_read_tile(dataset, found, (uint32_t)(size.width / 512), (uint32_t)(size.height / 512), &options, &tile),
         "tile");
    out = fopen(tile_file, "wb");
    if (out == NULL || fwrite(tile.data, 1, tile.size, out) != tile.size || fclose(out) != 0) {
        perror(tile_file);
        return 1;
    }
    printf("%s: %ux%u pixels\n", tile_file, tile.width, tile.height);

    tilekeep_free_tile(&tile);
    tilekeep_close(dataset);
    return 0;
}

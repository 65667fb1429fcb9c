/* libtiff FILE PASSES: decodes all tiles of FILE with TIFFReadEncodedTile into one buffer, so many times, and prints the
 * seconds of each pass and the bytes of pixels. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <tiffio.h>

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int main(int argc, char **argv)
{
    TIFF *tiff = argc == 3 ? TIFFOpen(argv[1], "r") : NULL;
    uint16_t photometric = 0;
    int pass;
    if (tiff == NULL) {
        return 2;
    }
    TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &photometric);
    if (photometric == PHOTOMETRIC_YCBCR) {
        TIFFSetField(tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
    }
    const tmsize_t size = TIFFTileSize(tiff);
    const ttile_t n_tiles = TIFFNumberOfTiles(tiff);
    void *pixels = malloc((size_t)size);
    for (pass = 0; pass < atoi(argv[2]); pass++) {
        const double start = seconds();
        ttile_t tile;
        for (tile = 0; tile < n_tiles; tile++) {
            if (TIFFReadEncodedTile(tiff, tile, pixels, size) != size) {
                return 1;
            }
        }
        printf("%.6f ", seconds() - start);
    }
    printf("%llu\n", (unsigned long long)size * n_tiles);
    free(pixels);
    TIFFClose(tiff);
    return 0;
}

/* Reads the first band of a file of 16-bit samples with GDAL, window by window, again and again:
 * FILE CACHE_MB PASSES "rio" WINDOW_WIDTH WINDOW_HEIGHT. Prints a JSON object with the CPU seconds of each pass as cpu0,
 * cpu1, ..., and as sum the first and the last sample of all windows added up. */
#include <gdal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    if (argc < 7 || strcmp(argv[4], "rio") != 0) return 2;
    int n_passes = atoi(argv[3]), across = atoi(argv[5]), down = atoi(argv[6]);
    if (across <= 0 || down <= 0) return 2;
    GDALAllRegister();
    GDALSetCacheMax64((GIntBig)atoll(argv[2]) << 20);
    GDALDatasetH dataset = GDALOpen(argv[1], GA_ReadOnly);
    uint16_t *pixels = malloc((size_t)across * down * sizeof *pixels);
    if (!dataset || !pixels) return 1;
    GDALRasterBandH band = GDALGetRasterBand(dataset, 1);
    int width = GDALGetRasterBandXSize(band), height = GDALGetRasterBandYSize(band);
    uint64_t sum = 0;
    printf("{");
    for (int pass = 0; pass < n_passes; pass++) {
        double start = cpu_seconds();
        for (int y = 0; y < height; y += down) {
            for (int x = 0; x < width; x += across) {
                int w = width - x < across ? width - x : across, h = height - y < down ? height - y : down;
                if (GDALRasterIO(band, GF_Read, x, y, w, h, pixels, w, h, GDT_UInt16, 0, 0) != CE_None) return 1;
                sum += pixels[0] + pixels[(size_t)w * h - 1];
            }
        }
        printf("\"cpu%d\": %.6f, ", pass, cpu_seconds() - start);
    }
    printf("\"sum\": %llu}\n", (unsigned long long)sum);
    GDALClose(dataset);
    free(pixels);
    return 0;
}

/* Reads windows of 256 x 256 pixels with GDAL: FILE "x,y;x,y;…" CACHE_MB. Prints milliseconds of CPU time a window,
 * those of the first apart, and the most memory that was held beyond what there was before the file was opened. */
#include <gdal.h>
#include <cpl_conv.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static long status_kib(const char *name) {
    char line[256];
    long kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0) kib = atol(line + strlen(name) + 1);
    if (file) fclose(file);
    return kib;
}

int main(int argc, char **argv) {
    enum { SIDE = 256 };
    static uint8_t pixels[SIDE * SIDE * 3];
    if (argc < 4) return 2;
    CPLSetConfigOption("GDAL_CACHEMAX", argv[3]);
    memset(pixels, 1, sizeof pixels);
    GDALAllRegister();
    long before = status_kib("VmRSS:");
    GDALDatasetH dataset = GDALOpen(argv[1], GA_ReadOnly);
    if (!dataset) return 1;
    double total = 0, first = 0;
    uint64_t sum = 0;
    int n = 0;
    for (char *place = strtok(argv[2], ";"); place; place = strtok(NULL, ";"), n++) {
        int x, y;
        if (sscanf(place, "%d,%d", &x, &y) != 2) return 2;
        double start = now_ms();
        CPLErr error = GDALDatasetRasterIO(dataset, GF_Read, x, y, SIDE, SIDE, pixels, SIDE, SIDE, GDT_Byte, 3, NULL, 3,
                                           3 * SIDE, 1);
        double took = now_ms() - start;
        if (error != CE_None) return 1;
        if (n == 0)
            first = took;
        else
            total += took;
        for (size_t i = 0; i < sizeof pixels; i++) sum = sum * 31 + pixels[i];
    }
    printf("%f %f %ld cache of %s MB, pixels %016llx\n", total / (n > 1 ? n - 1 : 1), first, (status_kib("VmHWM:") - before) * 1024, argv[3],
           (unsigned long long)sum);
    GDALClose(dataset);
    return 0;
}

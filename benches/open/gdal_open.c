/* gdal FILE TIMES CRS: opens FILE so many times with GDAL, asks for what it is and where it lies, with CRS = 1 for its
 * coordinate system too, and prints nanoseconds of CPU time of the median. */
#include <gdal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return 1e9 * (double)now.tv_sec + (double)now.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    const int times = argc == 4 ? atoi(argv[2]) : 0;
    double *took = times > 0 ? malloc(sizeof *took * (size_t)times) : NULL;
    double transform[6];
    int i, pixels = 0;
    if (took == NULL) {
        return 2;
    }
    GDALAllRegister();
    for (i = 0; i < times; i++) {
        const double start = now_ns();
        GDALDatasetH dataset = GDALOpen(argv[1], GA_ReadOnly);
        if (dataset == NULL || GDALGetGeoTransform(dataset, transform) != CE_None) {
            return 1;
        }
        GDALRasterBandH band = GDALGetRasterBand(dataset, 1);
        pixels += GDALGetRasterXSize(dataset) + GDALGetRasterYSize(dataset) + GDALGetOverviewCount(band);
        if (argv[3][0] == '1') {
            const char *projection = GDALGetProjectionRef(dataset);
            if (projection == NULL || projection[0] == 0) {
                return 1;
            }
        }
        GDALClose(dataset);
        took[i] = now_ns() - start;
    }
    qsort(took, (size_t)times, sizeof *took, compare);
    printf("%.0f\n", took[times / 2]);
    return pixels == 0;
}

/* vips FILE THREADS: computes all pixels of FILE with libvips and looks at none of them. */
#include <stdlib.h>
#include <time.h>

#include <vips/vips.h>

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + 1e-9 * now.tv_nsec;
}

static int look_at_nothing(VipsRegion *region, void *sequence, void *a, void *b, gboolean *stop)
{
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 3 || VIPS_INIT(argv[0])) {
        return 2;
    }
    vips_concurrency_set(atoi(argv[2]));
    vips_cache_set_max(0);
    const double start = seconds();
    VipsImage *image = vips_image_new_from_file(argv[1], "access", VIPS_ACCESS_SEQUENTIAL, NULL);
    if (image == NULL || vips_sink(image, NULL, look_at_nothing, NULL, NULL, NULL)) {
        fputs(vips_error_buffer(), stderr);
        return 1;
    }
    printf("%.6f %llu\n", seconds() - start, (unsigned long long)VIPS_IMAGE_SIZEOF_IMAGE(image));
    return 0;
}

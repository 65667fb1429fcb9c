/* Files, and what they say beside pixels.
 *
 *     files PNG-FILE TIFF-FILE DESCRIBED-FILE
 *
 *                                 (40 x 30 pixels, three bands; 70 x 50 samples of 16 bits, uncompressed in tiles of
 *                                 32 x 32: x + 100 * y; 64 x 40 bytes of which the left half is valid, with a label, a
 *                                 profile, control points, and a file beside it; its page 3 has 20 x 12 samples of 500)
 */
#define WITHOUT_SOURCE
#include "abi.h"

static void files_are_opened(const char *path)
{
    tilekeep_open_options options = {.struct_size = sizeof options, .cache_max_bytes = 1 << 20};
    tilekeep_dataset *dataset = NULL;
    tilekeep_dataset_info info = {.struct_size = sizeof info};
    const char *key = NULL, *value = NULL;
    uint64_t max;
    int32_t color = -1;

    CHECK(tilekeep_open(path, &options, &dataset) == TILEKEEP_OK);
    CHECK(tilekeep_info(dataset, &info) == TILEKEEP_OK);
    CHECK(info.width == 40 && info.height == 30 && info.n_bands == 3 && strcmp(info.format, "png") == 0);
    CHECK(info.n_bits == 8 && info.sample_bytes == 1 && !info.has_geotransform && info.epsg == 0);
    CHECK(tilekeep_get_cache_max(dataset, &max) == TILEKEEP_OK && max == 1 << 20);
    CHECK(tilekeep_band_color(dataset, 1, &color) == TILEKEEP_OK && color == TILEKEEP_COLOR_GREEN);
    CHECK(info.n_metadata == 1 && tilekeep_metadata(dataset, 0, NULL, &key, &value) == TILEKEEP_OK);
    CHECK(strcmp(key, "Title") == 0 && strcmp(value, "a test") == 0);
    tilekeep_close(dataset);
}

static void mapped_files_lend_their_blocks(const char *path)
{
    /* What a program compiled against the first version says its options measure. */
    const uint32_t first_size = offsetof(tilekeep_open_options, access);
    tilekeep_open_options options = {.struct_size = sizeof options, .access = TILEKEEP_ACCESS_MAP};
    tilekeep_dataset *dataset = NULL;
    tilekeep_block block = {.struct_size = sizeof block}, again = {.struct_size = sizeof again};
    tilekeep_cache_stats stats = {.struct_size = sizeof stats};
    const uint16_t *samples;
    uint16_t copy[32 * 32];

    CHECK(tilekeep_open(path, &options, &dataset) == TILEKEEP_OK);
    CHECK(tilekeep_set_cache_max(dataset, 0) == TILEKEEP_OK);
    CHECK(tilekeep_lock_block(dataset, 0, 2, 1, NULL, &block) == TILEKEEP_OK);
    CHECK(tilekeep_lock_block(dataset, 0, 2, 1, NULL, &again) == TILEKEEP_OK);
    CHECK(block.data == again.data && block.token != again.token);
    CHECK(block.width == 6 && block.height == 18 && block.row_stride == 64 && block.size == 2048);
    CHECK(tilekeep_read_block(dataset, 0, 2, 1, NULL, copy, sizeof copy, NULL) == TILEKEEP_OK);
    CHECK(copy[6 + 1] == 65 + 100 * 33);
    CHECK(tilekeep_stats(dataset, &stats) == TILEKEEP_OK);
    CHECK(stats.mapped == 3 && stats.loads == 0 && stats.misses == 0 && stats.bytes == 0 && stats.pixel_bytes == 0);
    stats.mapped = 99;
    stats.struct_size = offsetof(tilekeep_cache_stats, mapped);
    CHECK(tilekeep_stats(dataset, &stats) == TILEKEEP_OK && stats.mapped == 99);

    /* The mapping stays for as long as a block is locked. */
    tilekeep_close(dataset);
    CHECK(tilekeep_unlock_block(&again) == TILEKEEP_OK);
    samples = (const uint16_t *)block.data;
    CHECK(samples[0] == 64 + 100 * 32 && samples[17 * 32 + 5] == 69 + 100 * 49);
    CHECK(tilekeep_unlock_block(&block) == TILEKEEP_OK);
    FAILS(INVALID, tilekeep_unlock_block(&block));

    options.access = TILEKEEP_ACCESS_READ;
    options.os_cache = TILEKEEP_OS_CACHE_DROP;
    CHECK(tilekeep_open(path, &options, &dataset) == TILEKEEP_OK);
    CHECK(tilekeep_read_block(dataset, 0, 0, 0, NULL, copy, sizeof copy, NULL) == TILEKEEP_OK && copy[33] == 101);
    stats.struct_size = sizeof stats;
    CHECK(tilekeep_stats(dataset, &stats) == TILEKEEP_OK && stats.mapped == 0 && stats.loads == 1);
    tilekeep_close(dataset);

    /* An older program's memory behind its struct says nothing. */
    options.struct_size = first_size;
    options.access = options.os_cache = 77;
    CHECK(tilekeep_open(path, &options, &dataset) == TILEKEEP_OK);
    tilekeep_close(dataset);
    dataset = NULL;
    options.struct_size = sizeof options;
    FAILS(INVALID, tilekeep_open(path, &options, &dataset));
    CHECK(strstr(tilekeep_last_error(), "os_cache 77") != NULL);
    options.os_cache = TILEKEEP_OS_CACHE_KEEP;
    FAILS(INVALID, tilekeep_open(path, &options, &dataset));
    CHECK(strstr(tilekeep_last_error(), "access 77") != NULL && dataset == NULL);
}

static void files_are_shared(const char *path)
{
    tilekeep_open_options options = {.struct_size = sizeof options, .own = 1};
    tilekeep_dataset *first = NULL, *second = NULL, *own = NULL, *later = NULL;
    tilekeep_cache_stats stats = {.struct_size = sizeof stats};
    tilekeep_catalog_stats known = {.struct_size = sizeof known};
    uint16_t copy[32 * 32];
    uint64_t n_hits;

    CHECK(tilekeep_set_catalog_max(1 << 20) == TILEKEEP_OK && tilekeep_set_max_open_files(8) == TILEKEEP_OK);
    CHECK(tilekeep_forget(path) == TILEKEEP_OK);
    CHECK(tilekeep_get_catalog_stats(&known) == TILEKEEP_OK && known.max_bytes == 1 << 20);
    n_hits = known.hits;
    CHECK(tilekeep_open(path, NULL, &first) == TILEKEEP_OK && tilekeep_open(path, NULL, &second) == TILEKEEP_OK);
    CHECK(tilekeep_open(path, &options, &own) == TILEKEEP_OK && first != second);
    CHECK(tilekeep_read_block(first, 0, 0, 0, NULL, copy, sizeof copy, NULL) == TILEKEEP_OK);
    CHECK(tilekeep_stats(second, &stats) == TILEKEEP_OK && stats.loads == 1);
    CHECK(tilekeep_stats(own, &stats) == TILEKEEP_OK && stats.loads == 0);
    CHECK(tilekeep_get_catalog_stats(&known) == TILEKEEP_OK && known.hits == n_hits + 1);
    CHECK(known.n_entries == known.n_closed + 1 && known.n_open_files >= 1 && known.n_open_files <= 8);
    CHECK(tilekeep_revalidate(first) == TILEKEEP_OK && tilekeep_revalidate(own) == TILEKEEP_OK);

    CHECK(tilekeep_set_cache_max(first, 1 << 20) == TILEKEEP_OK);
    CHECK(tilekeep_open(path, NULL, &later) == TILEKEEP_OK);
    CHECK(tilekeep_stats(later, &stats) == TILEKEEP_OK && stats.loads == 0 && stats.max_bytes > 1 << 20);
    tilekeep_close(first);
    CHECK(tilekeep_read_block(second, 0, 0, 0, NULL, copy, sizeof copy, NULL) == TILEKEEP_OK);
    tilekeep_close(second);
    tilekeep_close(own);
    tilekeep_close(later);
    CHECK(tilekeep_get_catalog_stats(&known) == TILEKEEP_OK && known.n_closed == known.n_entries && known.bytes > 0);
    FAILS(INVALID, tilekeep_revalidate(NULL));
    FAILS(INVALID, tilekeep_forget(NULL));
    FAILS(INVALID, tilekeep_get_catalog_stats(NULL));
    options.own = 2;
    FAILS(INVALID, tilekeep_open(path, &options, &first));
}

static void files_say_more_than_pixels(const char *path)
{
    tilekeep_open_options options = {.struct_size = sizeof options, .sidecars = TILEKEEP_SIDECARS_IGNORE};
    tilekeep_dataset *dataset = NULL, *label = NULL;
    tilekeep_dataset_info info = {.struct_size = sizeof info};
    tilekeep_band band = {.struct_size = sizeof band};
    tilekeep_gcp point = {.struct_size = sizeof point};
    tilekeep_window window = {.struct_size = sizeof window, .x = 30, .y = 5, .width = 4, .height = 2};
    const char *name = NULL;
    unsigned char bytes[16];
    uint64_t width = 0, height = 0;
    size_t size = 0;

    CHECK(tilekeep_open(path, NULL, &dataset) == TILEKEEP_OK);
    CHECK(tilekeep_info(dataset, &info) == TILEKEEP_OK);
    CHECK(info.n_gcps == 2 && info.n_associated == 1 && info.n_blobs == 1 && info.n_mask_bands == 1);
    CHECK(strcmp(info.srs_wkt, "LOCAL_CS[\"here\"]") == 0 && info.pixel_width_um == 0.0 && !info.has_geotransform);

    CHECK(tilekeep_band_info(dataset, 0, &band) == TILEKEEP_OK);
    CHECK(band.mask == TILEKEEP_MASK_STORED && band.color == TILEKEEP_COLOR_GRAY && band.n_categories == 2);
    CHECK(band.has_nodata && band.nodata == 200.0 && band.scale == 0.5 && band.offset == 0.0);
    CHECK(band.has_statistics && band.min == 1.0 && band.max == 2.0 && band.mean == 1.5 && band.std_dev == 0.5);
    CHECK(strcmp(band.description, "heights") == 0 && strcmp(band.unit, "m") == 0);
    CHECK(tilekeep_category(dataset, 0, 1, &name) == TILEKEEP_OK && strcmp(name, "land") == 0);
    FAILS(TILEKEEP_ERR_NOT_FOUND, tilekeep_category(dataset, 0, 2, &name));
    FAILS(INVALID, tilekeep_category(dataset, 1, 0, &name));
    FAILS(INVALID, tilekeep_band_info(dataset, 1, &band));
    FAILS(INVALID, tilekeep_band_info(dataset, 0, NULL));
    FAILS(INVALID, tilekeep_band_info(NULL, 0, &band));

    CHECK(tilekeep_read_mask_window(dataset, 0, &window, bytes, 8) == TILEKEEP_OK);
    CHECK(memcmp(bytes, "\xff\xff\0\0\xff\xff\0\0", 8) == 0);
    FAILS(INVALID, tilekeep_read_mask_window(dataset, 0, &window, bytes, 7));
    FAILS(INVALID, tilekeep_read_mask_window(dataset, 0, &window, NULL, 8));
    FAILS(INVALID, tilekeep_read_mask_window(dataset, 0, NULL, bytes, 8));
    FAILS(INVALID, tilekeep_read_mask_window(dataset, 1, &window, bytes, 8));
    window.sample_type = TILEKEEP_SAMPLE_U8;
    FAILS(INVALID, tilekeep_read_mask_window(dataset, 0, &window, bytes, 8));

    CHECK(tilekeep_gcp_info(dataset, 1, &point) == TILEKEEP_OK);
    CHECK(point.col == 64.0 && point.row == 40.0 && point.x == 8.0 && point.y == 9.0 && point.z == 1.0);
    CHECK(strcmp(point.id, "2") == 0 && point.info[0] == '\0');
    FAILS(TILEKEEP_ERR_NOT_FOUND, tilekeep_gcp_info(dataset, 2, &point));
    point.struct_size = 0;
    FAILS(INVALID, tilekeep_gcp_info(dataset, 1, &point));

    CHECK(tilekeep_blob_name(dataset, 0, &name) == TILEKEEP_OK && strcmp(name, "icc") == 0);
    CHECK(tilekeep_read_blob(dataset, name, NULL, 0, &size) == TILEKEEP_OK && size == 7);
    CHECK(tilekeep_read_blob(dataset, name, bytes, sizeof bytes, &size) == TILEKEEP_OK && size == 7);
    CHECK(memcmp(bytes, "profile", 7) == 0);
    FAILS(INVALID, tilekeep_read_blob(dataset, name, bytes, 6, &size));
    FAILS(INVALID, tilekeep_read_blob(dataset, name, bytes, 7, NULL));
    FAILS(INVALID, tilekeep_read_blob(dataset, NULL, bytes, 7, &size));
    FAILS(TILEKEEP_ERR_NOT_FOUND, tilekeep_read_blob(dataset, "exif", bytes, 7, &size));
    FAILS(TILEKEEP_ERR_NOT_FOUND, tilekeep_blob_name(dataset, 1, &name));

    CHECK(tilekeep_associated_info(dataset, 0, &name, &width, &height) == TILEKEEP_OK);
    CHECK(strcmp(name, "thumbnail") == 0 && width == 10 && height == 30);
    CHECK(tilekeep_associated_info(dataset, 0, NULL, NULL, NULL) == TILEKEEP_OK);
    FAILS(TILEKEEP_ERR_NOT_FOUND, tilekeep_associated_info(dataset, 1, NULL, NULL, NULL));
    FAILS(TILEKEEP_ERR_NOT_FOUND, tilekeep_open_associated(dataset, "macro", &label));
    FAILS(INVALID, tilekeep_open_associated(dataset, NULL, &label));
    FAILS(INVALID, tilekeep_open_associated(dataset, name, NULL));
    CHECK(tilekeep_open_associated(dataset, name, &label) == TILEKEEP_OK);
    tilekeep_close(dataset);
    memset(&window, 0, sizeof window);
    window.struct_size = sizeof window;
    window.y = 29;
    window.width = 10;
    window.height = 1;
    CHECK(tilekeep_read_window(label, &window, bytes, sizeof bytes) == TILEKEEP_OK && bytes[9] == 9);
    tilekeep_close(label);

    CHECK(tilekeep_open(path, &options, &dataset) == TILEKEEP_OK);
    CHECK(tilekeep_info(dataset, &info) == TILEKEEP_OK && info.srs_wkt == NULL && !info.has_nodata);
    tilekeep_close(dataset);
    dataset = NULL;
    options.sidecars = 2;
    FAILS(INVALID, tilekeep_open(path, &options, &dataset));
    CHECK(dataset == NULL);
}

static void pages_are_opened_by_their_numbers(const char *png, const char *path)
{
    tilekeep_open_options options = {.struct_size = sizeof options, .page = 3};
    tilekeep_dataset *dataset = NULL;
    tilekeep_dataset_info info = {.struct_size = sizeof info};
    tilekeep_page page = {.struct_size = sizeof page};
    tilekeep_window window = {.struct_size = sizeof window, .x = 19, .y = 11, .width = 1, .height = 1};
    uint16_t sample = 0;

    CHECK(tilekeep_open(path, NULL, &dataset) == TILEKEEP_OK);
    CHECK(tilekeep_info(dataset, &info) == TILEKEEP_OK && info.n_pages == 2 && info.page == 0);
    CHECK(tilekeep_page_info(dataset, 0, &page) == TILEKEEP_OK && page.number == 0 && page.frame == 0);
    CHECK(page.width == 64 && page.height == 40 && page.description[0] == '\0');
    CHECK(tilekeep_page_info(dataset, 1, &page) == TILEKEEP_OK && page.number == 3 && page.frame == -1);
    CHECK(page.width == 20 && page.height == 12 && page.n_bands == 1 && page.sample_type == TILEKEEP_SAMPLE_U16);
    CHECK(strcmp(page.description, "appendix") == 0);
    FAILS(TILEKEEP_ERR_NOT_FOUND, tilekeep_page_info(dataset, 2, &page));
    FAILS(INVALID, tilekeep_page_info(dataset, 0, NULL));
    FAILS(INVALID, tilekeep_page_info(NULL, 0, &page));
    page.struct_size = 3;
    FAILS(INVALID, tilekeep_page_info(dataset, 0, &page));
    tilekeep_close(dataset);

    CHECK(tilekeep_open(path, &options, &dataset) == TILEKEEP_OK);
    CHECK(tilekeep_info(dataset, &info) == TILEKEEP_OK && info.page == 3 && info.n_pages == 2);
    CHECK(info.width == 20 && info.height == 12 && info.n_mask_bands == 0 && info.srs_wkt == NULL);
    CHECK(tilekeep_read_window(dataset, &window, &sample, sizeof sample) == TILEKEEP_OK && sample == 500);
    tilekeep_close(dataset);

    dataset = NULL;
    options.page = 4;
    FAILS(INVALID, tilekeep_open(path, &options, &dataset));
    CHECK(strstr(tilekeep_last_error(), "page 4") != NULL && dataset == NULL);
    options.page = 1;
    FAILS(INVALID, tilekeep_open(png, &options, &dataset));
    CHECK(strstr(tilekeep_last_error(), "one page") != NULL && dataset == NULL);
    CHECK(tilekeep_open(png, NULL, &dataset) == TILEKEEP_OK);
    CHECK(tilekeep_info(dataset, &info) == TILEKEEP_OK && info.n_pages == 0);
    tilekeep_close(dataset);
}

int main(int argc, char **argv)
{
    CHECK(argc == 4);
    files_are_opened(argv[1]);
    mapped_files_lend_their_blocks(argv[2]);
    files_are_shared(argv[2]);
    files_say_more_than_pixels(argv[3]);
    pages_are_opened_by_their_numbers(argv[1], argv[3]);
    puts("ok");
    return 0;
}

/* The C ABI as a C99 program sees it: blocks, windows and tiles of a source, and that every wrong call is an error with a
 * message. */
#include "abi.h"

static const tilekeep_source_level LEVEL = {300, 200, 64, 64};

static void blocks_are_copied_and_lent(void)
{
    struct counting counting;
    tilekeep_source source = counting_source(&counting, &LEVEL);
    tilekeep_dataset *dataset = NULL;
    tilekeep_block block = {.struct_size = sizeof block}, again = {.struct_size = sizeof again}, second;
    tilekeep_cache_stats stats = {.struct_size = sizeof stats};
    unsigned char pixels[64 * 64 * 3];
    uint64_t max = 0;

    CHECK(tilekeep_open_source(&source, NULL, &dataset) == TILEKEEP_OK);
    CHECK(tilekeep_lock_block(dataset, 0, 4, 3, NULL, &block) == TILEKEEP_OK);
    CHECK(block.width == 44 && block.height == 8 && block.n_bands == 3 && block.sample_type == TILEKEEP_SAMPLE_U8);
    CHECK(block.pixel_stride == 3 && block.row_stride == 44 * 3 && block.band_stride == 1 && block.size == 44 * 8 * 3);
    CHECK(((const unsigned char *)block.data)[block.row_stride + 2 * block.pixel_stride + 1]
          == (unsigned char)(258 + 3 * 193 + 50));

    /* Locked again it is the same memory, and nothing is read. */
    CHECK(tilekeep_lock_block(dataset, 0, 4, 3, NULL, &again) == TILEKEEP_OK);
    CHECK(again.data == block.data && again.token != block.token && counting.n_reads == 1);
    CHECK(tilekeep_read_block(dataset, 0, 4, 3, NULL, pixels, sizeof pixels, NULL) == TILEKEEP_OK);
    CHECK(counting.n_reads == 1 && memcmp(pixels, block.data, block.size) == 0);

    second = again;
    CHECK(tilekeep_unlock_block(&again) == TILEKEEP_OK);
    FAILS(INVALID, tilekeep_unlock_block(&again));
    FAILS(INVALID, tilekeep_unlock_block(&second));

    /* A lock that the budget has no room for is refused; a read goes on. */
    CHECK(tilekeep_set_cache_max(dataset, 20000) == TILEKEEP_OK);
    CHECK(tilekeep_get_cache_max(dataset, &max) == TILEKEEP_OK && max == 20000);
    CHECK(tilekeep_lock_block(dataset, 0, 0, 0, NULL, &again) == TILEKEEP_OK);
    FAILS(TILEKEEP_ERR_LIMIT_EXCEEDED, tilekeep_lock_block(dataset, 0, 1, 0, NULL, &second));
    CHECK(tilekeep_read_block(dataset, 0, 1, 0, NULL, pixels, sizeof pixels, &second) == TILEKEEP_OK);
    CHECK(second.width == 64 && second.data == NULL && second.token == 0 && pixels[0] == 64);
    CHECK(tilekeep_stats(dataset, &stats) == TILEKEEP_OK);
    CHECK(stats.loads == 3 && stats.entries == 2 && stats.uncached == 1 && stats.max_bytes == 20000);
    CHECK(stats.locked_bytes == stats.bytes && stats.bytes > 12288);

    {
        const uint64_t budgets[] = {0, 1 << 30};
        double ratios[] = {-1, -1};
        CHECK(tilekeep_cache_curve(dataset, budgets, 2, ratios) == TILEKEEP_OK);
        CHECK(ratios[0] == 0.0 && ratios[1] > 0.0 && ratios[1] < 1.0);
        CHECK(tilekeep_suggest_cache_max(dataset, 0.1, &max) == TILEKEEP_OK && max > 1056);
        FAILS(TILEKEEP_ERR_NOT_FOUND, tilekeep_suggest_cache_max(dataset, 1.0, &max));
        FAILS(INVALID, tilekeep_suggest_cache_max(dataset, 1.5, &max));
        FAILS(INVALID, tilekeep_cache_curve(dataset, NULL, 2, ratios));
        FAILS(INVALID, tilekeep_cache_curve(dataset, budgets, 2, NULL));
    }

    /* Blocks outlive the dataset; the source goes with the dataset. */
    tilekeep_close(dataset);
    CHECK(counting.n_destroyed == 1);
    CHECK(((const unsigned char *)block.data)[0] == (unsigned char)(256 + 3 * 192));
    CHECK(tilekeep_unlock_block(&block) == TILEKEEP_OK);
    CHECK(tilekeep_unlock_block(&again) == TILEKEEP_OK);
    FAILS(INVALID, tilekeep_unlock_block(&block));
}

static void windows_and_tiles(void)
{
    struct counting counting;
    tilekeep_source source = counting_source(&counting, &LEVEL);
    tilekeep_dataset *dataset = NULL;
    tilekeep_window window = {.struct_size = sizeof window, .x = 60, .y = 62, .width = 10, .height = 4};
    tilekeep_tile_options options = {.struct_size = sizeof options, .width = 128, .height = 128};
    tilekeep_tile tile = {.struct_size = sizeof tile};
    const tilekeep_tile_place places[] = {{0, 0, 0}, {0, 2, 1}, {0, 0, 0}};
    tilekeep_status statuses[3];
    tilekeep_tile tiles[3] = {{.struct_size = sizeof tile}, {.struct_size = sizeof tile}, {.struct_size = sizeof tile}};
    const uint32_t bands[] = {2, 0}, bad_bands[] = {3};
    float planes[2][4][10];
    unsigned char small[5 * 2 * 3];
    size_t size = 0;
    uint32_t x, y;

    CHECK(tilekeep_open_source(&source, NULL, &dataset) == TILEKEEP_OK);
    window.n_bands = 2;
    window.bands = bands;
    window.sample_type = TILEKEEP_SAMPLE_F32;
    window.pixel_stride = sizeof(float);
    window.row_stride = sizeof planes[0][0];
    window.band_stride = sizeof planes[0];
    CHECK(tilekeep_window_size(dataset, &window, &size) == TILEKEEP_OK && size == sizeof planes);
    CHECK(tilekeep_read_window(dataset, &window, planes, sizeof planes) == TILEKEEP_OK);
    for (y = 0; y < 4; y++) {
        for (x = 0; x < 10; x++) {
            CHECK(planes[0][y][x] == (float)(unsigned char)(60 + x + 3 * (62 + y) + 100));
            CHECK(planes[1][y][x] == (float)(unsigned char)(60 + x + 3 * (62 + y)));
        }
    }
    CHECK(counting.n_reads == 4);
    FAILS(INVALID, tilekeep_read_window(dataset, &window, planes, sizeof planes - 1));
    window.pixel_stride = 3;
    FAILS(INVALID, tilekeep_read_window(dataset, &window, planes, sizeof planes));
    window.bands = bad_bands;
    window.n_bands = 1;
    FAILS(INVALID, tilekeep_read_window(dataset, &window, planes, sizeof planes));
    window.bands = NULL;
    FAILS(INVALID, tilekeep_read_window(dataset, &window, planes, sizeof planes));

    memset(&window, 0, sizeof window);
    window.struct_size = sizeof window;
    window.width = 10;
    window.height = 4;
    window.out_width = 5;
    window.out_height = 2;
    window.resampling = TILEKEEP_RESAMPLING_AVERAGE;
    CHECK(tilekeep_read_window(dataset, &window, small, sizeof small) == TILEKEEP_OK);
    CHECK(small[0] == 2 && small[1] == 52 && small[3] == 4);
    window.resampling = 7;
    FAILS(INVALID, tilekeep_read_window(dataset, &window, small, sizeof small));
    window.resampling = 0;
    window.out_height = 0;
    FAILS(INVALID, tilekeep_read_window(dataset, &window, small, sizeof small));
    window.out_width = 0;
    window.x = 291;
    FAILS(INVALID, tilekeep_read_window(dataset, &window, small, sizeof small));
    window.x = UINT64_MAX - 3;
    FAILS(INVALID, tilekeep_read_window(dataset, &window, small, sizeof small));

    CHECK(tilekeep_read_tile(dataset, 0, 2, 1, &options, &tile) == TILEKEEP_OK);
    CHECK(tile.width == 44 && tile.height == 72 && tile.n_bands == 3 && tile.size == 44 * 72 * 3);
    CHECK(((const unsigned char *)tile.data)[0] == (unsigned char)(256 + 3 * 128));
    tilekeep_free_tile(&tile);
    CHECK(tile.data == NULL && tile.size == 0);
    tilekeep_free_tile(&tile);
    tilekeep_free_tile(NULL);
    options.edge = TILEKEEP_EDGE_PAD;
    options.encoding = TILEKEEP_ENCODING_PNG;
    CHECK(tilekeep_read_tile(dataset, 0, 2, 1, &options, &tile) == TILEKEEP_OK);
    CHECK(tile.width == 128 && tile.height == 128 && memcmp(tile.data, "\x89PNG", 4) == 0);
    tilekeep_free_tile(&tile);
    options.encoding = TILEKEEP_ENCODING_JPEG;
    CHECK(tilekeep_read_tile(dataset, 0, 0, 0, &options, &tile) == TILEKEEP_OK);
    CHECK(memcmp(tile.data, "\xFF\xD8", 2) == 0);
    size = tile.size;
    tilekeep_free_tile(&tile);
    options.chroma = TILEKEEP_CHROMA_FULL;
    CHECK(tilekeep_read_tile(dataset, 0, 0, 0, &options, &tile) == TILEKEEP_OK && tile.size > size);
    tilekeep_free_tile(&tile);
    options.chroma = 3;
    FAILS(INVALID, tilekeep_read_tile(dataset, 0, 0, 0, &options, &tile));
    options.chroma = 0;
    options.encoding = TILEKEEP_ENCODING_WEBP;
    options.lossless = 1;
    CHECK(tilekeep_read_tile(dataset, 0, 0, 0, &options, &tile) == TILEKEEP_OK);
    CHECK(memcmp(tile.data, "RIFF", 4) == 0 && memcmp((const char *)tile.data + 8, "WEBPVP8L", 8) == 0);
    tilekeep_free_tile(&tile);
    options.lossless = 2;
    FAILS(INVALID, tilekeep_read_tile(dataset, 0, 0, 0, &options, &tile));
    options.lossless = 0;
    options.encoding = TILEKEEP_ENCODING_RAW;
    options.interleave = TILEKEEP_INTERLEAVE_BAND;
    CHECK(tilekeep_read_tile(dataset, 0, 0, 0, &options, &tile) == TILEKEEP_OK && tile.size == 128 * 128 * 3);
    CHECK(((const unsigned char *)tile.data)[1] == 1 && ((const unsigned char *)tile.data)[128 * 128] == 50);
    tilekeep_free_tile(&tile);
    options.no_pass_through = 1;
    CHECK(tilekeep_read_tile(dataset, 0, 0, 0, &options, &tile) == TILEKEEP_OK);
    tilekeep_free_tile(&tile);
    options.no_pass_through = 2;
    FAILS(INVALID, tilekeep_read_tile(dataset, 0, 0, 0, &options, &tile));
    options.no_pass_through = 0;
    options.reserved = 1;
    FAILS(INVALID, tilekeep_read_tile(dataset, 0, 0, 0, &options, &tile));
    CHECK(strstr(tilekeep_last_error(), "reserved") != NULL);
    options.reserved = 0;
    CHECK(tilekeep_read_tiles(dataset, places, 3, &options, tiles, statuses) == TILEKEEP_OK);
    for (x = 0; x < 3; x++) {
        CHECK(tilekeep_read_tile(dataset, 0, places[x].col, places[x].row, &options, &tile) == TILEKEEP_OK);
        CHECK(statuses[x] == TILEKEEP_OK && tiles[x].width == tile.width && tiles[x].size == tile.size);
        CHECK(memcmp(tiles[x].data, tile.data, tile.size) == 0);
        tilekeep_free_tile(&tile);
        tilekeep_free_tile(&tiles[x]);
    }
    FAILS(INVALID, tilekeep_read_tiles(NULL, places, 3, &options, tiles, statuses));
    FAILS(INVALID, tilekeep_read_tiles(dataset, NULL, 3, &options, tiles, statuses));
    FAILS(INVALID, tilekeep_read_tiles(dataset, places, 3, &options, NULL, statuses));
    FAILS(INVALID, tilekeep_read_tiles(dataset, places, 3, &options, tiles, NULL));
    FAILS(INVALID, tilekeep_read_tiles(dataset, places, SIZE_MAX, &options, tiles, statuses));
    CHECK(tilekeep_read_tiles(dataset, NULL, 0, NULL, NULL, NULL) == TILEKEEP_OK);
    tiles[2].struct_size = 1;
    FAILS(INVALID, tilekeep_read_tiles(dataset, places, 3, &options, tiles, statuses));
    CHECK(tiles[0].data == NULL);
    options.interleave = 2;
    FAILS(INVALID, tilekeep_read_tile(dataset, 0, 0, 0, &options, &tile));
    options.interleave = 0;
    options.style = "{\"band\": 1, \"min\": 0, \"max\": 255, \"palette\": \"viridis\"}";
    CHECK(tilekeep_read_tile(dataset, 0, 0, 0, &options, &tile) == TILEKEEP_OK);
    CHECK(tile.n_bands == 4 && tile.sample_type == TILEKEEP_SAMPLE_U8 && tile.size == 128 * 128 * 4);
    CHECK(((const unsigned char *)tile.data)[3] == 255);
    tilekeep_free_tile(&tile);
    options.style = "{\"pallete\": 0}";
    FAILS(INVALID, tilekeep_read_tile(dataset, 0, 0, 0, &options, &tile));
    CHECK(strstr(tilekeep_last_error(), "pallete") != NULL);
    options.style = NULL;
    options.encoding = TILEKEEP_ENCODING_JPEG;
    FAILS(INVALID, tilekeep_read_tile(dataset, 0, 3, 0, &options, &tile));
    FAILS(INVALID, tilekeep_read_tile(dataset, 9, 0, 0, &options, &tile));
    options.quality = 101;
    FAILS(INVALID, tilekeep_read_tile(dataset, 0, 0, 0, &options, &tile));
    options.encoding = 4;
    FAILS(INVALID, tilekeep_read_tile(dataset, 0, 0, 0, &options, &tile));
    options.encoding = 0;
    options.edge = -1;
    FAILS(INVALID, tilekeep_read_tile(dataset, 0, 0, 0, &options, &tile));
    options.edge = 0;
    options.has_range = 2;
    FAILS(INVALID, tilekeep_read_tile(dataset, 0, 0, 0, &options, &tile));
    CHECK(tile.data == NULL);
    tilekeep_close(dataset);
    CHECK(counting.n_destroyed == 1);
}

static void wrong_calls_are_errors(void)
{
    struct counting counting;
    tilekeep_source source = counting_source(&counting, &LEVEL), broken;
    tilekeep_dataset *dataset = NULL;
    tilekeep_dataset_info info = {.struct_size = sizeof info};
    tilekeep_level level = {.struct_size = sizeof level};
    tilekeep_block block = {.struct_size = sizeof block};
    tilekeep_block_options options = {.struct_size = sizeof options};
    tilekeep_cache_stats stats = {.struct_size = sizeof stats};
    tilekeep_open_options open_options = {.struct_size = sizeof open_options};
    tilekeep_window window = {.struct_size = sizeof window};
    unsigned char byte;
    double number;
    size_t size;
    uint64_t max;
    int32_t color;

    CHECK(tilekeep_open_source(&source, NULL, &dataset) == TILEKEEP_OK);

    FAILS(INVALID, tilekeep_info(NULL, &info));
    FAILS(INVALID, tilekeep_info(dataset, NULL));
    FAILS(INVALID, tilekeep_level_info(NULL, 0, &level));
    FAILS(INVALID, tilekeep_level_info(dataset, 0, NULL));
    FAILS(INVALID, tilekeep_level_info(dataset, 77, &level));
    FAILS(INVALID, tilekeep_metadata(NULL, 0, NULL, NULL, NULL));
    FAILS(TILEKEEP_ERR_NOT_FOUND, tilekeep_metadata(dataset, 0, NULL, NULL, NULL));
    FAILS(INVALID, tilekeep_geotransform(dataset, NULL));
    FAILS(TILEKEEP_ERR_NOT_FOUND, tilekeep_nodata(dataset, &number));
    FAILS(INVALID, tilekeep_nodata(dataset, NULL));
    FAILS(INVALID, tilekeep_band_color(dataset, 3, &color));
    FAILS(TILEKEEP_ERR_NOT_FOUND, tilekeep_color_table(dataset, 0, &byte));
    FAILS(INVALID, tilekeep_lock_block(NULL, 0, 0, 0, NULL, &block));
    FAILS(INVALID, tilekeep_lock_block(dataset, 0, 0, 0, NULL, NULL));
    FAILS(INVALID, tilekeep_lock_block(dataset, 0, 5, 0, NULL, &block));
    FAILS(INVALID, tilekeep_lock_block(dataset, 0, 0, 4, NULL, &block));
    FAILS(INVALID, tilekeep_lock_block(dataset, UINT32_MAX, 0, 0, NULL, &block));
    FAILS(INVALID, tilekeep_lock_block(dataset, 0, UINT32_MAX, UINT32_MAX, NULL, &block));
    FAILS(INVALID, tilekeep_unlock_block(NULL));
    FAILS(INVALID, tilekeep_unlock_block(&block));
    FAILS(INVALID, tilekeep_read_block(dataset, 0, 0, 0, NULL, NULL, 10, NULL));
    FAILS(INVALID, tilekeep_read_block(dataset, 0, 0, 0, NULL, &byte, 1, NULL));
    FAILS(INVALID, tilekeep_read_block(dataset, 0, 0, 0, NULL, &byte, SIZE_MAX, NULL));
    FAILS(INVALID, tilekeep_read_window(dataset, NULL, &byte, 1));
    FAILS(INVALID, tilekeep_read_window(dataset, &window, &byte, 1));
    FAILS(INVALID, tilekeep_window_size(dataset, &window, &size));
    FAILS(INVALID, tilekeep_set_cache_max(NULL, 1));
    FAILS(INVALID, tilekeep_get_cache_max(dataset, NULL));
    FAILS(INVALID, tilekeep_get_cache_max(NULL, &max));
    FAILS(INVALID, tilekeep_stats(dataset, NULL));

    options.plane = 1;
    FAILS(INVALID, tilekeep_lock_block(dataset, 0, 0, 0, &options, &block));
    options.plane = 0;
    options.frame = 1;
    FAILS(INVALID, tilekeep_lock_block(dataset, 0, 0, 0, &options, &block));
    options.frame = 0;
    options.mode = 1;
    FAILS(INVALID, tilekeep_lock_block(dataset, 0, 0, 0, &options, &block));
    options.mode = 0;
    options.cache_use = TILEKEEP_USE_NO_CACHE;
    FAILS(INVALID, tilekeep_lock_block(dataset, 0, 0, 0, &options, &block));
    options.cache_use = 3;
    FAILS(INVALID, tilekeep_read_block(dataset, 0, 0, 0, &options, &byte, 1, NULL));
    options.cache_use = 0;
    options.struct_size = 0;
    FAILS(INVALID, tilekeep_lock_block(dataset, 0, 0, 0, &options, &block));
    block.struct_size = sizeof block + 8;
    FAILS(INVALID, tilekeep_lock_block(dataset, 0, 0, 0, NULL, &block));
    info.struct_size = 4;
    FAILS(INVALID, tilekeep_info(dataset, &info));
    stats.struct_size = 1u << 31;
    FAILS(INVALID, tilekeep_stats(dataset, &stats));
    CHECK(counting.n_reads == 0);

    FAILS(INVALID, tilekeep_set_cache_policy(dataset, -1));
    FAILS(INVALID, tilekeep_set_cache_policy(dataset, 5));
    FAILS(INVALID, tilekeep_set_cache_policy(NULL, TILEKEEP_POLICY_LRU));
    CHECK(tilekeep_set_cache_policy(dataset, TILEKEEP_POLICY_CLOCK_PRO) == TILEKEEP_OK);

    /* A success leaves the last error alone, its memory too, also when a callback runs. */
    info.struct_size = sizeof info;
    FAILS(INVALID, tilekeep_info(NULL, &info));
    CHECK(tilekeep_info(dataset, &info) == TILEKEEP_OK && strstr(tilekeep_last_error(), "dataset is NULL") != NULL);
    CHECK(info.n_bands == 3 && info.n_levels == 2 && strcmp(info.format, "counting") == 0);
    CHECK(tilekeep_level_info(dataset, 1, &level) == TILEKEEP_OK && level.width == 150 && !level.is_stored);

    {
        const char *before = tilekeep_last_error();
        unsigned char pixels[64 * 64 * 3];
        CHECK(tilekeep_read_block(dataset, 0, 1, 1, NULL, pixels, sizeof pixels, NULL) == TILEKEEP_OK);
        CHECK(tilekeep_last_error() == before && strstr(before, "dataset is NULL") != NULL);
    }

    /* What a callback says is what the caller hears; the block is tried again. */
    counting.fail_with = TILEKEEP_ERR_CORRUPT;
    block.struct_size = sizeof block;
    FAILS(TILEKEEP_ERR_CORRUPT, tilekeep_lock_block(dataset, 0, 0, 0, NULL, &block));
    CHECK(strstr(tilekeep_last_error(), "told to fail") != NULL && strstr(tilekeep_last_error(), "block (0, 0)") != NULL);
    counting.fail_with = 12345;
    FAILS(TILEKEEP_ERR_IO, tilekeep_lock_block(dataset, 0, 0, 0, NULL, &block));
    counting.fail_with = 0;
    CHECK(tilekeep_lock_block(dataset, 0, 0, 0, NULL, &block) == TILEKEEP_OK);
    CHECK(counting.n_reads == 4 && tilekeep_unlock_block(&block) == TILEKEEP_OK);

    /* Two blocks are kept, (0, 0) and (1, 1); only the first touches the window. */
    CHECK(tilekeep_evict(dataset, 0, 0, 0, 64, 64) == TILEKEEP_OK);
    stats.struct_size = sizeof stats;
    CHECK(tilekeep_stats(dataset, &stats) == TILEKEEP_OK && stats.entries == 1);
    FAILS(INVALID, tilekeep_evict(dataset, 0, 0, 0, 301, 64));
    FAILS(INVALID, tilekeep_evict(dataset, 0, 0, 0, 0, 64));
    FAILS(INVALID, tilekeep_evict(NULL, 0, 0, 0, 64, 64));

    /* Budgets, advice, memory pressure. */
    tilekeep_cache_budget budget = {.struct_size = sizeof budget, .max_bytes = 1 << 20, .floor_bytes = 30000};
    uint64_t bytes = 0;
    CHECK(tilekeep_set_cache_budget(dataset, &budget) == TILEKEEP_OK);
    CHECK(tilekeep_get_cache_max(dataset, &bytes) == TILEKEEP_OK && bytes == 1 << 20);
    CHECK(tilekeep_set_total_max(50000) == TILEKEEP_OK);
    CHECK(tilekeep_get_total_max(&bytes) == TILEKEEP_OK && bytes == 50000);
    CHECK(tilekeep_get_cache_max(dataset, &bytes) == TILEKEEP_OK && bytes == 50000);
    budget.cache_class = TILEKEEP_CLASS_BATCH;
    CHECK(tilekeep_set_cache_budget(dataset, &budget) == TILEKEEP_OK);
    CHECK(tilekeep_get_cache_max(dataset, &bytes) == TILEKEEP_OK && bytes == 2500);
    budget.cache_class = 2;
    FAILS(INVALID, tilekeep_set_cache_budget(dataset, &budget));
    budget.kind = TILEKEEP_BUDGET_OWN;
    budget.cache_class = 0;
    FAILS(INVALID, tilekeep_set_cache_budget(dataset, &budget));
    FAILS(INVALID, tilekeep_set_cache_budget(dataset, NULL));
    FAILS(INVALID, tilekeep_set_cache_budget(NULL, &budget));
    FAILS(INVALID, tilekeep_get_total_max(NULL));
    budget.floor_bytes = 0;
    CHECK(tilekeep_set_cache_budget(dataset, &budget) == TILEKEEP_OK);
    CHECK(tilekeep_set_total_max(1 << 30) == TILEKEEP_OK);

    CHECK(tilekeep_advise(dataset, 0, 0, 0, 64, 64, TILEKEEP_ADVICE_WILL_NEED) == TILEKEEP_OK);
    CHECK(tilekeep_advise(dataset, 0, 0, 0, 64, 64, TILEKEEP_ADVICE_SEQUENTIAL) == TILEKEEP_OK);
    CHECK(tilekeep_advise(dataset, 0, 0, 0, 64, 64, TILEKEEP_ADVICE_RANDOM) == TILEKEEP_OK);
    CHECK(tilekeep_advise(dataset, 0, 0, 0, 300, 200, TILEKEEP_ADVICE_DONT_NEED) == TILEKEEP_OK);
    CHECK(tilekeep_stats(dataset, &stats) == TILEKEEP_OK && stats.entries == 0 && stats.overhead_bytes == 0);
    FAILS(INVALID, tilekeep_advise(dataset, 0, 0, 0, 64, 64, 4));
    FAILS(INVALID, tilekeep_advise(dataset, 0, 0, 0, 301, 64, TILEKEEP_ADVICE_WILL_NEED));
    FAILS(INVALID, tilekeep_advise(NULL, 0, 0, 0, 64, 64, TILEKEEP_ADVICE_WILL_NEED));

    tilekeep_memory_stats memory = {.struct_size = sizeof memory};
    CHECK(tilekeep_process_stats(&memory, &stats) == TILEKEEP_OK);
    CHECK(memory.total_max_bytes == 1 << 30 && memory.n_datasets == 1 && stats.loads > 0 && stats.load_ns > 0);
    CHECK(memory.used_bytes == stats.bytes && memory.total_now_bytes == 1 << 30);
    CHECK(tilekeep_process_stats(NULL, NULL) == TILEKEEP_OK);
    CHECK(tilekeep_trim(TILEKEEP_TRIM_ALL) == TILEKEEP_OK);
    CHECK(tilekeep_process_stats(&memory, NULL) == TILEKEEP_OK && memory.free_bytes == 0 && memory.used_bytes == 0);
    FAILS(INVALID, tilekeep_trim(3));
    tilekeep_close(dataset);
    tilekeep_close(NULL);
    CHECK(counting.n_destroyed == 1);

    /* destroy runs exactly once also when opening fails. */
    dataset = NULL;
#define BROKEN(change)                                                                                                \
    do {                                                                                                              \
        broken = counting_source(&counting, &LEVEL);                                                                  \
        change;                                                                                                       \
        FAILS(INVALID, tilekeep_open_source(&broken, NULL, &dataset));                                                \
        CHECK(counting.n_destroyed == 1 && dataset == NULL);                                                          \
    } while (0)
    BROKEN(broken.read_block = NULL);
    BROKEN(broken.n_bands = 0);
    BROKEN(broken.n_bands = 70000);
    BROKEN(broken.sample_type = 0);
    BROKEN(broken.sample_type = 15);
    BROKEN(broken.n_levels = 0);
    BROKEN(broken.levels = NULL);
    BROKEN(broken.is_band_sequential = 2);
    BROKEN(broken.has_nodata = 9);
    BROKEN(broken.name = "\xff");
    broken = counting_source(&counting, &LEVEL);
    FAILS(INVALID, tilekeep_open_source(&broken, NULL, NULL));
    CHECK(counting.n_destroyed == 1);
    open_options.reserved = 1;
    broken = counting_source(&counting, &LEVEL);
    FAILS(INVALID, tilekeep_open_source(&broken, &open_options, &dataset));
    CHECK(counting.n_destroyed == 1);
    FAILS(INVALID, tilekeep_open_source(NULL, NULL, &dataset));

    FAILS(INVALID, tilekeep_open(NULL, NULL, &dataset));
    FAILS(INVALID, tilekeep_open("a", NULL, NULL));
    FAILS(INVALID, tilekeep_open("\xff\xfe", NULL, &dataset));
    FAILS(TILEKEEP_ERR_NOT_FOUND, tilekeep_open("/nothing/is/here.tif", NULL, &dataset));
    CHECK(strstr(tilekeep_last_error(), "/nothing/is/here.tif") != NULL);
    FAILS(TILEKEEP_ERR_UNSUPPORTED, tilekeep_open("/", NULL, &dataset));
    CHECK(dataset == NULL);
}

static void frames_are_told_apart(void)
{
    struct counting counting;
    tilekeep_source source = counting_source(&counting, &LEVEL);
    tilekeep_dataset *dataset = NULL;
    tilekeep_dataset_info info = {.struct_size = sizeof info};
    tilekeep_block_options options = {.struct_size = sizeof options, .frame = 1};
    tilekeep_block block = {.struct_size = sizeof block};
    tilekeep_window window = {.struct_size = sizeof window, .x = 5, .width = 1, .height = 1, .frame = 2};
    tilekeep_tile_options tile_options = {.struct_size = sizeof tile_options, .frame = 2};
    tilekeep_tile tile = {.struct_size = sizeof tile};
    unsigned char pixel[3];

    source.n_frames = 3;
    CHECK(tilekeep_open_source(&source, NULL, &dataset) == TILEKEEP_OK);
    CHECK(tilekeep_info(dataset, &info) == TILEKEEP_OK && info.n_frames == 3);
    CHECK(tilekeep_lock_block(dataset, 0, 0, 0, &options, &block) == TILEKEEP_OK);
    CHECK(*(const unsigned char *)block.data == 7);
    CHECK(tilekeep_unlock_block(&block) == TILEKEEP_OK);
    CHECK(tilekeep_read_window(dataset, &window, pixel, sizeof pixel) == TILEKEEP_OK && pixel[1] == 5 + 50 + 14);
    CHECK(tilekeep_read_tile(dataset, 0, 0, 0, &tile_options, &tile) == TILEKEEP_OK);
    CHECK(*(const unsigned char *)tile.data == 14);
    tilekeep_free_tile(&tile);
    CHECK(tilekeep_advise_frame(dataset, 2, 0, 0, 0, 300, 200, TILEKEEP_ADVICE_DONT_NEED) == TILEKEEP_OK);
    FAILS(INVALID, tilekeep_advise_frame(dataset, 3, 0, 0, 0, 300, 200, TILEKEEP_ADVICE_DONT_NEED));
    FAILS(INVALID, tilekeep_advise_frame(NULL, 0, 0, 0, 0, 300, 200, TILEKEEP_ADVICE_DONT_NEED));
    window.frame = 3;
    FAILS(INVALID, tilekeep_read_window(dataset, &window, pixel, sizeof pixel));
    tilekeep_close(dataset);
}

int main(void)
{
    CHECK(strlen(tilekeep_version()) >= 5 && tilekeep_last_error()[0] == '\0');
    blocks_are_copied_and_lent();
    windows_and_tiles();
    wrong_calls_are_errors();
    frames_are_told_apart();
    puts("ok");
    return 0;
}

/* The cache of rendered tiles, and a store behind it.
 *
 *     tiles TIFF-FILE             (70 x 50 samples of 16 bits)
 */
#include "abi.h"

static const tilekeep_source_level LEVEL = {300, 200, 64, 64};

/* A tile that is asked for again comes from memory, and the bytes that a program holds stay whatever the cache does. */
static void tiles_are_kept_and_shared(void)
{
    struct counting counting;
    tilekeep_source source = counting_source(&counting, &LEVEL);
    tilekeep_dataset *dataset = NULL;
    tilekeep_tile_options options = {.struct_size = sizeof options, .encoding = TILEKEEP_ENCODING_PNG};
    tilekeep_tile tile = {.struct_size = sizeof tile}, again = {.struct_size = sizeof again};
    tilekeep_tile_stats before = {.struct_size = sizeof before}, after = {.struct_size = sizeof after};
    uint64_t max = 0;

    CHECK(tilekeep_open_source(&source, NULL, &dataset) == TILEKEEP_OK);
    CHECK(tilekeep_tile_cache_stats(&before) == TILEKEEP_OK);
    CHECK(tilekeep_read_tile(dataset, 0, 0, 0, &options, &tile) == TILEKEEP_OK);
    CHECK(tilekeep_read_tile(dataset, 0, 0, 0, &options, &again) == TILEKEEP_OK);
    CHECK(tile.data == again.data && tile.size == again.size);
    CHECK(tilekeep_tile_cache_stats(&after) == TILEKEEP_OK);
    CHECK(after.hits == before.hits + 1 && after.rendered == before.rendered + 1 && after.bytes > before.bytes);

    CHECK(tilekeep_get_tile_cache_max(&max) == TILEKEEP_OK && max == after.max_bytes);
    CHECK(tilekeep_set_tile_cache_max(0) == TILEKEEP_OK);
    CHECK(tilekeep_tile_cache_stats(&after) == TILEKEEP_OK);
    CHECK(after.entries == 0 && after.bytes == 0 && after.tile_bytes > 0);
    CHECK(memcmp(tile.data, "\x89PNG", 4) == 0);
    tilekeep_free_tile(&again);
    CHECK(memcmp(tile.data, "\x89PNG", 4) == 0);
    CHECK(tilekeep_set_tile_cache_max(max) == TILEKEEP_OK);

    CHECK(tilekeep_read_tile(dataset, 0, 0, 0, &options, &again) == TILEKEEP_OK);
    CHECK(tilekeep_invalidate(dataset) == TILEKEEP_OK);
    CHECK(tilekeep_tile_cache_stats(&after) == TILEKEEP_OK && after.entries == 0);
    tilekeep_free_tile(&again);
    CHECK(tilekeep_clear_tile_cache() == TILEKEEP_OK);
    FAILS(INVALID, tilekeep_invalidate(NULL));
    FAILS(INVALID, tilekeep_get_tile_cache_max(NULL));
    FAILS(INVALID, tilekeep_tile_cache_stats(NULL));
    tilekeep_close(dataset);
    CHECK(memcmp(tile.data, "\x89PNG", 4) == 0);
    tilekeep_free_tile(&tile);
    CHECK(tile.owner == NULL);
    CHECK(counting.n_destroyed == 1);
}

/* A store of one value: enough for one tile. */
struct shelf {
    char key[66];
    unsigned char value[20000];
    size_t size;
    int n_destroyed, n_many, fails;
};

static tilekeep_status shelf_get(void *user_data, const char *key, tilekeep_store_value *value)
{
    struct shelf *shelf = user_data;
    if (shelf->fails) {
        tilekeep_set_last_error("the shelf fell over");
        return TILEKEEP_ERR_IO;
    }
    if (shelf->size == 0 || strcmp(key, shelf->key) != 0)
        return TILEKEEP_ERR_NOT_FOUND;
    return tilekeep_store_value_set(value, shelf->value, shelf->size);
}

static tilekeep_status shelf_get_many(void *user_data, const char *const *keys, tilekeep_store_value *const *values,
                                      size_t n_keys)
{
    size_t i;

    ((struct shelf *)user_data)->n_many++;
    for (i = 0; i < n_keys; i++) {
        tilekeep_status status = shelf_get(user_data, keys[i], values[i]);
        if (status != TILEKEEP_OK && status != TILEKEEP_ERR_NOT_FOUND)
            return status;
    }
    return TILEKEEP_OK;
}

static tilekeep_status shelf_put(void *user_data, const char *key, const void *data, size_t size)
{
    struct shelf *shelf = user_data;
    if (strlen(key) != 65 || size > sizeof shelf->value)
        return TILEKEEP_ERR_LIMIT_EXCEEDED;
    memcpy(shelf->key, key, 66);
    memcpy(shelf->value, data, size);
    shelf->size = size;
    return TILEKEEP_OK;
}

static tilekeep_status shelf_remove(void *user_data, const char *key_prefix)
{
    struct shelf *shelf = user_data;
    if (strncmp(shelf->key, key_prefix, strlen(key_prefix)) == 0)
        shelf->size = 0;
    return TILEKEEP_OK;
}

static void shelf_destroy(void *user_data) { ((struct shelf *)user_data)->n_destroyed++; }

/* A client's own store gets what was rendered and gives it back; one that fails costs nothing but a message. */
static void tiles_are_kept_in_a_store(const char *path)
{
    static struct shelf shelf;
    tilekeep_tile_store store = {.struct_size = sizeof store, .user_data = &shelf, .destroy = shelf_destroy,
                                 .get = shelf_get, .put = shelf_put, .remove = shelf_remove,
                                 .get_many = shelf_get_many};
    const tilekeep_tile_place places[] = {{0, 0, 0}, {0, UINT32_MAX, 0}};
    tilekeep_status statuses[2];
    tilekeep_tile tiles[2] = {{.struct_size = sizeof tiles[0]}, {.struct_size = sizeof tiles[1]}};
    tilekeep_dataset *dataset = NULL;
    tilekeep_tile_options options = {.struct_size = sizeof options, .width = 16, .height = 16,
                                     .encoding = TILEKEEP_ENCODING_PNG};
    tilekeep_tile tile = {.struct_size = sizeof tile}, again = {.struct_size = sizeof again};
    tilekeep_tile_stats before = {.struct_size = sizeof before}, after = {.struct_size = sizeof after};

    FAILS(INVALID, tilekeep_set_tile_store(NULL));
    FAILS(INVALID, tilekeep_set_tile_store("disc:/tmp"));
    FAILS(TILEKEEP_ERR_NOT_FOUND, tilekeep_clear_tile_store());
    CHECK(tilekeep_set_tile_store("memory:") == TILEKEEP_OK);
    FAILS(INVALID, tilekeep_set_client_tile_store(NULL));
    store.get = NULL;
    FAILS(INVALID, tilekeep_set_client_tile_store(&store));
    CHECK(shelf.n_destroyed == 1);
    store.get = shelf_get;
    CHECK(tilekeep_set_client_tile_store(&store) == TILEKEEP_OK);

    CHECK(tilekeep_open(path, NULL, &dataset) == TILEKEEP_OK);
    CHECK(tilekeep_read_tile(dataset, 0, 0, 0, &options, &tile) == TILEKEEP_OK);
    CHECK(tilekeep_flush_tile_store() == TILEKEEP_OK);
    CHECK(shelf.size > tile.size);
    CHECK(tilekeep_clear_tile_cache() == TILEKEEP_OK);
    CHECK(tilekeep_tile_cache_stats(&before) == TILEKEEP_OK && before.store_written == 1);
    CHECK(tilekeep_read_tile(dataset, 0, 0, 0, &options, &again) == TILEKEEP_OK);
    CHECK(again.size == tile.size && memcmp(again.data, tile.data, tile.size) == 0);
    CHECK(tilekeep_tile_cache_stats(&after) == TILEKEEP_OK);
    CHECK(after.rendered == before.rendered && after.store_hits == before.store_hits + 1);
    CHECK(tilekeep_tile_store_error() == TILEKEEP_OK);
    tilekeep_free_tile(&again);

    CHECK(tilekeep_clear_tile_cache() == TILEKEEP_OK && shelf.n_many == 0);
    FAILS(INVALID, tilekeep_read_tiles(dataset, places, 2, &options, tiles, statuses));
    CHECK(statuses[0] == TILEKEEP_OK && statuses[1] == INVALID && tiles[1].data == NULL);
    CHECK(tiles[0].size == tile.size && memcmp(tiles[0].data, tile.data, tile.size) == 0);
    CHECK(tilekeep_tile_cache_stats(&after) == TILEKEEP_OK);
    CHECK(shelf.n_many == 1 && after.rendered == before.rendered && after.store_hits == before.store_hits + 2);
    tilekeep_free_tile(&tiles[0]);

    shelf.fails = 1;
    CHECK(tilekeep_clear_tile_cache() == TILEKEEP_OK);
    CHECK(tilekeep_read_tile(dataset, 0, 0, 0, &options, &again) == TILEKEEP_OK);
    FAILS(TILEKEEP_ERR_STORE, tilekeep_tile_store_error());
    CHECK(strstr(tilekeep_last_error(), "fell over") != NULL);
    tilekeep_free_tile(&again);
    tilekeep_free_tile(&tile);
    CHECK(tilekeep_clear_tile_store() == TILEKEEP_OK && shelf.size == 0);
    CHECK(tilekeep_set_tile_store("memory:") == TILEKEEP_OK);
    CHECK(shelf.n_destroyed == 2);
    FAILS(INVALID, tilekeep_store_value_set(NULL, NULL, 0));
    tilekeep_close(dataset);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    tiles_are_kept_and_shared();
    tiles_are_kept_in_a_store(argv[1]);
    puts("ok");
    return 0;
}

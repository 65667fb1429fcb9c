/* Frames of a viewer as a C99 program sees them: viewports, what can be shown at once, previews, and what is loaded ahead. */
#define _POSIX_C_SOURCE 200809L
#include "gate.h"

/* What a viewport's callback does, and what it was told. */
struct viewer {
    tilekeep_viewport *viewport;
    /* Whether it asks the viewport in its callback, or frees it there. */
    int asks, frees;
    int n_told, n_cancelled, n_destroyed;
};

static tilekeep_tile_options OPTIONS;

static void viewer_destroy(void *user_data)
{
    add(&((struct viewer *)user_data)->n_destroyed);
}

static void viewer_arrived(void *user_data, uint32_t level, uint32_t col, uint32_t row, tilekeep_status status,
                           const tilekeep_tile *tile, const char *message)
{
    struct viewer *viewer = (struct viewer *)user_data;
    CHECK(get(&viewer->n_destroyed) == 0);
    CHECK((status == TILEKEEP_OK) == (tile != NULL) && (message == NULL) == (tile != NULL));
    CHECK(tile == NULL || (tile->size > 8 && memcmp(tile->data, "\x89PNG", 4) == 0));
    if (viewer->asks && tile != NULL) {
        tilekeep_tile again;
        tilekeep_available *available = NULL;
        tilekeep_status found;
        memset(&again, 0, sizeof again);
        again.struct_size = sizeof again;
        /* It may be gone by now, when another frame was handed in. */
        found = tilekeep_viewport_tile(viewer->viewport, level, col, row, &again);
        CHECK(found == TILEKEEP_OK || found == TILEKEEP_ERR_NOT_FOUND);
        tilekeep_free_tile(&again);
        found = tilekeep_viewport_best_available(viewer->viewport, level, col, row, &available);
        CHECK(found == TILEKEEP_OK || found == TILEKEEP_ERR_NOT_FOUND);
        tilekeep_available_free(available);
    }
    if (viewer->frees) {
        tilekeep_viewport *viewport;
        pthread_mutex_lock(&gate.mutex);
        viewport = viewer->viewport;
        viewer->viewport = NULL;
        pthread_mutex_unlock(&gate.mutex);
        tilekeep_viewport_free(viewport);
    }
    add(status == TILEKEEP_OK ? &viewer->n_told : &viewer->n_cancelled);
    CHECK(status == TILEKEEP_OK || status == TILEKEEP_ERR_CANCELLED);
}

static tilekeep_viewport_callback callback_of(struct viewer *viewer)
{
    tilekeep_viewport_callback callback;
    memset(&callback, 0, sizeof callback);
    callback.struct_size = sizeof callback;
    callback.user_data = viewer;
    callback.arrived = viewer_arrived;
    callback.destroy = viewer_destroy;
    return callback;
}

static void look_at(struct viewer *viewer, tilekeep_requests *requests, tilekeep_dataset *dataset)
{
    tilekeep_viewport_callback callback = callback_of(viewer);
    memset(viewer, 0, sizeof *viewer);
    CHECK(tilekeep_viewport_new(requests, dataset, 0, &callback, &viewer->viewport) == TILEKEEP_OK);
}

/* All tiles of 64 x 64 of level 0 under a window. */
static tilekeep_frame frame_of(uint64_t x, uint64_t y, uint64_t width, uint64_t height)
{
    tilekeep_frame frame;
    memset(&frame, 0, sizeof frame);
    frame.struct_size = sizeof frame;
    frame.options = &OPTIONS;
    frame.x = x;
    frame.y = y;
    frame.width = width;
    frame.height = height;
    frame.centre_x = (double)x + (double)width / 2;
    frame.centre_y = (double)y + (double)height / 2;
    return frame;
}

static void calls_that_are_wrong_fail(tilekeep_requests *requests, tilekeep_dataset *dataset)
{
    struct viewer viewer;
    tilekeep_viewport_callback callback = callback_of(&viewer);
    tilekeep_viewport *viewport = NULL;
    tilekeep_available *available = NULL;
    tilekeep_frame frame = frame_of(0, 0, 64, 64);
    tilekeep_tile tile;
    size_t n_missing = 77;

    memset(&viewer, 0, sizeof viewer);
    memset(&tile, 0, sizeof tile);
    tile.struct_size = sizeof tile;
    FAILS(INVALID, tilekeep_viewport_new(NULL, dataset, 0, &callback, &viewport));
    CHECK(viewer.n_destroyed == 1);
    FAILS(INVALID, tilekeep_viewport_new(requests, dataset, 0, &callback, NULL));
    CHECK(viewer.n_destroyed == 2);
    callback.struct_size = 3;
    FAILS(INVALID, tilekeep_viewport_new(requests, dataset, 0, &callback, &viewport));
    CHECK(viewer.n_destroyed == 2 && viewport == NULL);
    CHECK(tilekeep_viewport_new(requests, dataset, 0, NULL, &viewport) == TILEKEEP_OK);
    FAILS(INVALID, tilekeep_viewport_want(viewport, NULL, &n_missing));
    FAILS(INVALID, tilekeep_viewport_want(NULL, &frame, &n_missing));
    frame.finest_level = 1;
    FAILS(INVALID, tilekeep_viewport_want(viewport, &frame, &n_missing));
    frame.coarsest_level = 99;
    FAILS(INVALID, tilekeep_viewport_want(viewport, &frame, &n_missing));
    frame.finest_level = frame.coarsest_level = 0;
    frame.n_tiles = 1;
    FAILS(INVALID, tilekeep_viewport_want(viewport, &frame, &n_missing));
    CHECK(n_missing == 77);
    FAILS(TILEKEEP_ERR_NOT_FOUND, tilekeep_viewport_tile(viewport, 0, 0, 0, &tile));
    FAILS(TILEKEEP_ERR_NOT_FOUND, tilekeep_viewport_best_available(viewport, 0, 0, 0, &available));
    FAILS(TILEKEEP_ERR_NOT_FOUND, tilekeep_best_available(requests, dataset, 0, 0, 0, NULL, &available));
    FAILS(INVALID, tilekeep_viewport_tile(NULL, 0, 0, 0, &tile));
    FAILS(INVALID, tilekeep_viewport_best_available(viewport, 0, 0, 0, NULL));
    FAILS(INVALID, tilekeep_viewport_set_prefetch_max(NULL, 0));
    FAILS(INVALID, tilekeep_requests_set_prefetch_threads(NULL, 0));
    CHECK(available == NULL);
    tilekeep_viewport_free(viewport);
    tilekeep_viewport_free(NULL);
    tilekeep_available_free(NULL);
}

static void a_frame_is_loaded_shown_and_replaced(tilekeep_requests *requests)
{
    tilekeep_dataset *dataset = open_gate();
    tilekeep_tile_place places[16];
    tilekeep_available *available = NULL;
    tilekeep_available_part part;
    tilekeep_frame frame = frame_of(0, 0, 256, 256), tiles = frame_of(0, 0, 256, 256);
    tilekeep_tile tile;
    struct viewer viewer;
    size_t n_missing = 0;
    uint32_t n_parts = 0, i;
    double covered = 0;

    memset(&tile, 0, sizeof tile);
    tile.struct_size = sizeof tile;
    memset(&part, 0, sizeof part);
    part.struct_size = sizeof part;
    look_at(&viewer, requests, dataset);
    CHECK(tilekeep_viewport_set_prefetch_max(viewer.viewport, 0) == TILEKEEP_OK);
    set(&gate.is_open, 0);
    CHECK(tilekeep_viewport_want(viewer.viewport, &frame, &n_missing) == TILEKEEP_OK && n_missing == 16);
    FAILS(TILEKEEP_ERR_NOT_FOUND, tilekeep_viewport_tile(viewer.viewport, 0, 3, 3, &tile));
    viewer.asks = 1;
    set(&gate.is_open, 1);
    wait_idle(requests);
    CHECK(get(&viewer.n_told) >= 16 && get(&viewer.n_cancelled) == 0);

    /* The same tiles by their places are there. */
    tiles.n_tiles = 16;
    tiles.tiles = places;
    tiles.width = 0;
    for (i = 0; i < 16; i++) {
        places[i].level = 0;
        places[i].col = i % 4;
        places[i].row = i / 4;
    }
    CHECK(tilekeep_viewport_want(viewer.viewport, &tiles, &n_missing) == TILEKEEP_OK && n_missing == 0);
    /* And stay there, whatever is forgotten. */
    CHECK(tilekeep_clear_tile_cache() == TILEKEEP_OK);
    CHECK(tilekeep_viewport_tile(viewer.viewport, 0, 3, 3, &tile) == TILEKEEP_OK && tile.width == 64);
    tilekeep_free_tile(&tile);
    FAILS(TILEKEEP_ERR_NOT_FOUND, tilekeep_viewport_tile(viewer.viewport, 0, 4, 4, &tile));

    /* The next coarser tile out of its children. */
    CHECK(tilekeep_best_available(requests, dataset, 1, 1, 1, &OPTIONS, &available) == TILEKEEP_OK);
    CHECK(tilekeep_available_info(available, &n_parts, &covered) == TILEKEEP_OK && n_parts == 4 && covered == 1.0);
    for (i = 0; i < 4; i++) {
        CHECK(tilekeep_available_part_info(available, i, &part) == TILEKEEP_OK);
        CHECK(part.has_level == 1 && part.level == 0 && part.width == 64 && part.size > 8);
        CHECK(memcmp(part.data, "\x89PNG", 4) == 0 && part.from[0] == 0.0 && part.from[2] == 64.0);
        CHECK(part.to[0] == (i % 2) * 32.0 && part.to[1] == (i / 2) * 32.0 && part.to[2] == 32.0);
    }
    FAILS(INVALID, tilekeep_available_part_info(available, 4, &part));
    FAILS(INVALID, tilekeep_available_info(available, NULL, &covered));
    tilekeep_available_free(available);
    /* Any other tile out of the coarsest level, which every frame has. */
    CHECK(tilekeep_viewport_best_available(viewer.viewport, 0, 9, 5, &available) == TILEKEEP_OK);
    CHECK(tilekeep_available_info(available, &n_parts, &covered) == TILEKEEP_OK && n_parts == 1 && covered == 1.0);
    CHECK(tilekeep_available_part_info(available, 0, &part) == TILEKEEP_OK && part.has_level == 1 && part.level == 2);
    tilekeep_available_free(available);

    /* A frame of nothing lets all of it go, and frees in other threads do not matter to what was given. */
    frame.width = 0;
    CHECK(tilekeep_viewport_want(viewer.viewport, &frame, NULL) == TILEKEEP_OK);
    FAILS(TILEKEEP_ERR_NOT_FOUND, tilekeep_viewport_best_available(viewer.viewport, 0, 9, 5, &available));
    tilekeep_viewport_free(viewer.viewport);
    wait_for(&viewer.n_destroyed, 1);
    CHECK(get(&viewer.n_destroyed) == 1);
    tilekeep_close(dataset);
}

struct panning {
    pthread_t thread;
    struct viewer *viewer;
    uint64_t first;
};

static void *pans(void *user_data)
{
    struct panning *panning = (struct panning *)user_data;
    uint64_t i;
    for (i = 0; i < 40; i++) {
        tilekeep_frame frame = frame_of((panning->first + i * 48) % 384, i % 3 * 64, 256, 128);
        CHECK(tilekeep_viewport_want(panning->viewer->viewport, &frame, NULL) == TILEKEEP_OK);
    }
    return NULL;
}

static void threads_share_a_viewport_whose_callbacks_ask(tilekeep_requests *requests)
{
    tilekeep_dataset *dataset = open_gate();
    struct panning threads[3];
    struct viewer viewer;
    int i;
    look_at(&viewer, requests, dataset);
    viewer.asks = 1;
    for (i = 0; i < 3; i++) {
        threads[i].viewer = &viewer;
        threads[i].first = (uint64_t)i * 100;
        CHECK(pthread_create(&threads[i].thread, NULL, pans, &threads[i]) == 0);
    }
    for (i = 0; i < 3; i++) {
        CHECK(pthread_join(threads[i].thread, NULL) == 0);
    }
    wait_idle(requests);
    tilekeep_viewport_free(viewer.viewport);
    wait_for(&viewer.n_destroyed, 1);
    CHECK(viewer.n_destroyed == 1 && viewer.n_told > 0 && viewer.n_cancelled == 0);
    tilekeep_close(dataset);
}

static void a_viewport_is_freed_in_its_callback(tilekeep_requests *requests)
{
    int i;
    for (i = 0; i < 20; i++) {
        tilekeep_dataset *dataset = open_gate();
        tilekeep_frame frame = frame_of(0, 0, 384, 256);
        struct viewer viewer;
        set(&gate.is_open, 0);
        look_at(&viewer, requests, dataset);
        viewer.frees = 1;
        CHECK(tilekeep_viewport_want(viewer.viewport, &frame, NULL) == TILEKEEP_OK);
        tilekeep_close(dataset);
        set(&gate.is_open, 1);
        wait_for(&viewer.n_destroyed, 1);
        CHECK(get(&viewer.n_destroyed) == 1 && get(&viewer.n_told) >= 1 && viewer.viewport == NULL);
        wait_idle(requests);
    }
}

static void *opens_when_it_is_read(void *user_data)
{
    wait_for(&gate.n_begun, *(int *)user_data);
    set(&gate.is_open, 1);
    return NULL;
}

static void a_viewport_outlives_the_threads(void)
{
    tilekeep_dataset *dataset = open_gate();
    tilekeep_requests *requests = NULL;
    tilekeep_frame frame = frame_of(0, 0, 256, 256), other = frame_of(256, 0, 256, 256);
    tilekeep_available *available = NULL;
    pthread_t opener;
    struct viewer viewer;
    size_t n_missing = 0;
    int n_begun = get(&gate.n_begun) + 1;

    CHECK(tilekeep_requests_new(1, &requests) == TILEKEEP_OK);
    set(&gate.is_open, 0);
    look_at(&viewer, requests, dataset);
    CHECK(tilekeep_viewport_want(viewer.viewport, &frame, NULL) == TILEKEEP_OK);
    wait_for(&gate.n_begun, n_begun);
    CHECK(pthread_create(&opener, NULL, opens_when_it_is_read, &n_begun) == 0);
    tilekeep_requests_free(requests);
    CHECK(pthread_join(opener, NULL) == 0);
    CHECK(get(&viewer.n_told) + get(&viewer.n_cancelled) >= 16 && get(&viewer.n_cancelled) >= 16 - 1);
    n_begun = get(&viewer.n_cancelled);
    /* There is nobody left to load another, and nobody is called for it. */
    CHECK(tilekeep_viewport_want(viewer.viewport, &other, &n_missing) == TILEKEEP_OK && n_missing == 16);
    CHECK(get(&viewer.n_cancelled) == n_begun);
    FAILS(TILEKEEP_ERR_NOT_FOUND, tilekeep_viewport_best_available(viewer.viewport, 0, 5, 0, &available));
    tilekeep_viewport_free(viewer.viewport);
    CHECK(get(&viewer.n_destroyed) == 1);
    tilekeep_close(dataset);
}

static void what_lies_ahead_is_loaded_and_counted(tilekeep_requests *requests)
{
    tilekeep_request_stats before, after;
    int pass;
    memset(&before, 0, sizeof before);
    before.struct_size = sizeof before;
    after = before;
    /* With threads for it, without, and with no room for it. */
    for (pass = 0; pass < 3; pass++) {
        tilekeep_dataset *dataset = open_gate();
        tilekeep_viewport *viewport = NULL;
        uint64_t x;
        CHECK(tilekeep_requests_set_prefetch_threads(requests, pass == 1 ? 0 : 2) == TILEKEEP_OK);
        CHECK(tilekeep_viewport_new(requests, dataset, 0, NULL, &viewport) == TILEKEEP_OK);
        CHECK(pass < 2 || tilekeep_viewport_set_prefetch_max(viewport, 0) == TILEKEEP_OK);
        CHECK(tilekeep_requests_stats(requests, &before) == TILEKEEP_OK);
        for (x = 0; x < 6; x++) {
            tilekeep_frame frame = frame_of(x * 64, 0, 192, 192);
            CHECK(tilekeep_viewport_want(viewport, &frame, NULL) == TILEKEEP_OK);
            if (pass != 1) {
                wait_idle(requests);
            }
        }
        tilekeep_viewport_free(viewport);
        wait_idle(requests);
        CHECK(tilekeep_requests_stats(requests, &after) == TILEKEEP_OK);
        if (pass == 0) {
            CHECK(after.prefetched > before.prefetched && after.prefetch_used >= before.prefetch_used + 3);
            CHECK(after.prefetch_used + after.prefetch_wasted == after.prefetched);
        } else {
            CHECK(after.prefetched == before.prefetched);
        }
        tilekeep_close(dataset);
    }
}

struct preview {
    tilekeep_request *request;
    int cancels, n_previews, n_told, n_destroyed;
    tilekeep_status status;
};

static void previewed(void *user_data, const tilekeep_available *available)
{
    struct preview *preview = (struct preview *)user_data;
    tilekeep_available_part part;
    uint32_t n_parts = 0;
    double covered = 0;
    memset(&part, 0, sizeof part);
    part.struct_size = sizeof part;
    CHECK(preview->n_told == 0 && preview->n_previews++ == 0);
    CHECK(tilekeep_available_info(available, &n_parts, &covered) == TILEKEEP_OK && n_parts == 1 && covered == 1.0);
    CHECK(tilekeep_available_part_info(available, 0, &part) == TILEKEEP_OK && part.level == 2 && part.size > 8);
    if (preview->cancels) {
        tilekeep_request *request;
        pthread_mutex_lock(&gate.mutex);
        while (preview->request == NULL) {
            pthread_cond_wait(&gate.changed, &gate.mutex);
        }
        request = preview->request;
        pthread_mutex_unlock(&gate.mutex);
        CHECK(tilekeep_request_cancel(request) == TILEKEEP_OK);
        CHECK(preview->n_told == 0);
        tilekeep_request_free(request);
    }
}

static void preview_arrived(void *user_data, tilekeep_status status, const tilekeep_tile *tile, const char *message)
{
    struct preview *preview = (struct preview *)user_data;
    CHECK(preview->n_told++ == 0 && preview->n_destroyed == 0 && (tile == NULL) == (message != NULL));
    preview->status = status;
}

static void preview_destroy(void *user_data)
{
    add(&((struct preview *)user_data)->n_destroyed);
}

static void a_preview_comes_before_the_tile(void)
{
    int cancels;
    for (cancels = 0; cancels < 2; cancels++) {
        tilekeep_dataset *dataset = open_gate();
        tilekeep_requests *requests = NULL;
        tilekeep_request *request = NULL;
        tilekeep_tile_callback callback;
        struct preview preview;

        memset(&preview, 0, sizeof preview);
        preview.cancels = cancels;
        memset(&callback, 0, sizeof callback);
        callback.struct_size = sizeof callback;
        callback.user_data = &preview;
        callback.arrived = preview_arrived;
        callback.destroy = preview_destroy;
        callback.preview = previewed;
        CHECK(tilekeep_requests_new(1, &requests) == TILEKEEP_OK);
        /* One thread does both, the preview first. */
        CHECK(tilekeep_request_tile(requests, dataset, 0, 3, 3, &OPTIONS, 0, &callback, &request) == TILEKEEP_OK);
        pthread_mutex_lock(&gate.mutex);
        preview.request = request;
        pthread_cond_broadcast(&gate.changed);
        pthread_mutex_unlock(&gate.mutex);
        wait_for(&preview.n_destroyed, 1);
        CHECK(preview.n_previews == 1 && preview.n_told == 1 && preview.n_destroyed == 1);
        CHECK(preview.status == (cancels ? TILEKEEP_ERR_CANCELLED : TILEKEEP_OK));
        if (!cancels) {
            tilekeep_request_free(request);
        }
        tilekeep_requests_free(requests);
        tilekeep_close(dataset);
    }
}

int main(void)
{
    tilekeep_requests *requests = NULL;
    tilekeep_dataset *dataset = open_gate();
    OPTIONS.struct_size = sizeof OPTIONS;
    OPTIONS.width = OPTIONS.height = 64;
    OPTIONS.encoding = TILEKEEP_ENCODING_PNG;
    CHECK(tilekeep_requests_new(3, &requests) == TILEKEEP_OK);
    calls_that_are_wrong_fail(requests, dataset);
    set(&gate.is_open, 1);
    a_frame_is_loaded_shown_and_replaced(requests);
    threads_share_a_viewport_whose_callbacks_ask(requests);
    a_viewport_is_freed_in_its_callback(requests);
    a_viewport_outlives_the_threads();
    what_lies_ahead_is_loaded_and_counted(requests);
    a_preview_comes_before_the_tile();
    tilekeep_close(dataset);
    tilekeep_requests_free(requests);
    puts("ok");
    return 0;
}

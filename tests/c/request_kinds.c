/* Requests for blocks and windows as a C99 program sees them: buffers, blocks that are lent, a descriptor for an event loop,
 * and a source that stops when nobody wants what it reads. */
#define _POSIX_C_SOURCE 200809L
#include "gate.h"

#include <poll.h>
#include <sched.h>

#define UNTOUCHED 0xAA

struct wish {
    int n_told, n_destroyed;
    tilekeep_status status;
    /* Where the pixels are expected, and what they are. */
    const unsigned char *buffer;
    int value;
};

static void destroy(void *user_data)
{
    struct wish *wish = (struct wish *)user_data;
    CHECK(wish->n_destroyed++ == 0);
    add(&gate.n_destroyed);
}

static void told(struct wish *wish, tilekeep_status status, const char *message)
{
    CHECK(wish->n_destroyed == 0 && wish->n_told++ == 0 && (status == TILEKEEP_OK) == (message == NULL));
    CHECK(status != TILEKEEP_OK || wish->buffer == NULL || wish->buffer[0] == wish->value);
    wish->status = status;
}

static void block_arrived(void *user_data, tilekeep_status status, const tilekeep_block *block, const char *message)
{
    struct wish *wish = (struct wish *)user_data;
    CHECK((status == TILEKEEP_OK) == (block != NULL));
    CHECK(block == NULL || (block->width == 16 && block->size == 256 && block->token == 0));
    CHECK(block == NULL || ((const unsigned char *)block->data)[255] == wish->value);
    CHECK(block == NULL || wish->buffer == NULL || block->data == wish->buffer);
    told(wish, status, message);
}

static void window_arrived(void *user_data, tilekeep_status status, const char *message)
{
    told((struct wish *)user_data, status, message);
}

static tilekeep_block_callback block_callback(struct wish *wish, const void *buffer, int value)
{
    tilekeep_block_callback callback;
    memset(wish, 0, sizeof *wish);
    wish->buffer = (const unsigned char *)buffer;
    wish->value = value;
    memset(&callback, 0, sizeof callback);
    callback.struct_size = sizeof callback;
    callback.user_data = wish;
    callback.arrived = block_arrived;
    callback.destroy = destroy;
    return callback;
}

static tilekeep_window_callback window_callback(struct wish *wish, const void *buffer, int value)
{
    tilekeep_block_callback same = block_callback(wish, buffer, value);
    tilekeep_window_callback callback;
    memset(&callback, 0, sizeof callback);
    callback.struct_size = sizeof callback;
    callback.user_data = same.user_data;
    callback.arrived = window_arrived;
    callback.destroy = same.destroy;
    return callback;
}

static tilekeep_window window_of(uint64_t x, uint64_t y, uint64_t width, uint64_t height)
{
    tilekeep_window window;
    memset(&window, 0, sizeof window);
    window.struct_size = sizeof window;
    window.x = x;
    window.y = y;
    window.width = width;
    window.height = height;
    return window;
}

static void calls_that_are_wrong_fail_at_once(tilekeep_requests *requests, tilekeep_dataset *dataset)
{
    unsigned char buffer[256];
    tilekeep_window window = window_of(0, 0, 16, 16), outside = window_of(639, 0, 2, 1);
    tilekeep_block_options options;
    tilekeep_block_callback on_block;
    tilekeep_window_callback on_window;
    tilekeep_request *request = NULL;
    tilekeep_tile tile;
    struct wish wish;

    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.cache_use = TILEKEEP_USE_NO_CACHE;
    memset(&tile, 0, sizeof tile);
    tile.struct_size = sizeof tile;
    on_block = block_callback(&wish, NULL, 0);
    FAILS(INVALID, tilekeep_request_block(NULL, dataset, 0, 0, 0, NULL, NULL, 0, 0, &on_block, &request));
    CHECK(wish.n_destroyed == 1 && wish.n_told == 0);
    on_block = block_callback(&wish, NULL, 0);
    FAILS(INVALID, tilekeep_request_block(requests, dataset, 0, 0, 0, NULL, buffer, 255, 0, &on_block, &request));
    CHECK(wish.n_destroyed == 1 && wish.n_told == 0 && strstr(tilekeep_last_error(), "256") != NULL);
    FAILS(INVALID, tilekeep_request_block(requests, dataset, 0, 0, 0, NULL, NULL, 256, 0, NULL, &request));
    FAILS(INVALID, tilekeep_request_block(requests, dataset, 0, 40, 0, NULL, buffer, 256, 0, NULL, &request));
    FAILS(INVALID, tilekeep_request_block(requests, dataset, 0, 0, 0, &options, buffer, 256, 0, NULL, &request));
    FAILS(INVALID, tilekeep_request_block(requests, dataset, 0, 0, 0, NULL, buffer, 256, 0, NULL, NULL));
    on_window = window_callback(&wish, NULL, 0);
    FAILS(INVALID, tilekeep_request_window(requests, dataset, &window, buffer, 255, 0, &on_window, &request));
    CHECK(wish.n_destroyed == 1 && wish.n_told == 0);
    FAILS(INVALID, tilekeep_request_window(requests, dataset, &window, NULL, 256, 0, NULL, &request));
    FAILS(INVALID, tilekeep_request_window(requests, dataset, &outside, buffer, 256, 0, NULL, &request));
    FAILS(INVALID, tilekeep_request_window(requests, dataset, &window, buffer, 256, 0, NULL, NULL));
    FAILS(INVALID, tilekeep_request_window(requests, dataset, NULL, buffer, 256, 0, NULL, &request));
    CHECK(request == NULL);
}

static void answers_fill_buffers_when_they_are_looked_at(tilekeep_requests *requests)
{
    tilekeep_dataset *dataset = open_gate();
    unsigned char pixels[256 + 1], samples[40 * 10];
    tilekeep_window window = window_of(8, 0, 20, 10);
    tilekeep_request *block = NULL, *wide = NULL;
    tilekeep_block told;
    tilekeep_tile tile;
    int32_t is_answered = -1;
    int x;

    set(&gate.is_open, 0);
    memset(pixels, UNTOUCHED, sizeof pixels);
    memset(samples, UNTOUCHED, sizeof samples);
    memset(&told, 0, sizeof told);
    told.struct_size = sizeof told;
    memset(&tile, 0, sizeof tile);
    tile.struct_size = sizeof tile;
    window.pixel_stride = 2;
    window.row_stride = 40;
    window.band_stride = 1;
    CHECK(tilekeep_request_block(requests, dataset, 0, 3, 2, NULL, pixels, 256, 0, NULL, &block) == TILEKEEP_OK);
    CHECK(tilekeep_request_window(requests, dataset, &window, samples, sizeof samples, 5, NULL, &wide) == TILEKEEP_OK);
    CHECK(tilekeep_request_poll(wide, &is_answered) == TILEKEEP_OK && is_answered == 0);
    CHECK(tilekeep_request_set_priority(block, 9) == TILEKEEP_OK);
    FAILS(TILEKEEP_ERR_NOT_FOUND, tilekeep_request_wait_block(block, 0, &told));
    FAILS(INVALID, tilekeep_request_wait(block, 0, &tile));
    FAILS(INVALID, tilekeep_request_wait_block(wide, 0, &told));
    FAILS(INVALID, tilekeep_request_wait_block(block, 0, NULL));
    set(&gate.is_open, 1);
    /* Whatever was read: nothing is written but by a call that says so. */
    wait_idle(requests);
    CHECK(pixels[0] == UNTOUCHED && samples[0] == UNTOUCHED);
    CHECK(tilekeep_request_wait_block(block, TILEKEEP_WAIT_FOREVER, &told) == TILEKEEP_OK);
    CHECK(told.data == pixels && told.token == 0 && told.width == 16 && told.row_stride == 16 && told.size == 256);
    CHECK(pixels[0] == 5 && pixels[255] == 5 && pixels[256] == UNTOUCHED);
    CHECK(tilekeep_request_poll(wide, &is_answered) == TILEKEEP_OK && is_answered == 1);
    CHECK(tilekeep_request_wait(wide, 0, NULL) == TILEKEEP_OK);
    for (x = 0; x < 20; x++) {
        CHECK(samples[9 * 40 + 2 * x] == (x < 8 ? 0 : 1) && samples[9 * 40 + 2 * x + 1] == UNTOUCHED);
    }
    /* It is the client's again. */
    memset(pixels, 1, sizeof pixels);
    CHECK(tilekeep_request_wait(block, 0, NULL) == TILEKEEP_OK && pixels[0] == 1);
    CHECK(tilekeep_request_cancel(block) == TILEKEEP_OK && pixels[0] == 1);
    tilekeep_request_free(block);
    tilekeep_request_free(wide);
    tilekeep_close(dataset);
}

static void a_block_is_lent_without_a_buffer(tilekeep_requests *requests)
{
    tilekeep_dataset *dataset = open_gate();
    tilekeep_request *request = NULL;
    tilekeep_block first, second;
    memset(&first, 0, sizeof first);
    first.struct_size = sizeof first;
    second = first;
    CHECK(tilekeep_request_block(requests, dataset, 0, 4, 4, NULL, NULL, 0, 0, NULL, &request) == TILEKEEP_OK);
    CHECK(tilekeep_request_wait_block(request, TILEKEEP_WAIT_FOREVER, &first) == TILEKEEP_OK);
    CHECK(tilekeep_request_wait_block(request, 0, &second) == TILEKEEP_OK);
    tilekeep_request_free(request);
    tilekeep_close(dataset);
    CHECK(first.data == second.data && first.token != second.token && first.token != 0);
    CHECK(tilekeep_unlock_block(&first) == TILEKEEP_OK);
    FAILS(INVALID, tilekeep_unlock_block(&first));
    CHECK(((const unsigned char *)second.data)[255] == 8);
    CHECK(tilekeep_unlock_block(&second) == TILEKEEP_OK);
}

static void a_buffer_is_free_when_its_request_was_taken_back(tilekeep_requests *requests)
{
    tilekeep_dataset *dataset = open_gate();
    tilekeep_request *asked[64];
    tilekeep_window window = window_of(0, 0, 64, 64);
    int i, n_begun = get(&gate.n_begun);

    set(&gate.is_open, 0);
    for (i = 0; i < 64; i++) {
        unsigned char *buffer = (unsigned char *)malloc(4096);
        struct wish wish;
        tilekeep_window_callback callback = window_callback(&wish, NULL, 0);
        window.x = (uint64_t)i;
        CHECK(buffer != NULL);
        CHECK(tilekeep_request_window(requests, dataset, &window, buffer, 4096, 0, i % 2 == 0 ? &callback : NULL,
                                      &asked[i]) == TILEKEEP_OK);
        if (i == 3) {
            wait_for(&gate.n_begun, n_begun + 1);
        }
        if (i % 4 < 2) {
            CHECK(tilekeep_request_cancel(asked[i]) == TILEKEEP_OK);
            FAILS(TILEKEEP_ERR_CANCELLED, tilekeep_request_wait(asked[i], TILEKEEP_WAIT_FOREVER, NULL));
        } else {
            tilekeep_request_free(asked[i]);
            asked[i] = NULL;
        }
        CHECK(i % 2 == 1 || (wish.n_told == 1 && wish.n_destroyed == 1 && wish.status == TILEKEEP_ERR_CANCELLED));
        free(buffer);
    }
    set(&gate.is_open, 1);
    wait_idle(requests);
    for (i = 0; i < 64; i++) {
        tilekeep_request_free(asked[i]);
    }
    tilekeep_close(dataset);
}

static void callbacks_hear_of_blocks_and_windows(tilekeep_requests *requests)
{
    enum { N = 32 };
    static unsigned char buffers[2 * N][256];
    static struct wish wishes[4 * N];
    tilekeep_dataset *dataset = open_gate();
    int i, n_destroyed = get(&gate.n_destroyed);

    for (i = 0; i < N; i++) {
        tilekeep_window window = window_of((uint64_t)i * 16, 16, 16, 16);
        tilekeep_block_callback copied = block_callback(&wishes[4 * i], buffers[2 * i], i + 1);
        tilekeep_block_callback lent = block_callback(&wishes[4 * i + 1], NULL, i + 1);
        tilekeep_window_callback callback = window_callback(&wishes[4 * i + 2], buffers[2 * i + 1], i + 1);
        tilekeep_block_callback silent = block_callback(&wishes[4 * i + 3], NULL, 0);
        uint32_t col = (uint32_t)i;
        silent.arrived = NULL;
        CHECK(tilekeep_request_block(requests, dataset, 0, col, 1, NULL, buffers[2 * i], 256, i, &copied, NULL) ==
              TILEKEEP_OK);
        CHECK(tilekeep_request_block(requests, dataset, 0, col, 1, NULL, NULL, 0, 0, &lent, NULL) == TILEKEEP_OK);
        CHECK(tilekeep_request_window(requests, dataset, &window, buffers[2 * i + 1], 256, 0, &callback, NULL) ==
              TILEKEEP_OK);
        CHECK(tilekeep_request_block(requests, dataset, 0, col, 2, NULL, NULL, 0, 0, &silent, NULL) == TILEKEEP_OK);
    }
    wait_for(&gate.n_destroyed, n_destroyed + 4 * N);
    for (i = 0; i < 4 * N; i++) {
        CHECK(wishes[i].n_told == (i % 4 < 3) && wishes[i].n_destroyed == 1 && wishes[i].status == TILEKEEP_OK);
    }
    tilekeep_close(dataset);
}

static int is_readable(int fd, int timeout_ms)
{
    struct pollfd waited;
    waited.fd = fd;
    waited.events = POLLIN;
    waited.revents = 0;
    return poll(&waited, 1, timeout_ms);
}

#define N_ASKERS 4
#define N_EACH 250

static struct {
    tilekeep_requests *requests;
    tilekeep_dataset *dataset;
    tilekeep_request *asked[N_ASKERS * N_EACH];
    int n_asked;
} shared;

static void *asks(void *user_data)
{
    uint32_t asker = (uint32_t)(*(int *)user_data), n;
    for (n = 0; n < N_EACH; n++) {
        uint32_t place = asker * N_EACH + n;
        tilekeep_request *request = NULL;
        CHECK(tilekeep_request_block(shared.requests, shared.dataset, 0, place % 40, place / 40, NULL, NULL, 0, 0, NULL,
                                     &request) == TILEKEEP_OK);
        if (n % 5 == 0) {
            CHECK(tilekeep_request_cancel(request) == TILEKEEP_OK);
        }
        pthread_mutex_lock(&gate.mutex);
        shared.asked[shared.n_asked++] = request;
        pthread_mutex_unlock(&gate.mutex);
    }
    return NULL;
}

static void an_event_loop_waits_on_a_descriptor(void)
{
    static const int numbers[N_ASKERS] = {0, 1, 2, 3};
    tilekeep_requests *requests = NULL;
    tilekeep_dataset *dataset = open_gate();
    tilekeep_request *request = NULL;
    pthread_t threads[N_ASKERS];
    int32_t fd = -1, again = -1, is_answered = -1;
    int i, n_answered = 0;

    CHECK(tilekeep_requests_new(3, &requests) == TILEKEEP_OK);
    FAILS(INVALID, tilekeep_requests_fd(requests, NULL));
    FAILS(INVALID, tilekeep_requests_fd(NULL, &fd));
    CHECK(tilekeep_requests_fd(requests, &fd) == TILEKEEP_OK && fd >= 0);
    CHECK(tilekeep_requests_fd(requests, &again) == TILEKEEP_OK && again == fd);
    set(&gate.is_open, 0);
    CHECK(tilekeep_request_block(requests, dataset, 0, 0, 0, NULL, NULL, 0, 0, NULL, &request) == TILEKEEP_OK);
    CHECK(is_readable(fd, 0) == 0);
    set(&gate.is_open, 1);
    CHECK(is_readable(fd, -1) == 1 && is_readable(fd, -1) == 1);
    CHECK(tilekeep_request_poll(request, &is_answered) == TILEKEEP_OK && is_answered == 1 && is_readable(fd, 0) == 0);
    CHECK(tilekeep_request_wait(request, 0, NULL) == TILEKEEP_OK && is_readable(fd, 0) == 0);
    tilekeep_request_free(request);

    /* It sleeps on nothing else: an answer that it is not told of leaves it there for ever. */
    shared.requests = requests;
    shared.dataset = dataset;
    for (i = 0; i < N_ASKERS; i++) {
        CHECK(pthread_create(&threads[i], NULL, asks, (void *)&numbers[i]) == 0);
    }
    while (n_answered < N_ASKERS * N_EACH) {
        CHECK(is_readable(fd, -1) == 1);
        pthread_mutex_lock(&gate.mutex);
        for (i = 0; i < shared.n_asked; i++) {
            if (shared.asked[i] != NULL) {
                CHECK(tilekeep_request_poll(shared.asked[i], &is_answered) == TILEKEEP_OK);
                if (is_answered) {
                    tilekeep_request_free(shared.asked[i]);
                    shared.asked[i] = NULL;
                    n_answered++;
                }
            }
        }
        pthread_mutex_unlock(&gate.mutex);
    }
    CHECK(is_readable(fd, 0) == 0);
    for (i = 0; i < N_ASKERS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    tilekeep_requests_free(requests);
    tilekeep_close(dataset);
}

/* Reads for as long as somebody wants it. */
static tilekeep_status read_slowly(void *user_data, uint32_t level, uint32_t col, uint32_t row, uint32_t plane,
                                   uint32_t frame, void *buffer, size_t size)
{
    (void)user_data, (void)level, (void)row, (void)plane, (void)frame, (void)buffer, (void)size;
    add(&gate.n_begun);
    while (col == 0 && !tilekeep_read_cancelled()) {
        sched_yield();
    }
    return TILEKEEP_ERR_CANCELLED;
}

static void a_source_stops_when_nobody_wants_what_it_reads(tilekeep_requests *requests)
{
    tilekeep_source source;
    tilekeep_dataset *dataset = NULL;
    tilekeep_request *first = NULL, *second = NULL;
    tilekeep_cache_stats stats;
    unsigned char buffer[256];
    int n_begun = get(&gate.n_begun);

    memset(&source, 0, sizeof source);
    source.struct_size = sizeof source;
    source.n_bands = 1;
    source.sample_type = TILEKEEP_SAMPLE_U8;
    source.read_block = read_slowly;
    source.levels = &LEVEL;
    source.n_levels = 1;
    memset(&stats, 0, sizeof stats);
    stats.struct_size = sizeof stats;
    CHECK(tilekeep_open_source(&source, NULL, &dataset) == TILEKEEP_OK);
    CHECK(tilekeep_request_block(requests, dataset, 0, 0, 0, NULL, NULL, 0, 0, NULL, &first) == TILEKEEP_OK);
    CHECK(tilekeep_request_block(requests, dataset, 0, 0, 0, NULL, buffer, 256, 0, NULL, &second) == TILEKEEP_OK);
    wait_for(&gate.n_begun, n_begun + 1);
    CHECK(tilekeep_read_cancelled() == 0);
    CHECK(tilekeep_request_cancel(first) == TILEKEEP_OK);
    /* Another one wants it still. */
    FAILS(TILEKEEP_ERR_NOT_FOUND, tilekeep_request_wait(second, 1, NULL));
    CHECK(tilekeep_request_cancel(second) == TILEKEEP_OK);
    FAILS(TILEKEEP_ERR_CANCELLED, tilekeep_request_wait(second, 0, NULL));
    wait_idle(requests);
    CHECK(tilekeep_stats(dataset, &stats) == TILEKEEP_OK);
    CHECK(stats.loads == 1 && stats.failed_loads == 0 && stats.entries == 0 && stats.loading_bytes == 0);
    /* One that stops for no reason has failed. */
    FAILS(TILEKEEP_ERR_IO, tilekeep_read_block(dataset, 0, 1, 0, NULL, buffer, sizeof buffer, NULL));
    tilekeep_request_free(first);
    tilekeep_request_free(second);
    tilekeep_close(dataset);
}

int main(void)
{
    tilekeep_requests *requests = NULL;
    tilekeep_dataset *dataset = open_gate();
    CHECK(tilekeep_requests_new(2, &requests) == TILEKEEP_OK);
    calls_that_are_wrong_fail_at_once(requests, dataset);
    answers_fill_buffers_when_they_are_looked_at(requests);
    a_block_is_lent_without_a_buffer(requests);
    a_buffer_is_free_when_its_request_was_taken_back(requests);
    callbacks_hear_of_blocks_and_windows(requests);
    an_event_loop_waits_on_a_descriptor();
    a_source_stops_when_nobody_wants_what_it_reads(requests);
    tilekeep_close(dataset);
    tilekeep_requests_free(requests);
    puts("ok");
    return 0;
}

/* Requests as a C99 program sees them: callbacks from several threads, that cancel, free and ask, and what is destroyed. */
#define _POSIX_C_SOURCE 200809L
#include "gate.h"

struct wish {
    tilekeep_requests *requests;
    tilekeep_dataset *dataset, *unread;
    /* What the callback does: asks for another tile, cancels and frees its own request, or another one. */
    int asks;
    tilekeep_request *own, *other;
    int n_told, n_destroyed;
    tilekeep_status status;
};

static void destroy(void *user_data)
{
    struct wish *wish = (struct wish *)user_data;
    CHECK(wish->n_destroyed++ == 0);
    add(&gate.n_destroyed);
}

static tilekeep_tile_callback callback_of(struct wish *wish);

static void arrived(void *user_data, tilekeep_status status, const tilekeep_tile *tile, const char *message)
{
    struct wish *wish = (struct wish *)user_data;
    CHECK(wish->n_destroyed == 0 && wish->n_told++ == 0);
    CHECK((status == TILEKEEP_OK) == (tile != NULL) && (message == NULL) == (tile != NULL));
    CHECK(tile == NULL || (tile->size > 8 && memcmp(tile->data, "\x89PNG", 4) == 0));
    wish->status = status;
    if (wish->asks) {
        static struct wish next;
        tilekeep_tile_callback callback;
        tilekeep_request *request = NULL;
        int32_t is_answered = -1;
        memset(&next, 0, sizeof next);
        callback = callback_of(&next);
        /* Nobody can answer this one, and waiting for it is refused: it does not hang. */
        set(&gate.is_open, 0);
        CHECK(tilekeep_request_tile(wish->requests, wish->unread, 0, 1, 0, NULL, 0, NULL, &request) == TILEKEEP_OK);
        FAILS(INVALID, tilekeep_request_wait(request, TILEKEEP_WAIT_FOREVER, NULL));
        FAILS(INVALID, tilekeep_request_wait(request, 0, NULL));
        CHECK(tilekeep_request_poll(request, &is_answered) == TILEKEEP_OK && is_answered == 0);
        tilekeep_request_free(request);
        set(&gate.is_open, 1);
        CHECK(tilekeep_request_tile(wish->requests, wish->dataset, 0, 999, 0, NULL, 0, &callback, NULL) == TILEKEEP_OK);
    }
    if (wish->own != NULL) {
        CHECK(tilekeep_request_cancel(wish->own) == TILEKEEP_OK);
        tilekeep_request_free(wish->own);
    }
    if (wish->other != NULL) {
        CHECK(tilekeep_request_cancel(wish->other) == TILEKEEP_OK);
        tilekeep_request_free(wish->other);
    }
    add(status == TILEKEEP_OK ? &gate.n_good : status == TILEKEEP_ERR_CANCELLED ? &gate.n_cancelled : &gate.n_told);
}

static tilekeep_tile_callback callback_of(struct wish *wish)
{
    tilekeep_tile_callback callback;
    memset(&callback, 0, sizeof callback);
    callback.struct_size = sizeof callback;
    callback.user_data = wish;
    callback.arrived = arrived;
    callback.destroy = destroy;
    return callback;
}

#define N 1000

static struct wish wishes[N];
static tilekeep_request *asked[N];

struct canceller {
    pthread_t thread;
    int first;
};

/* Cancels and frees half of the requests while others do the same and the gate opens. */
static void *cancels(void *user_data)
{
    int i;
    for (i = ((struct canceller *)user_data)->first; i < N - 1; i += 4) {
        CHECK(tilekeep_request_set_priority(asked[i], -i) == TILEKEEP_OK);
        if (i % 8 < 4) {
            CHECK(tilekeep_request_cancel(asked[i]) == TILEKEEP_OK);
        }
        if (i % 3 == 0) {
            tilekeep_request_free(asked[i]);
            asked[i] = NULL;
        }
    }
    return NULL;
}

int main(void)
{
    tilekeep_dataset *dataset = open_gate();
    tilekeep_requests *requests = NULL;
    tilekeep_request *request = NULL;
    tilekeep_tile_options options;
    tilekeep_tile_callback callback;
    tilekeep_tile tile;
    tilekeep_request_stats stats;
    struct wish wish, first, second;
    struct canceller cancellers[4];
    int32_t is_answered = -1;
    int i, n_destroyed;

    set(&gate.is_broken, 1);
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.width = options.height = 16;
    options.encoding = TILEKEEP_ENCODING_PNG;
    memset(&tile, 0, sizeof tile);
    tile.struct_size = sizeof tile;
    memset(&stats, 0, sizeof stats);
    stats.struct_size = sizeof stats;

    FAILS(INVALID, tilekeep_requests_new(0, &requests));
    FAILS(INVALID, tilekeep_requests_new(2, NULL));
    CHECK(tilekeep_requests_new(4, &requests) == TILEKEEP_OK);

    /* A call that fails destroys what it was given, and tells it nothing. */
    memset(&wish, 0, sizeof wish);
    callback = callback_of(&wish);
    FAILS(INVALID, tilekeep_request_tile(NULL, dataset, 0, 0, 0, &options, 0, &callback, &request));
    CHECK(wish.n_destroyed == 1 && wish.n_told == 0 && request == NULL);
    memset(&wish, 0, sizeof wish);
    options.encoding = 99;
    FAILS(INVALID, tilekeep_request_tile(requests, dataset, 0, 0, 0, &options, 0, &callback, &request));
    options.encoding = TILEKEEP_ENCODING_PNG;
    CHECK(wish.n_destroyed == 1 && wish.n_told == 0);
    memset(&wish, 0, sizeof wish);
    callback.struct_size = 3;
    FAILS(INVALID, tilekeep_request_tile(requests, dataset, 0, 0, 0, &options, 0, &callback, &request));
    CHECK(wish.n_destroyed == 0);
    FAILS(INVALID, tilekeep_request_tile(requests, dataset, 0, 0, 0, &options, 0, NULL, NULL));
    n_destroyed = get(&gate.n_destroyed);

    /* The first ones stand before the gate, so that the others wait. */
    for (i = 0; i < N; i++) {
        callback = callback_of(&wishes[i]);
        CHECK(tilekeep_request_tile(requests, dataset, 0, (uint32_t)i % 40, (uint32_t)i / 40, &options, i, &callback,
                                    &asked[i]) == TILEKEEP_OK);
    }
    wait_for(&gate.n_begun, 4);
    FAILS(TILEKEEP_ERR_NOT_FOUND, tilekeep_request_wait(asked[5], 0, &tile));
    CHECK(tilekeep_request_poll(asked[5], &is_answered) == TILEKEEP_OK && is_answered == 0);

    /* Cancel and free in the callback that the cancelling calls. */
    memset(&first, 0, sizeof first);
    memset(&second, 0, sizeof second);
    callback = callback_of(&first);
    CHECK(tilekeep_request_tile(requests, dataset, 0, 7, 7, &options, -5, &callback, &first.own) == TILEKEEP_OK);
    callback = callback_of(&second);
    CHECK(tilekeep_request_tile(requests, dataset, 0, 7, 7, &options, -5, &callback, &first.other) == TILEKEEP_OK);
    CHECK(tilekeep_request_cancel(first.own) == TILEKEEP_OK);
    CHECK(first.n_told == 1 && first.n_destroyed == 1 && first.status == TILEKEEP_ERR_CANCELLED);
    CHECK(second.n_told == 1 && second.n_destroyed == 1 && second.status == TILEKEEP_ERR_CANCELLED);

    for (i = 0; i < 4; i++) {
        cancellers[i].first = i;
        CHECK(pthread_create(&cancellers[i].thread, NULL, cancels, &cancellers[i]) == 0);
    }
    add(&gate.is_open);
    for (i = 0; i < 4; i++) {
        CHECK(pthread_join(cancellers[i].thread, NULL) == 0);
    }
    for (i = 0; i < N; i++) {
        tilekeep_status status = asked[i] == NULL ? 0 : tilekeep_request_wait(asked[i], TILEKEEP_WAIT_FOREVER, &tile);
        if (asked[i] == NULL) {
            continue;
        }
        CHECK(status == (i == N - 1 ? TILEKEEP_ERR_CORRUPT : TILEKEEP_OK) || status == TILEKEEP_ERR_CANCELLED);
        CHECK(status != TILEKEEP_ERR_CORRUPT || strstr(tilekeep_last_error(), "the last block is broken") != NULL);
        if (status == TILEKEEP_OK) {
            CHECK(tile.width == 16 && tilekeep_request_wait(asked[i], 0, NULL) == TILEKEEP_OK);
            tilekeep_free_tile(&tile);
        }
        CHECK(tilekeep_request_poll(asked[i], &is_answered) == TILEKEEP_OK && is_answered == 1);
        tilekeep_request_free(asked[i]);
    }
    wait_for(&gate.n_destroyed, n_destroyed + N + 2);
    CHECK(get(&gate.n_good) + get(&gate.n_cancelled) + get(&gate.n_told) == N + 2 && get(&gate.n_told) == 1);
    for (i = 0; i < N; i++) {
        CHECK(wishes[i].n_told == 1 && wishes[i].n_destroyed == 1);
    }
    /* A thread may still be about to count that it came too late. */
    do {
        CHECK(tilekeep_requests_stats(requests, &stats) == TILEKEEP_OK && stats.queued == 0);
    } while (stats.answered + stats.cancelled != N + 2);
    CHECK(stats.failed <= 1);

    /* A callback that asks again, without a handle. */
    memset(&wish, 0, sizeof wish);
    wish.requests = requests;
    wish.dataset = dataset;
    wish.unread = open_gate();
    wish.asks = 1;
    callback = callback_of(&wish);
    CHECK(tilekeep_request_tile(requests, dataset, 0, 2, 2, &options, 0, &callback, NULL) == TILEKEEP_OK);
    wait_for(&gate.n_destroyed, n_destroyed + N + 4);
    CHECK(tilekeep_request_tile(requests, dataset, 0, 3, 3, &options, 0, NULL, &request) == TILEKEEP_OK);
    CHECK(tilekeep_request_wait(request, TILEKEEP_WAIT_FOREVER, &tile) == TILEKEEP_OK);
    tilekeep_free_tile(&tile);
    tilekeep_close(dataset);
    tilekeep_close(wish.unread);
    tilekeep_requests_free(requests);
    tilekeep_requests_free(NULL);
    /* It outlives them, and there is nobody left to answer another. */
    CHECK(tilekeep_request_wait(request, 0, NULL) == TILEKEEP_OK);
    CHECK(tilekeep_request_cancel(request) == TILEKEEP_OK);
    tilekeep_request_free(request);
    tilekeep_request_free(NULL);
    FAILS(INVALID, tilekeep_request_cancel(NULL));
    puts("ok");
    return 0;
}

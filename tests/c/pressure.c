/* Watching memory as a C99 program sees it: what is told, and to whom; what is released when, and how often. */
#define _POSIX_C_SOURCE 200809L
#include "abi.h"

#include <pthread.h>

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    tilekeep_pressure_watch *watch;
    int n_told, level, n_destroyed;
    /* What the callback does with watch. */
    int checks, frees;
} heard = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, 0, -1, 0, 0, 0};

static void changed(void *user_data, const tilekeep_pressure_stats *stats)
{
    tilekeep_pressure_watch *watch;
    CHECK(user_data == &heard && stats->struct_size == sizeof *stats);
    pthread_mutex_lock(&heard.mutex);
    ++heard.n_told;
    heard.level = stats->level;
    watch = heard.watch;
    if (heard.frees) {
        heard.watch = NULL;
    }
    pthread_cond_broadcast(&heard.changed);
    pthread_mutex_unlock(&heard.mutex);
    if (watch != NULL && heard.checks) {
        tilekeep_pressure_stats now = {.struct_size = sizeof now};
        CHECK(tilekeep_pressure_watch_check(watch, &now) == TILEKEEP_OK && now.level == stats->level);
    }
    if (heard.frees) {
        tilekeep_pressure_watch_free(watch);
    }
}

static void destroy(void *user_data)
{
    CHECK(user_data == &heard);
    pthread_mutex_lock(&heard.mutex);
    ++heard.n_destroyed;
    pthread_cond_broadcast(&heard.changed);
    pthread_mutex_unlock(&heard.mutex);
}

static void wait_for(const int *counter, int n)
{
    pthread_mutex_lock(&heard.mutex);
    while (*counter < n) {
        pthread_cond_wait(&heard.changed, &heard.mutex);
    }
    pthread_mutex_unlock(&heard.mutex);
}

static const tilekeep_source_level LEVEL = {300, 200, 64, 64};

int main(void)
{
    struct counting counting;
    tilekeep_source source = counting_source(&counting, &LEVEL);
    tilekeep_dataset *dataset = NULL;
    tilekeep_block locked = {.struct_size = sizeof locked}, other = {.struct_size = sizeof other};
    const tilekeep_pressure_callback hear = {sizeof hear, 0, &heard, changed, destroy};
    tilekeep_pressure_options options = {.struct_size = sizeof options};
    tilekeep_pressure_stats stats = {.struct_size = sizeof stats};
    tilekeep_pressure_watch *watch = NULL;
    uint64_t total = 0;

    /* What is refused. */
    FAILS(INVALID, tilekeep_watch_pressure(NULL, NULL, NULL));
    FAILS(INVALID, tilekeep_watch_pressure(&options, &hear, NULL));
    CHECK(heard.n_destroyed == 1);
    options.no_thread = 2;
    FAILS(INVALID, tilekeep_watch_pressure(&options, &hear, &watch));
    CHECK(heard.n_destroyed == 2 && watch == NULL);
    options.no_thread = 0;
    options.struct_size = 3;
    FAILS(INVALID, tilekeep_watch_pressure(&options, NULL, &watch));
    options.struct_size = sizeof options;
    FAILS(INVALID, tilekeep_pressure_watch_check(NULL, &stats));
    FAILS(INVALID, tilekeep_pressure_watch_stats(NULL, &stats));
    tilekeep_pressure_watch_free(NULL);

    /* Defaults, with a thread; the total that was asked for stays what it is. */
    CHECK(tilekeep_set_total_max((uint64_t)1 << 50) == TILEKEEP_OK);
    CHECK(tilekeep_watch_pressure(NULL, NULL, &watch) == TILEKEEP_OK);
    CHECK(tilekeep_pressure_watch_stats(watch, &stats) == TILEKEEP_OK);
    CHECK(stats.struct_size == sizeof stats && stats.checks >= 1 && stats.shrinks >= 1 && stats.limit_bytes > 0);
    CHECK(stats.total_max_bytes == (uint64_t)1 << 50 && stats.total_now_bytes < stats.limit_bytes);
    CHECK(tilekeep_get_total_max(&total) == TILEKEEP_OK && total == (uint64_t)1 << 50);
    CHECK(tilekeep_pressure_watch_check(watch, NULL) == TILEKEEP_OK);
    stats.struct_size = 7;
    FAILS(INVALID, tilekeep_pressure_watch_check(watch, &stats));
    FAILS(INVALID, tilekeep_pressure_watch_stats(watch, NULL));
    stats.struct_size = sizeof stats;
    tilekeep_pressure_watch_free(watch);
    tilekeep_memory_stats memory = {.struct_size = sizeof memory};
    CHECK(tilekeep_process_stats(&memory, NULL) == TILEKEEP_OK && memory.total_now_bytes == (uint64_t)1 << 50);

    /* A limit that is used up: told at once, in this thread. What is locked stays, and nothing more is kept. */
    CHECK(tilekeep_open_source(&source, NULL, &dataset) == TILEKEEP_OK);
    CHECK(tilekeep_lock_block(dataset, 0, 1, 0, NULL, &locked) == TILEKEEP_OK);
    CHECK(tilekeep_lock_block(dataset, 0, 0, 0, NULL, &other) == TILEKEEP_OK);
    CHECK(tilekeep_unlock_block(&other) == TILEKEEP_OK && counting.n_reads == 2);
    options.no_thread = 1;
    options.limit_bytes = 1;
    CHECK(tilekeep_watch_pressure(&options, &hear, &watch) == TILEKEEP_OK);
    CHECK(heard.n_told == 1 && heard.level == TILEKEEP_PRESSURE_CRITICAL);
    CHECK(tilekeep_pressure_watch_check(watch, &stats) == TILEKEEP_OK);
    CHECK(stats.level == TILEKEEP_PRESSURE_CRITICAL && stats.checks == 2 && stats.total_now_bytes == 0);
    CHECK(stats.limit_bytes == 1 && stats.used_bytes > 1 && heard.n_told == 1);
    CHECK(*(const unsigned char *)locked.data == 64);
    FAILS(TILEKEEP_ERR_LIMIT_EXCEEDED, tilekeep_lock_block(dataset, 0, 0, 0, NULL, &other));
    tilekeep_pressure_watch_free(watch);
    CHECK(heard.n_destroyed == 3);
    CHECK(tilekeep_lock_block(dataset, 0, 0, 0, NULL, &other) == TILEKEEP_OK && counting.n_reads == 3);
    CHECK(tilekeep_unlock_block(&other) == TILEKEEP_OK && tilekeep_unlock_block(&locked) == TILEKEEP_OK);
    tilekeep_close(dataset);

    /* A thread that hears of a level looks itself, and releases the watch within the callback: so much memory is taken that
       the limit is used up, but not before there is a watch. */
    options.no_thread = 0;
    options.interval_ms = 1;
    options.limit_bytes = (uint64_t)512 << 20;
    heard.checks = 1;
    CHECK(tilekeep_watch_pressure(&options, &hear, &watch) == TILEKEEP_OK);
    CHECK(heard.n_told == 1);
    pthread_mutex_lock(&heard.mutex);
    heard.watch = watch;
    heard.frees = 1;
    pthread_mutex_unlock(&heard.mutex);
    size_t size = (size_t)512 << 20;
    char *ballast = malloc(size);
    CHECK(ballast != NULL);
    for (size_t i = 0; i < size; i += 4096) {
        ballast[i] = 1;
    }
    wait_for(&heard.n_told, 2);
    wait_for(&heard.n_destroyed, 4);
    CHECK(heard.n_told == 2 && heard.n_destroyed == 4 && heard.watch == NULL && ballast[4096] == 1);
    free(ballast);
    CHECK(tilekeep_process_stats(&memory, NULL) == TILEKEEP_OK && memory.total_now_bytes == (uint64_t)1 << 50);
    puts("ok");
    return 0;
}

/* A source that stands still until it is opened, for tests of what happens meanwhile. POSIX threads. */
#ifndef GATE_H
#define GATE_H

#define WITHOUT_SOURCE
#include "abi.h"

#include <pthread.h>

static const tilekeep_source_level LEVEL = {16 * 40, 16 * 25, 16, 16};

/* 40 x 25 blocks of 16 x 16 pixels; each pixel is the column and the row of its block, added. The last block may be broken. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int is_open, is_broken, n_begun, n_told, n_good, n_cancelled, n_destroyed;
} gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0, 0, 0, 0, 0};

static inline void add(int *counter)
{
    pthread_mutex_lock(&gate.mutex);
    ++*counter;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.mutex);
}

static inline void set(int *counter, int n)
{
    pthread_mutex_lock(&gate.mutex);
    *counter = n;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.mutex);
}

static inline int get(const int *counter)
{
    int n;
    pthread_mutex_lock(&gate.mutex);
    n = *counter;
    pthread_mutex_unlock(&gate.mutex);
    return n;
}

static inline void wait_for(const int *counter, int n)
{
    pthread_mutex_lock(&gate.mutex);
    while (*counter < n) {
        pthread_cond_wait(&gate.changed, &gate.mutex);
    }
    pthread_mutex_unlock(&gate.mutex);
}

static inline tilekeep_status read_block(void *user_data, uint32_t level, uint32_t col, uint32_t row, uint32_t plane,
                                  uint32_t frame, void *buffer, size_t size)
{
    (void)user_data, (void)level, (void)plane, (void)frame;
    add(&gate.n_begun);
    wait_for(&gate.is_open, 1);
    if (col == 39 && row == 24 && get(&gate.is_broken)) {
        tilekeep_set_last_error("the last block is broken");
        return TILEKEEP_ERR_CORRUPT;
    }
    memset(buffer, (int)(col + row), size);
    return TILEKEEP_OK;
}

/* The source as a dataset, with a cache of its own. */
static inline tilekeep_dataset *open_gate(void)
{
    tilekeep_source source;
    tilekeep_dataset *dataset = NULL;
    memset(&source, 0, sizeof source);
    source.struct_size = sizeof source;
    source.n_bands = 1;
    source.sample_type = TILEKEEP_SAMPLE_U8;
    source.read_block = read_block;
    source.levels = &LEVEL;
    source.n_levels = 1;
    CHECK(tilekeep_open_source(&source, NULL, &dataset) == TILEKEEP_OK);
    return dataset;
}

/* Returns when nothing waits and nothing runs. */
static inline void wait_idle(tilekeep_requests *requests)
{
    tilekeep_request_stats stats;
    memset(&stats, 0, sizeof stats);
    stats.struct_size = sizeof stats;
    do {
        CHECK(tilekeep_requests_stats(requests, &stats) == TILEKEEP_OK);
    } while (stats.queued + stats.running > 0);
}

#endif

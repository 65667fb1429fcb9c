// The C ABI from C++17: many threads on one dataset, and errors that stay with their thread.
#include "abi.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

static const tilekeep_source_level LEVEL = {300, 200, 64, 64};

// Like counting_read, but its count may be raised by several threads.
static std::atomic<int> reads{0};

static tilekeep_status read(void *, uint32_t, uint32_t col, uint32_t row, uint32_t, uint32_t frame, void *buffer,
                            size_t size)
{
    struct counting counting = {0, 0, 0};
    reads++;
    return counting_read(&counting, 0, col, row, 0, frame, buffer, size);
}

int main()
{
    struct counting counting;
    tilekeep_source source = counting_source(&counting, &LEVEL);
    source.read_block = read;
    tilekeep_dataset *dataset = nullptr;
    CHECK(tilekeep_open_source(&source, nullptr, &dataset) == TILEKEEP_OK);

    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 8; t++) {
        threads.emplace_back([dataset, t] {
            for (unsigned i = 0; i < 2000; i++) {
                const uint32_t at = (i * 7 + t * 3) % 20, col = at % 5, row = at / 5;
                tilekeep_block block{};
                block.struct_size = sizeof block;
                CHECK(tilekeep_lock_block(dataset, 0, col, row, nullptr, &block) == TILEKEEP_OK);
                CHECK(*static_cast<const unsigned char *>(block.data) == (unsigned char)(col * 64 + 3 * row * 64));
                CHECK(tilekeep_unlock_block(&block) == TILEKEEP_OK);
            }
            FAILS(INVALID, tilekeep_lock_block(dataset, 100 + t, 0, 0, nullptr, nullptr));
            tilekeep_level level{};
            level.struct_size = sizeof level;
            FAILS(INVALID, tilekeep_level_info(dataset, 100 + t, &level));
            CHECK(std::string(tilekeep_last_error()).find(std::to_string(100 + t)) != std::string::npos);
        });
    }
    for (auto &thread : threads) {
        thread.join();
    }
    CHECK(tilekeep_last_error()[0] == '\0');

    tilekeep_cache_stats stats{};
    stats.struct_size = sizeof stats;
    CHECK(tilekeep_stats(dataset, &stats) == TILEKEEP_OK);
    CHECK(reads == 20 && stats.loads == 20 && stats.hits + stats.misses == 16000 && stats.locked_bytes == 0);
    tilekeep_close(dataset);
    CHECK(counting.n_destroyed == 1);
    std::puts("ok");
    return 0;
}

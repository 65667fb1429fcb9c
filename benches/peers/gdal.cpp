// gdal FILE THREADS: reads all pixels of FILE, pixel-interleaved, in windows as wide as the file and a row of tiles high.
// Each thread has a dataset of its own, as GDAL asks for.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <thread>
#include <vector>

#include <gdal.h>

#include "common.h"

static const int ROWS = 256;

int main(int argc, char **argv)
{
    if (argc != 3) {
        return 2;
    }
    GDALAllRegister();
    std::atomic<int> next{0};
    std::atomic<unsigned long long> bytes{0};
    std::atomic<bool> failed{false};
    auto read = [&] {
        GDALDatasetH dataset = GDALOpen(argv[1], GA_ReadOnly);
        if (dataset == nullptr) {
            failed = true;
            return;
        }
        const int width = GDALGetRasterXSize(dataset), height = GDALGetRasterYSize(dataset);
        const int n_bands = GDALGetRasterCount(dataset);
        const GDALDataType type = GDALGetRasterDataType(GDALGetRasterBand(dataset, 1));
        const int sample = GDALGetDataTypeSizeBytes(type), pixel = sample * n_bands;
        std::vector<char> out(static_cast<size_t>(width) * ROWS * pixel);
        for (int y = ROWS * next++; y < height; y = ROWS * next++) {
            const int h = std::min(ROWS, height - y);
            if (GDALDatasetRasterIO(dataset, GF_Read, 0, y, width, h, out.data(), width, h, type, n_bands, nullptr,
                                    pixel, pixel * width, sample) != CE_None) {
                failed = true;
                break;
            }
            bytes += static_cast<unsigned long long>(width) * h * pixel;
        }
        GDALClose(dataset);
    };
    const double start = seconds();
    std::vector<std::thread> threads;
    for (int i = 1; i < atoi(argv[2]); i++) {
        threads.emplace_back(read);
    }
    read();
    for (auto &thread : threads) {
        thread.join();
    }
    return failed ? 1 : report(start, bytes);
}

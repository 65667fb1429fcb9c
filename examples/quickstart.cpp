// Opens a raster, looks into a block without copying it, and writes a tile as PNG.
//
//     quickstart FILE [TILE.png]
#include <fstream>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <tilekeep.h>

namespace {

void must(tilekeep_status status)
{
    if (status != TILEKEEP_OK) {
        throw std::runtime_error(tilekeep_last_error());
    }
}

struct Close {
    void operator()(tilekeep_dataset *dataset) const { tilekeep_close(dataset); }
};
using Dataset = std::unique_ptr<tilekeep_dataset, Close>;

Dataset open(const std::string &path)
{
    tilekeep_dataset *dataset = nullptr;
    must(tilekeep_open(path.c_str(), nullptr, &dataset));
    return Dataset(dataset);
}

// A block that is lent for as long as this lives.
class Lock {
public:
    Lock(const Dataset &dataset, std::uint32_t level, std::uint32_t col, std::uint32_t row)
    {
        block_.struct_size = sizeof block_;
        must(tilekeep_lock_block(dataset.get(), level, col, row, nullptr, &block_));
    }
    ~Lock() { tilekeep_unlock_block(&block_); }
    Lock(const Lock &) = delete;
    Lock &operator=(const Lock &) = delete;

    const tilekeep_block *operator->() const { return &block_; }

private:
    tilekeep_block block_{};
};

} // namespace

int main(int argc, char **argv)
try {
    if (argc < 2) {
        std::cerr << "usage: quickstart FILE [TILE.png]\n";
        return 2;
    }
    const Dataset dataset = open(argv[1]);
    {
        const Lock block(dataset, 0, 0, 0);
        std::cout << "first block: " << block->width << "x" << block->height << " pixels, first byte "
                  << int(*static_cast<const unsigned char *>(block->data)) << "\n";
    }
    tilekeep_tile_options options{};
    options.struct_size = sizeof options;
    options.encoding = TILEKEEP_ENCODING_PNG;
    options.has_range = 1;
    options.range_max = 255;
    tilekeep_tile tile{};
    tile.struct_size = sizeof tile;
    must(tilekeep_read_tile(dataset.get(), 0, 0, 0, &options, &tile));
    std::ofstream(argc > 2 ? argv[2] : "tile.png", std::ios::binary)
        .write(static_cast<const char *>(tile.data), static_cast<std::streamsize>(tile.size));
    std::cout << "tile: " << tile.width << "x" << tile.height << " pixels\n";
    tilekeep_free_tile(&tile);
    return 0;
} catch (const std::exception &error) {
    std::cerr << "quickstart: " << error.what() << "\n";
    return 1;
}

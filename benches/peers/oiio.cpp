// oiio FILE THREADS: reads all pixels of FILE with OpenImageIO's ImageInput, a row of tiles at a time.
#include <cstdlib>
#include <vector>

#include <OpenImageIO/imageio.h>

#include "common.h"

int main(int argc, char **argv)
{
    if (argc != 3) {
        return 2;
    }
    const int threads = atoi(argv[2]);
    OIIO::attribute("threads", threads);
    const double start = seconds();
    auto input = OIIO::ImageInput::open(argv[1]);
    if (!input) {
        fprintf(stderr, "%s\n", OIIO::geterror().c_str());
        return 1;
    }
    input->threads(threads);
    const OIIO::ImageSpec &spec = input->spec();
    const size_t pixel = spec.pixel_bytes(true);
    const int rows = spec.tile_height > 0 ? spec.tile_height : 256;
    std::vector<char> out(pixel * spec.width * rows);
    unsigned long long bytes = 0;
    for (int y = 0; y < spec.height; y += rows) {
        const int end = std::min(y + rows, spec.height);
        const bool read = spec.tile_width > 0
            ? input->read_tiles(0, 0, 0, spec.width, y, end, 0, 1, 0, spec.nchannels, spec.format, out.data())
            : input->read_scanlines(0, 0, y, end, 0, 0, spec.nchannels, spec.format, out.data());
        if (!read) {
            fprintf(stderr, "%s\n", input->geterror().c_str());
            return 1;
        }
        bytes += pixel * spec.width * (end - y);
    }
    return report(start, bytes);
}

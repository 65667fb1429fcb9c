// What the programs beside the bench have in common: a line with the seconds from before opening the file to its last
// pixel, and how many bytes of pixels there were.
#include <chrono>
#include <cstdio>

static inline double seconds()
{
    using namespace std::chrono;
    return duration<double>(steady_clock::now().time_since_epoch()).count();
}

static inline int report(double start, unsigned long long bytes)
{
    printf("%.6f %llu\n", seconds() - start, bytes);
    return 0;
}

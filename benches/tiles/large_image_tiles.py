"""Tiles by large_image: answers lines "cold|warm FILE PNG|JPEG STYLE" with seconds a tile."""

import json
import sys
import time

import large_image
from large_image.cache_util import cachesClear

if sys.argv[1:]:
    large_image.config.setConfig("cache_backend", "memcached")
    large_image.config.setConfig("cache_memcached_url", sys.argv[1])

QUALITY = {"jpegQuality": 90, "jpegSubsampling": 0}


def opened(path, encoding, style):
    """The file anew, with nothing of it in a cache."""
    cachesClear()
    return large_image.open(path, encoding=encoding, style=style, **QUALITY)


def seconds_a_tile(kind, path, encoding, style):
    source = opened(path, encoding, style)
    level = source.levels - 1
    side = 2**level
    if kind == "cold":
        start = time.perf_counter()
        for place in range(side * side):
            source.getTile(place % side, place // side, level)
        return (time.perf_counter() - start) / (side * side)
    places = [(i % 4, i // 4) for i in range(16)]
    for col, row in places:
        source.getTile(col, row, level)
    start = time.perf_counter()
    for _ in range(50):
        for col, row in places:
            source.getTile(col, row, level)
    return (time.perf_counter() - start) / 800


print("large_image", large_image.__version__, flush=True)
for line in sys.stdin:
    kind, path, encoding, style = line.rstrip("\n").split("\t")
    print(seconds_a_tile(kind, path, encoding, json.loads(style) or None), flush=True)

"""Pictures by large_image, for a test to compare: a line of JSON in, a line of JSON and bytes out.

In: {"path": a file, "style": a style or null for the samples as they are, "source": "pil", "tifffile" or "rasterio"}.
Out: [{"dtype": of numpy, "shape": [height, width, channels]}, ...], then the bytes of each array in turn, little endian;
or {"error": what was said}. For a style there are two arrays: what large_image makes of it, and what it makes of it
before it turns the samples into those of `dtype`.
"""

import importlib
import json
import logging
import os
import sys
import warnings

# GDAL neither writes files beside those it reads, nor to the standard error.
os.environ.update(GDAL_PAM_ENABLED="NO", CPL_LOG=os.devnull)

import numpy as np  # noqa: E402
import PIL.Image  # noqa: E402
from large_image.tilesource import utilities  # noqa: E402

logging.disable(logging.CRITICAL)
warnings.filterwarnings("ignore")
np.seterr(all="ignore")
PIL.Image.MAX_IMAGE_PIXELS = None


def whole(source):
    """All pixels of the finest level, tile after tile."""
    width, height, out = source.sizeX, source.sizeY, None
    for top in range(0, height, source.tileHeight):
        for left in range(0, width, source.tileWidth):
            place = (left // source.tileWidth, top // source.tileHeight, source.levels - 1)
            tile = source.getTile(*place, numpyAllowed="always")
            if out is None:
                out = np.zeros((height, width, tile.shape[2]), tile.dtype)
            part = out[top : top + source.tileHeight, left : left + source.tileWidth]
            part[:] = tile[: part.shape[0], : part.shape[1]]
    return out


opened = {}


def drawn(question, style):
    name = question["source"], question["path"]
    if name not in opened:
        module = importlib.import_module("large_image_source_" + question["source"])
        opened[name] = module.open(question["path"], style={}, noCache=True)
    # A style that is there from the start is asked for ranges before they can be had.
    opened[name].style = style
    # Thresholds are remembered by the address of a histogram, which another one may have had.
    utilities._recentThresholds.clear()
    return whole(opened[name])


def without_dtype(style):
    """The style with numbers as they come out, and all of its channels as before."""
    plain = {key: value for key, value in style.items() if key != "dtype"}
    if "bands" in plain:
        plain["bands"] = [{key: value for key, value in band.items() if key != "dtype"} for band in plain["bands"]]
    return plain


def answer(question):
    style = question["style"]
    if style is None:
        return [drawn(question, {})]
    return [drawn(question, style), drawn(question, without_dtype(style))]


out = sys.stdout.buffer
for line in sys.stdin:
    try:
        arrays = [np.ascontiguousarray(array) for array in answer(json.loads(line))]
        arrays = [array.astype(array.dtype.newbyteorder("<"), copy=False) for array in arrays]
        head = [{"dtype": array.dtype.name, "shape": array.shape} for array in arrays]
    except Exception as error:  # Whatever it is, the test says what it means.
        arrays, head = [], {"error": f"{type(error).__name__}: {error}"}
    out.write(json.dumps(head).encode() + b"\n")
    for array in arrays:
        out.write(array.tobytes())
    out.flush()

"""tifffile_read.py FILE THREADS: reads all pixels of FILE with tifffile and imagecodecs."""
import sys
import time

import tifffile

start = time.perf_counter()
pixels = tifffile.imread(sys.argv[1], maxworkers=int(sys.argv[2]))
print(f"{time.perf_counter() - start:.6f} {pixels.nbytes}")

#!/usr/bin/env bash
# Compiles and runs what the README shows to C and C++ users, in an empty folder, by the README's own lines. The release
# library and the quickstart example must have been built.
set -euo pipefail
cd "$(dirname "$0")/.."
TILEKEEP=$PWD
export TILEKEEP
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Blocks of the section "From C and C++": one of C, then two of shell.
block() { awk -v kind="$1" '/^## /{here = /From C and C\+\+/} here && $0 == "```" kind {inside = 1; next} $0 == "```" {inside = 0} inside' README.md; }
block c >"$folder/first.c"
block sh >"$folder/lines.sh"
[ "$(grep -c . "$folder/lines.sh")" -eq 4 ] || { echo "README: expected four lines of shell" >&2; exit 1; }

cd "$folder"
"$TILEKEEP/target/release/examples/quickstart" >quickstart.txt
mv sample.tif raster.tif
rm tile.png
run() { bash -euo pipefail -c "$1"; [ -s tile.png ] || { echo "README: no tile from: $1" >&2; exit 1; }; head -c 4 tile.png | grep -q PNG; rm tile.png; }
run "$(sed -n 1,2p lines.sh)"
run "$(sed -n 3,4p lines.sh)"
valgrind -q --error-exitcode=9 --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite ./first
echo "README: the C and C++ programs write their tiles"

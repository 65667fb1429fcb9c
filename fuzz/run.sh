#!/usr/bin/env bash
# run.sh SECONDS [TARGET...]: fuzzes each target for so long, from the small corpus in the tree and, where they are at hand,
# the real files that the tests read too. A finding is a file in fuzz/artifacts, and a failure of this script.
#
# It needs no tool beside the toolchain and a C++ compiler; `cargo fuzz run TARGET` works as well. With
# FUZZ_SANITIZE=address and a nightly toolchain AddressSanitizer watches.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds="${1:?how long, in seconds}"
shift
targets=("$@")
[ "${#targets[@]}" -gt 0 ] || targets=(tiff codecs png jpeg)

host="$(rustc -vV | sed -n 's/^host: //p')"
toolchain=()
flags="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
flags+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
flags+=" -Cllvm-args=-sanitizer-coverage-trace-compares"
if [ "${FUZZ_SANITIZE:-}" = address ]; then
    toolchain=(+nightly)
    flags+=" -Zsanitizer=address -Cunsafe-allow-abi-mismatch=sanitizer"
fi
RUSTFLAGS="$flags" cargo "${toolchain[@]}" build --release --manifest-path fuzz/Cargo.toml --target "$host" \
    --target-dir target/fuzz
programs="target/fuzz/$host/release"

real=../shared/data/files
for target in "${targets[@]}"; do
    work="target/fuzz/corpus/$target"
    mkdir -p "$work" fuzz/artifacts
    folders=("$work" "fuzz/corpus/$target")
    case "$target" in
    tiff) names=(-iname '*.tif' -o -iname '*.tiff') ;;
    png) names=(-iname '*.png') ;;
    jpeg) names=(-iname '*.jpg' -o -iname '*.jpeg') ;;
    *) names=(-name '') ;;
    esac
    if [ -d "$real" ]; then
        seeds="target/fuzz/seeds/$target"
        rm -rf "$seeds"
        mkdir -p "$seeds"
        find "$real" -type f -size -64k \( "${names[@]}" \) | while read -r file; do
            cp "$file" "$seeds/$(echo "$file" | cksum | cut -d' ' -f1)"
        done
        folders+=("$seeds")
    fi
    echo "$target: $seconds s"
    "$programs/$target" "${folders[@]}" -max_total_time="$seconds" -max_len=65536 -timeout=20 -rss_limit_mb=1024 \
        -artifact_prefix="fuzz/artifacts/$target-" -print_final_stats=1 -verbosity=0 -close_fd_mask=1 \
        2>&1 | grep -E '^(stat::number|stat::peak|==|SUMMARY|ALARM|thread)|panicked|artifact' || { echo "$target: a finding"; exit 1; }
done

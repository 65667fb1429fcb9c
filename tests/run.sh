#!/usr/bin/env bash
# Runs all tests. Installs what they need beside Rust, where it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
need() { command -v "$1" >/dev/null 2>&1 || missing+=("$2"); }
need cc gcc
need c++ g++
need gdal_translate gdal-bin
need memcached memcached
need redis-server redis-server
need strace strace
need valgrind valgrind
need chromium chromium
python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || missing+=(python3-venv)
if [ "${#missing[@]}" -gt 0 ]; then
    sudo=()
    [ "$(id -u)" -eq 0 ] || sudo=(sudo)
    "${sudo[@]}" apt-get update -q
    DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -qy --no-install-recommends "${missing[@]}"
fi

# large_image in a Python of its own, made anew when it shall have something else.
if [ -z "${TILEKEEP_PYTHON:-}" ]; then
    wanted=tests/large_image/requirements.txt
    made="${CARGO_TARGET_DIR:-$PWD/target}/large_image"
    if ! cmp -s "$wanted" "$made/requirements.txt"; then
        python3 -m venv --clear "$made"
        "$made/bin/python" -m pip install -q --disable-pip-version-check -r "$wanted"
        cp "$wanted" "$made/requirements.txt"
    fi
    export TILEKEEP_PYTHON="$made/bin/python"
fi

# A peer that is missing now is a failure, not a test that was skipped.
export TILEKEEP_REQUIRE_PEERS=1
# So is a viewer's control group, where one can be made.
can_limit() {
    local parent="$1" limit="$2" group="$1/tilekeep-$$" done=1
    [ -e "$parent/cgroup.procs" ] || return 1
    # Version 2 limits memory only where the group above says so.
    echo +memory 2>/dev/null >"$parent/cgroup.subtree_control" || true
    mkdir "$group" 2>/dev/null || return 1
    echo 536870912 2>/dev/null >"$group/$limit" && done=0
    rmdir "$group"
    return "$done"
}
if can_limit /sys/fs/cgroup/memory memory.limit_in_bytes || can_limit /sys/fs/cgroup memory.max; then
    export TILEKEEP_REQUIRE_GROUPS=1
else
    echo "SKIPPED: no control group can be made here: tests/pressure.rs only says the limit of 512 MiB"
fi
# With the codecs and stores that are off by default.
more=(--features jpeg2000,jpegxl,redis)
cargo test "${more[@]}"
# Once more for what it prints: files read, unsupported and refused, by codec; or that the real files are not there.
cargo test "${more[@]}" --test real_files -- --nocapture --test-threads 1
# The same without any C code, and without what is optional.
cargo test --no-default-features --lib --test tiff_variants --test tiff_predictors --test tiff_overviews --test tiff_pictures --test threads
# The C program of the README, in an empty folder, by the README's own lines; and once more under valgrind.
cargo build --release --example quickstart
cargo build --release
bash tests/readme.sh

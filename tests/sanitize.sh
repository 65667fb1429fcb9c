#!/usr/bin/env bash
# The tests of what threads share and of raw memory: in schedules that a model checker chooses, under valgrind's memcheck,
# and under ThreadSanitizer and AddressSanitizer where a nightly toolchain is installed; there also the C programs whose
# callbacks come from several threads, with the library, under ThreadSanitizer, and where nightly has Miri those that are
# short enough to be interpreted.
set -euo pipefail
cd "$(dirname "$0")/.."

host="$(rustc -vV | sed -n 's/^host: //p')"
tests=(cache::tests cache::slots cache::index cache::touches cache::total cancel:: memory:: request:: source::together)

RUSTFLAGS="--cfg shuttle" CARGO_TARGET_DIR=target/shuttle cargo test --no-default-features --lib races

runner="CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$host")_RUNNER"
env "$runner=valgrind -q --error-exitcode=9" cargo test --lib -- "${tests[@]}"

if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "no nightly toolchain: no sanitizers"
    exit 0
fi
for sanitizer in thread address; do
    RUSTFLAGS="-Zsanitizer=$sanitizer -Cunsafe-allow-abi-mismatch=sanitizer" \
        TSAN_OPTIONS="suppressions=$PWD/tests/tsan.supp" PROPTEST_CASES=64 \
        CARGO_TARGET_DIR="target/sanitize-$sanitizer" \
        cargo +nightly test --no-default-features --lib --target "$host" -- "${tests[@]}"
done

# What the compilers put into the C and the Rust code talks to one runtime, Rust's.
library="target/sanitize-thread/$host/debug"
runtime="$(rustc +nightly --print sysroot)/lib/rustlib/$host/lib/librustc-nightly_rt.tsan.a"
RUSTFLAGS="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer" CARGO_TARGET_DIR=target/sanitize-thread \
    cargo +nightly build --no-default-features --lib --target "$host"
for program in requests request_kinds viewports; do
    cc -std=c99 -g -pthread -fsanitize=thread -Iinclude -c "tests/c/$program.c" -o "$library/$program.o"
    cc -pthread "$library/$program.o" -Wl,--whole-archive "$runtime" -Wl,--no-whole-archive -Wl,--export-dynamic \
        -L"$library" -Wl,-rpath,"$PWD/$library" -ltilekeep -lm -ldl -lrt -o "$library/$program"
    TSAN_OPTIONS="suppressions=$PWD/tests/tsan.supp" "$library/$program"
done

if ! cargo +nightly miri --version >/dev/null 2>&1; then
    echo "no Miri"
    exit 0
fi
PROPTEST_CASES=1 MIRIFLAGS=-Zmiri-disable-isolation CARGO_TARGET_DIR=target/miri \
    cargo +nightly miri test --no-default-features --lib -- \
    cache::slots cache::index cache::touches memory::sparse

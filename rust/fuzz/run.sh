#!/bin/sh
# Each target for some seconds (60 unless told): rust/fuzz/run.sh [SECONDS] [TARGET...]
# What it stumbles over goes to artifacts/; keep such a file in tests/corpus/TARGET/, where the test `hostile` replays it.
set -eu
cd "$(dirname "$0")"
seconds=${1:-60}
[ $# -gt 0 ] && shift
if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
    echo "skipped: no cargo-fuzz with a nightly toolchain (rustup toolchain install nightly; cargo install cargo-fuzz)"
    exit 0
fi
for target in ${*:-level info pack}; do
    mkdir -p "corpus/$target"
    seeds="../../tests/corpus/$target ../../tests/golden/oddities"
    # shellcheck disable=SC2086 # two folders
    cargo +nightly fuzz run --fuzz-dir . "$target" "corpus/$target" $seeds -- \
        -dict=json.dict -max_total_time="$seconds" -max_len=8192 -rss_limit_mb=2048 -timeout=20
done

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
for target in ${*:-level info pack audio tags features}; do
    mkdir -p "corpus/$target"
    case $target in
        audio | tags) more="../../tests/golden/audio -max_len=65536" ;;
        features) more="-max_len=8192" ;;
        *) more="../../tests/golden/oddities -dict=json.dict -max_len=8192" ;;
    esac
    # shellcheck disable=SC2086 # folder and options
    cargo +nightly fuzz run --fuzz-dir . "$target" "corpus/$target" "../../tests/corpus/$target" -- \
        $more -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=20
done

#!/bin/sh
# Compares what this library reads with bsmap, over the corpus where it is and over made-up packs always.
set -eu
cd "$(dirname "$0")"
if ! command -v node >/dev/null 2>&1 || ! command -v npm >/dev/null 2>&1; then
    echo "skipped: no Node.js, so no comparison with bsmap"
    exit 0
fi
npm ci --no-audit --no-fund --silent
dump() { cargo run --quiet --package beatweaver-core --example dump -- "$@"; }
echo "made-up packs:"
dump | node compare.mjs
corpus="${BEATWEAVER_CORPUS:-../../../shared}/corpus/raw"
if [ -d "$corpus" ]; then
    echo "corpus:"
    dump "$corpus" | node compare.mjs
else
    echo "skipped: no corpus at $corpus (set BEATWEAVER_CORPUS)"
fi

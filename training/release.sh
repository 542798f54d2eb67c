#!/bin/sh
# From checkpoints to what is shipped: export, cards, gates, hashes.
# usage: ./release.sh [KIND ...]      KIND: language models to export first (mamba2 mamba llama)
# Weights go into models/; the fast build is made again, since it has the hashes compiled in.
set -eu
cd "$(dirname "$0")"
state=${STATE:-/tmp/whittle-train}
for kind in "$@"; do
    python export.py "$state/runs/$kind/ckpt.pt" "../models/lm-$kind" --tokenizer "$state/lmdata/tokenizer.json"
done
python make_index.py
(cd .. && cargo build --profile fast --bin whittle)
python cards.py --state "$state"
python gates.py --state "$state" || echo "some gates fail: the cards say which"
python make_index.py

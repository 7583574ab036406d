#!/bin/sh
# Measures the engine on this machine's GPU against diffusers' pipeline, with a full-size model of random weights, in at
# most 8 minutes. Needs 25 GB of disk and 45 GB of GPU memory. Writes build/gpu.json, or what is named.
#   sh benchmarks/gpu.sh [OUT.json] [FOLDER FOR THE WEIGHTS]
set -eu
export OUT="${1:-build/gpu.json}" FOLDER="${2:-build/random-weights}" PYTHON="${PYTHON:-python3}"
"$PYTHON" -c 'import sys, torch; sys.exit(None if torch.cuda.is_available() else "There is no CUDA GPU here.")' || {
    echo "Run it where a GPU is, and with PYTHON=.venv/bin/python if torch is installed there." >&2
    exit 2
}
exec timeout 480 sh -euc '
    [ -f "$FOLDER/model_index.json" ] || "$PYTHON" -m benchmarks.random_weights "$FOLDER"
    "$PYTHON" -m benchmarks.gpu "$FOLDER" --out "$OUT"
'

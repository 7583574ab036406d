#!/bin/sh
# Measures the engine on this machine's GPU against diffusers' pipeline, with a full-size model of random weights, in at
# most 8 minutes. Needs 25 GB of disk and 45 GB of GPU memory. Writes build/gpu.json, or what is named.
#   sh benchmarks/gpu.sh [OUT.json] [FOLDER FOR THE WEIGHTS]
set -eu
out=${1:-build/gpu.json}
folder=${2:-build/random-weights}
python=${PYTHON:-python3}
[ -f "$folder/model_index.json" ] || "$python" -m benchmarks.random_weights "$folder"
exec timeout 480 "$python" -m benchmarks.gpu "$folder" --out "$out"

#!/usr/bin/env bash
# Checks and measures acz on a machine with a card, in about 8 minutes. It needs no network.
#   scripts/on_gpu.sh [OUT]     the results are in the folder OUT, by default on_gpu
# Variables: PYTHON, the interpreter that has acz and a framework; BACKEND and DEVICE; CHECKED, patterns of models;
# PRECISIONS; HIDDEN and LARGE, the models whose training steps are measured; VIDEOS of each; UNITS, the option that sets
# the units of HIDDEN; PATIENCE, by which the seconds of each part are multiplied.
set -uo pipefail
out=${1:-on_gpu} python=${PYTHON:-python3} backend=${BACKEND:-torch} device=${DEVICE:-GPU}
read -ra checked <<< "${CHECKED:-layers/* flash_mnist/* youtube8m/*}"
read -ra precisions <<< "${PRECISIONS:-float64 float32 tf32 bfloat16 float16}"
hidden=${HIDDEN:-flash_mnist/attention_cluster_hidden} large=${LARGE:-youtube8m/attention_cluster}
videos=${VIDEOS:-6400 1024}
mkdir -p "$out"
out=$(realpath "$out")
failed=0

part() {  # NAME SECONDS WORD...: its words are in OUT/NAME.txt; one that fails does not end the others
  local name=$1 limit=$(($2 * ${PATIENCE:-1})) begin=$SECONDS code=0
  shift 2
  timeout "$limit" "$@" > "$out/$name.txt" 2>&1 || code=$?
  echo "$name: exit code $code, $((SECONDS - begin)) s" | tee -a "$out/parts.txt"
  [ "$code" = 0 ] || failed=1
}

: > "$out/parts.txt"
part card 10 sh -c 'if command -v nvidia-smi; then nvidia-smi -L; else echo "no nvidia-smi here"; fi'
words=()
for precision in "${precisions[@]}"; do
  words+=(--precision "$precision")
done
for pattern in "${checked[@]}"; do  # each has a file of its own: one that runs out of time takes no other with it
  name=parity_${pattern//[^a-z0-9_]/}
  part "$name" 80 "$python" -m acz parity-check "$pattern" --backends "$backend" --device "$device" \
    --level 1 --level 2 --level 3 "${words[@]}" --csv "$out/$name.csv"
done

part data 30 "$python" - "$out" "$hidden" "$large" $videos << 'PYTHON'
import sys

import numpy as np

import acz

out, *models = sys.argv[1:4]
source = np.random.default_rng(0)
for name, model, count in zip(("hidden", "large"), models, map(int, sys.argv[4:6]), strict=True):
    spec = acz.load_spec(model)
    splits = {}
    for split, videos in (("train", count), ("test", 64)):
        splits[split] = {
            key: source.integers(0, 256, (videos, entry.frames, entry.features), np.uint8)
            if entry.dtype == "uint8"
            else source.standard_normal((videos, entry.frames, entry.features), np.float32)
            for key, entry in spec.inputs.items()
        }
        one_label = spec.output == "softmax"
        labels = source.integers(0, spec.width, videos)
        splits[split]["labels"] = labels if one_label else np.eye(spec.width, dtype=np.uint8)[labels]
    acz.write_data(f"{out}/data/{name}", splits, classes=spec.width)
PYTHON
for precision in "${precisions[@]}"; do
  [ "$precision" = float64 ] && continue  # a card for training is slow in it
  options=(--backend "$backend" --device "$device" --precision "$precision" --set train.epochs=3)
  part "hidden_$precision" 25 "$python" -m acz train "$hidden" "${options[@]}" --set train.batch_size=64 \
    --data "$out/data/hidden" --out "$out/runs/hidden_$precision" ${UNITS---set model.streams.features.layers.attention.units=128}
  part "large_$precision" 25 "$python" -m acz train "$large" "${options[@]}" --set train.batch_size=256 \
    --data "$out/data/large" --out "$out/runs/large_$precision"
done
part steps 10 "$python" - "$out" << 'PYTHON'
import csv
import json
import sys
from pathlib import Path

out = Path(sys.argv[1])
with (out / "steps.csv").open("w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["run", "model", "device", "precision", "batch", "step_ms"])
    for log in sorted(out.glob("runs/*/metrics.jsonl")):
        run = json.loads((log.parent / "run.json").read_text())
        last = [line for line in map(json.loads, log.read_text().splitlines()) if line["kind"] == "train"][-1]
        recipe = run["config"]["train"]
        milliseconds = 1000 * recipe["batch_size"] / last["videos_per_second"]
        kind = log.parent.name.partition("_")[2]
        table.writerow([log.parent.name, run["name"], run["device"], kind, recipe["batch_size"], f"{milliseconds:.3f}"])
PYTHON
cat "$out/steps.csv"
exit "$failed"

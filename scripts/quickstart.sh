#!/usr/bin/env bash
# Set up with PyTorch alone and do the main job: make Flash-MNIST from scikit-learn's digits, train the attention cluster on it.
# Everything stays in this checkout: .venv, data/flash-digits, runs/.
#
#   scripts/quickstart.sh            the attention cluster on Flash-MNIST; more words go to acz train
#   scripts/quickstart.sh --videos   from video files to a page about a new one: docs/videos.md, with 200 clips
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh

check_python .venv 3.11 3.12 3.13
if [ "${1:-}" = --videos ]; then
  install .venv constraints.txt ".[torch,video]"
  .venv/bin/acz data clips --count 200 --out data/clip-files
  .venv/bin/acz data videos data/clip-files --out data/clips
  [ -f runs/clips/run.json ] || .venv/bin/acz train docs/videos.yaml --backend torch --out runs/clips
  .venv/bin/acz eval runs/clips
  .venv/bin/acz data clips --count 10 --seed 1 --out data/new-clips
  .venv/bin/acz infer runs/clips --video data/new-clips/7 --out clip.html
  echo "next: open clip.html in a browser     docs/videos.md says how to use videos of your own"
  exit
fi
install .venv constraints.txt ".[torch]"

.venv/bin/acz train --backend torch "$@"
echo "next: .venv/bin/acz eval --backend numpy     .venv/bin/acz parity-check     .venv/bin/acz --help"

#!/usr/bin/env bash
# Set up with PyTorch alone and do the main job: make Flash-MNIST from scikit-learn's digits, train the attention cluster on it.
# Everything stays in this checkout: .venv, data/flash-digits, runs/.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh

check_python .venv 3.11 3.12 3.13
install .venv constraints.txt ".[torch]"

.venv/bin/acz train --backend torch "$@"
echo "next: .venv/bin/acz eval --backend numpy     .venv/bin/acz parity-check     .venv/bin/acz --help"

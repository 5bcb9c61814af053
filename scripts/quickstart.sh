#!/usr/bin/env bash
# Set up with PyTorch alone and do the main job: make Flash-MNIST from scikit-learn's digits, train the attention cluster on it.
# Everything stays in this checkout: .venv, data/flash-digits, runs/.
set -euo pipefail
cd "$(dirname "$0")/.."

[ -x .venv/bin/python ] || "${PYTHON:-python3}" -m venv .venv
echo "installing acz with PyTorch into .venv ..."
.venv/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[torch]"

.venv/bin/acz train --backend torch "$@"
echo "next: .venv/bin/acz eval --backend numpy     .venv/bin/acz parity-check     .venv/bin/acz --help"

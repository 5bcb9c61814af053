#!/usr/bin/env bash
# Put every artefact and native module into the hands of other programs and compare them with the reference: docs/clients.md.
# Each client is installed into an environment of its own under build/clients, by pip or npm.
#
#   scripts/clients.sh                                            all clients, the tiny variants of all models
#   scripts/clients.sh --models flash_mnist/attention_cluster:tiny --clients openvino-f32,litert
#
# The rows go to docs/results/clients.csv, or to --out FILE. `python scripts/results.py tables` writes the page from them.
# CLIENTS_PYTHON is an interpreter with acz and all four frameworks; by default .venv, which is made.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh

if [ -z "${CLIENTS_PYTHON:-}" ]; then
  check_python .venv 3.11 3.12  # MindSpore has no wheel for 3.13
  install .venv constraints.txt ".[all]"
  CLIENTS_PYTHON=.venv/bin/python
fi
PYTHONPATH=scripts exec "$CLIENTS_PYTHON" -m clients "$@"

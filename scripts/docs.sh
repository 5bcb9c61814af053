#!/usr/bin/env bash
# Build the documentation site into build/site. A warning is an error.
set -euo pipefail
cd "$(dirname "$0")/.."

[ -x .venv/bin/python ] || "${PYTHON:-python3}" -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[docs]"
.venv/bin/python -m sphinx --quiet --fail-on-warning --keep-going --nitpicky -b html -c docs -d build/doctrees . build/site
echo "open build/site/index.html"

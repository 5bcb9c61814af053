#!/usr/bin/env bash
# Build the documentation site into build/site. A warning is an error.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh

check_python .venv 3.11 3.12 3.13
install .venv constraints.txt ".[docs]"
.venv/bin/python -m sphinx --quiet --fail-on-warning --keep-going --nitpicky -b html -c docs -d build/doctrees . build/site
echo "open build/site/index.html"

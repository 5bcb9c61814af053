#!/usr/bin/env bash
# Set up with all four frameworks and run every check: lint, types, tests; then the same with PyTorch alone and NumPy 2.
# Arguments go to pytest: scripts/test.sh -n 2 -m "not slow" is the quick part, without a framework.
set -euo pipefail
cd "$(dirname "$0")/.."

[ -x .venv/bin/python ] || "${PYTHON:-python3}" -m venv .venv
echo "installing acz with all frameworks into .venv ..."
.venv/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[all,test]"

.venv/bin/ruff check .
.venv/bin/ruff format --check --quiet .
.venv/bin/mypy
export ACZ_REQUIRE_BACKENDS=all
if [ $# -gt 0 ]; then
  .venv/bin/python -m pytest "$@"
else
  .venv/bin/python -m pytest -n 2 -m "not slow"
  .venv/bin/python -m pytest -n 2 --dist loadfile -m slow
  unset ACZ_REQUIRE_BACKENDS
  [ -x .venv-torch/bin/python ] || "${PYTHON:-python3}" -m venv .venv-torch
  echo "installing acz with PyTorch alone and NumPy 2 into .venv-torch ..."
  grep -iv '^numpy==' constraints.txt > .venv-torch/constraints.txt
  .venv-torch/bin/pip install --quiet --disable-pip-version-check --constraint .venv-torch/constraints.txt --editable ".[torch,export,report,test]" "numpy>=2,<3"
  .venv-torch/bin/python -m pytest -q -n 2 -m "not slow" tests
  # what needs another framework is skipped, and counted; what neither PyTorch alone nor NumPy 2 can change was run above
  .venv-torch/bin/python -m pytest -q -n 2 --dist loadfile -k "not kills and not mistakes and not deploy_cpp and not report_browser and not sweep and not TestCompact" parity_tests
fi

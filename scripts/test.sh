#!/usr/bin/env bash
# Checks of the project: lint, types, tests. Each part makes an environment of its own beside this folder's files.
#
#   scripts/test.sh              everything: the quick part; all four frameworks; PyTorch alone with NumPy 2; JAX
#   scripts/test.sh --quick      ruff, mypy and the tests that need no framework, in .venv-quick, which has none
#   scripts/test.sh WORD...      the words go to pytest, in .venv, which has all four: scripts/test.sh -k spec tests
#   scripts/test.sh --quick WORD...    the same in .venv-quick
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh

quick=false
if [ "${1:-}" = --quick ]; then
  quick=true
  shift
fi

check_quickly() {
  check_python .venv-quick 3.11 3.12 3.13
  install .venv-quick constraints.txt ".[test]"
  .venv-quick/bin/ruff check .
  .venv-quick/bin/ruff format --check --quiet .
  .venv-quick/bin/mypy
  .venv-quick/bin/python -m pytest -n 2 -m "not slow" "${@:-tests}"
}

if $quick; then
  check_quickly "$@"
  exit
fi
check_python .venv 3.11 3.12  # MindSpore has no wheel for 3.13
[ $# -gt 0 ] || check_quickly

install .venv constraints.txt ".[all,docs,ray,test]"
export ACZ_REQUIRE_BACKENDS=all
if [ $# -gt 0 ]; then
  exec .venv/bin/python -m pytest "$@"
fi
failed=0
part() {  # one of several: where it fails, the others still run
  "$@" || failed=1
}
# The quick part runs without a framework, and with PyTorch below. The way from digits is PyTorch's alone: it runs below.
part .venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m slow \
  --deselect parity_tests/test_backends.py::test_the_whole_way_from_digits
unset ACZ_REQUIRE_BACKENDS

mkdir -p .venv-torch
grep -iv '^numpy==' constraints.txt > .venv-torch/constraints.txt
install .venv-torch .venv-torch/constraints.txt ".[torch,ray,test]" "numpy>=2,<3"
# Processes and their messages, pages and the layout have no numbers: they are the same with NumPy 2.
part .venv-torch/bin/python -m pytest -q -n 2 -m "not slow" -k "not test_group and not test_engines and not test_launch and not test_documents and not test_design and not test_imports and not test_style and not test_walks" tests
part .venv-torch/bin/python -m pytest -q tests/test_sweep.py -k address  # Ray with NumPy 2
# What needs another framework is skipped, and counted. What neither PyTorch alone nor NumPy 2 can change was run above:
# of parity, TestLayers stays, whose small models use every layer with every setting at every level.
part .venv-torch/bin/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -k "not kills and not mistakes and not clients and not deploy_cpp and not report_browser and not sweep and not TestCompact and not TestZoo and not test_processes and not test_ranks and not test_ray" parity_tests

# JAX, a backend outside of acz. What XLA compiled for these tests before is read again.
export XDG_CONFIG_HOME=$PWD/.venv-jax-config
[ -x .venv-jax/bin/python ] || .venv-quick/bin/acz backends --create jax --folder .venv-jax
install .venv-jax backends_outside/acz_jax/constraints.txt . --editable backends_outside/acz_jax pytest pytest-xdist
export JAX_COMPILATION_CACHE_DIR=$PWD/.venv-jax/compiled JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0
part .venv-jax/bin/python -m pytest -q -n 2 backends_outside/acz_jax/tests
[ $failed = 0 ] || echo "a part of the tests failed: see above" >&2
exit $failed

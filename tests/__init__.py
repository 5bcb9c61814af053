"""Tests without a framework. Their helpers are in `conftest.py` and in `*_cases.py`."""

import pytest

pytest.register_assert_rewrite("tests.before_cases", "tests.report_cases", "tests.whole")

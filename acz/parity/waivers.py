"""Waivers: bounds that one framework can't keep, with their reasons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from acz.parity.row import Row

WAIVERS = Path(__file__).parent / "waivers.yaml"


def read_waivers(path: Path = WAIVERS) -> list[dict[str, Any]]:
    """The waivers, each with backend, model, check, precision, bound and reason."""
    found: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8")) or []
    return found


def apply_waivers(rows: list[Row], waivers: Iterable[Mapping[str, Any]], complete: bool = False) -> list[Row]:
    """Let waived rows pass within the waiver's own bound, with its reason.

    Adds a failing row for each waiver whose checks ran and need it no longer; and, where everything was run (`complete`), for
    each that fits no check of a backend that ran.
    """
    expired = []
    for waiver in waivers:
        matching = [
            row
            for row in rows
            if row.backend == waiver["backend"]
            and fnmatchcase(row.model, waiver["model"])
            and fnmatchcase(row.check, waiver["check"])
            and row.precision == waiver["precision"]
            and not row.problem
        ]
        for row in matching:
            if not row.within and row.measured <= waiver["bound"]:
                row.waiver = waiver["reason"]
        left_over = complete and not matching and any(row.backend == waiver["backend"] for row in rows)
        if left_over or (matching and all(row.within for row in matching)):
            problem = f"this waiver is no longer needed, remove it: {waiver['reason']}"
            level = matching[0].level if matching else 1
            backend, check, precision = waiver["backend"], waiver["check"], waiver["precision"]
            expired.append(Row(waiver["model"], backend, level, check, precision, 0.0, 0.0, problem=problem))
    return rows + expired

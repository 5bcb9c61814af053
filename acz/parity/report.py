"""Waivers, and the report of a comparison."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from acz.backend.versions import environment
from acz.parity.levels import LEVELS
from acz.parity.row import Row
from acz.reference.samples import Case

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


def to_json(rows: list[Row], missing: list[str]) -> dict[str, Any]:
    """The whole report as one document."""
    return {
        "passed": bool(rows) and all(row.passed for row in rows),
        "missing_backends": missing,
        "checks": [
            {
                "model": row.model,
                "backend": row.backend,
                "level": row.level,
                "check": row.check,
                "precision": row.precision,
                "measured": row.measured if np.isfinite(row.measured) else None,
                "bound": row.bound if np.isfinite(row.bound) else None,
                "where": row.where,
                "passed": row.passed,
                "waiver": row.waiver,
                "problem": row.problem,
            }
            for row in rows
        ],
    }


def to_table(rows: list[Row], cases: list[Case]) -> list[dict[str, Any]]:
    """One flat row a check, with the spec's hash and the environment, for a CSV file."""
    hashes = {case.model: case.spec.hash for case in cases}
    about = environment()
    return [
        {
            "model": row.model,
            "spec_hash": hashes.get(row.model, ""),
            "backend": row.backend,
            "device": "CPU",
            "level": row.level,
            "check_level": LEVELS[row.level],
            "check": row.check,
            "precision": row.precision,
            "measured": row.measured,
            "bound": row.bound,
            "passed": row.passed,
            "where": row.where,
            "waiver": row.waiver,
            "problem": row.problem,
            **about,
        }
        for row in rows
    ]


def summary(rows: list[Row]) -> list[list[str]]:
    """One line for each model, backend and level: of each precision the check that came nearest to its bound."""
    groups: dict[tuple[str, str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.model, row.backend, row.level), []).append(row)
    lines = []
    for (model, backend, level), members in groups.items():
        cells = []
        for precision in ("float64", "float32"):
            of_precision = [row for row in members if row.precision == precision and not row.problem]
            if not of_precision:
                cells += ["", ""]
                continue
            nearest = max(of_precision, key=lambda row: row.measured / row.bound if row.bound else row.measured)
            cells += [f"{nearest.measured:.1e}", f"{nearest.bound:.1e}"]
        verdict = "ok" if all(row.passed for row in members) else "FAIL"
        if verdict == "ok" and any(row.waiver for row in members):
            verdict = "ok, waived"
        lines.append([model, backend, f"{level} {LEVELS[level]}", *cells, verdict])
    return lines


def failures(rows: list[Row]) -> list[str]:
    """What failed, where, and by how much, a line each."""
    found = []
    for row in rows:
        if row.passed:
            continue
        what = f"{row.backend}: {row.model}, level {row.level}, {row.check} {row.precision}".rstrip()
        if row.problem:
            found.append(f"{what}: {row.problem}")
        else:
            where = f"; first at {row.where}" if row.where else ""
            found.append(f"{what}: {row.measured:.2e}, bound {row.bound:.2e}{where}")
    return found

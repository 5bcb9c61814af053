"""Waivers, and the report of a comparison."""

from __future__ import annotations

from typing import Any

import numpy as np

from acz.backend.versions import environment
from acz.parity.levels import LEVELS
from acz.parity.row import Row
from acz.reference.samples import Case


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

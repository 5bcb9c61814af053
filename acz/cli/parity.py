"""The commands `acz parity-check` and `acz verify-proof`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from acz.cli.options import Device, Json, backend_lists, model_names, print_json, print_table, run_folders


def parity_check(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL|RUN|CHECKPOINT]",
            help="A model's name, wildcards, or a YAML file, checked in its tiny variant; or the folder of a run, or a "
            "checkpoint, checked at its full size. With --show, files.",
            show_default="all models",
            autocompletion=model_names,
        ),
    ] = None,
    backends: Annotated[
        str | None,
        typer.Option(
            "--backends",
            "--backend",
            help="Names of backends, with commas between them; torch@GPU names a device. onnx is the file that level 5 writes.",
            show_default="all installed",
            autocompletion=backend_lists,
        ),
    ] = None,
    level: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            max=7,
            help="A level: 1 outputs, 2 gradients, 3 training, 4 checkpoints, 5 exports, "
            "6 several processes, 7 what 'acz backend-check' lists. May be repeated.",
            show_default="all but 6; 1 to 3 in a low precision",
        ),
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(
            help="A precision of levels 1 to 3: float64, float32, tf32, bfloat16 or float16. May be repeated.",
            show_default="float64 and float32",
        ),
    ] = None,
    device: Device = "CPU",
    data: Annotated[
        Path | None,
        typer.Option(
            help="The data on which a model is checked at its full size.", show_default="the run's, else drawn numbers"
        ),
    ] = None,
    videos: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of videos of a batch at full size. With it, or with --data, any model is checked at full size.",
            show_default="64; with --record 8",
        ),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(
            help="Write inputs, weights, the reference's answers and bounds to this file, for another machine.",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(help="Compare a backend with such a file. No reference is computed.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="With --against: the proof to write, for --show.", show_default=False)
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="Show proofs of several machines in one table: --show a.json b.json.")
    ] = False,
    mutant: Annotated[
        str | None,
        typer.Option(help="Put a known mistake into every backend. The check must then fail. See acz.parity.mutants."),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Also write every check, with versions, to this CSV file.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Prove that every backend computes the same function as the NumPy reference.

    Runs the tiny variant of each model, and small models of every layer setting, in one process for each backend.
    Prints the largest difference beside its bound. The exit code is 1 if a difference exceeds its bound.

    A run or a checkpoint is checked with its weights, at its full size, on its data and on hostile videos: the output
    of every layer, the loss, gradients along directions, and ten steps of training. proof.json is written beside it.
    """
    from acz.api.parity import check_parity, check_record, record_parity, show_proofs
    from acz.foundation.errors import CheckFailed, SpecError

    modes = {"--record": record is not None, "--against": against is not None, "--show": show}
    chosen = [name for name, given in modes.items() if given]
    if len(chosen) > 1:
        raise SpecError(f"{' and '.join(chosen)} are different tasks; give one of them")
    if out is not None and against is None:
        raise SpecError("--out is for --against; --csv writes the checks of this machine")
    if chosen and (level or precision or mutant or csv is not None):
        raise SpecError(f"{chosen[0]} takes neither --level, --precision, --mutant nor --csv; leave them out")
    if not show and len(targets or []) > 1:
        raise SpecError(f"give one model or run, got {len(targets or [])}; --show takes several files")
    names = [name.strip() for name in backends.split(",")] if backends else None
    target = targets[0] if targets else "*"
    if record is not None:
        written = record_parity(target, record, data=data, videos=videos)
        size = written.stat().st_size
        text = f"{written}: {size / 1024:,.0f} KiB; 'acz parity-check --against {written.name} --backend X' checks a backend"
        print_json({"record": str(written), "bytes": size}) if as_json else print(text)
        return
    report: Any
    if show or against is not None:
        report = (
            check_record(against, backends=names, device=device, out=out) if against else show_proofs(targets or [])
        )
        headers, rows, right = report.headers, report.table(), {5, 6, 7}
    else:
        report = check_parity(
            target,
            backends=names,
            levels=level,
            precisions=precision,
            device=device,
            mutant=mutant,
            data=data,
            videos=videos,
        )
        if csv is not None:
            report.to_csv(csv)
        numbers = [title for kind in report.precisions for title in (kind.value, f"{kind.value} bound")]
        headers = ["model", "backend", "level", *numbers, "verdict"]
        rows, right = report.summary(), set(range(3, 3 + len(numbers)))
    if as_json:
        print_json(report.to_json())
    else:
        print_table(headers, rows, right=right)
        print(report)
    if not report.passed:
        raise CheckFailed("\n  ".join(["parity does not hold:", *(report.failures or ["nothing was compared"])]))


def verify_proof_command(
    proof: Annotated[Path, typer.Argument(help="The proof, such as proof.json.", show_default=False)],
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="A checkpoint, or the folder of a run, whose best one is taken.",
            show_default=False,
            autocompletion=run_folders,
        ),
    ],
    as_json: Json = False,
) -> None:
    """Check that a proof belongs to the weights of a checkpoint, and that all its checks passed.

    The exit code is 1 where it does not: the weights have changed since, or a check failed.
    """
    from acz.api.parity import verify_proof

    verified = verify_proof(proof, checkpoint)
    if as_json:
        print_json(verified.model_dump(mode="json"))
        return
    whose = dict.fromkeys(check.participant for check in verified.checks)
    print(f"{proof} is of the weights of {checkpoint}: {len(verified.checks)} checks on {', '.join(whose)} passed")

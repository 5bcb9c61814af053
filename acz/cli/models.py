"""`acz models`, `acz show`, `acz backends`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acz.cli.options import Json, Set, print_json, print_table

if TYPE_CHECKING:
    from acz.zoo.config import Config


def models(
    pattern: Annotated[str, typer.Argument(help="Part of a name, or wildcards: 'flash*', '*:tiny'.")] = "*",
    as_json: Json = False,
) -> None:
    """List the models of the zoo, with their parameters and sources; of a form, how many times smaller than the file's own model it is."""
    from acz.foundation.errors import SpecError, nearest
    from acz.zoo.catalog import config_names
    from acz.zoo.config import load_config

    names = config_names(pattern)
    if not names:
        raise SpecError(f"no model matches '{pattern}'; {nearest(pattern, config_names())}")
    configs = [load_config(name) for name in names]
    dense = {c.name: load_config(c.name.partition(":")[0]).spec.parameter_count for c in configs if _is_form(c)}
    if as_json:
        print_json(
            [
                {
                    "name": c.name,
                    "parameters": c.spec.parameter_count,
                    **({"compression": dense[c.name] / c.spec.parameter_count} if c.name in dense else {}),
                    "inputs": {name: list(entry.resolve()) for name, entry in c.spec.inputs.items()},
                    "outputs": c.spec.width,
                    "description": c.description,
                    "source": c.source,
                    "spec_hash": c.spec.hash,
                }
                for c in configs
            ]
        )
        return
    ratios = [f"{dense[c.name] / c.spec.parameter_count:.1f}" if c.name in dense else "" for c in configs]
    rows = [[c.name, f"{c.spec.parameter_count:,}", r, c.source] for c, r in zip(configs, ratios, strict=True)]
    print_table(["model", "parameters", "compression", "source"], rows, right={1, 2})


def _is_form(config: Config) -> bool:
    return config.name.rpartition(":")[2] in config.forms


def show(
    model: Annotated[str, typer.Argument(help="A name from 'acz models' or a YAML file; ':tiny' picks a variant.")],
    assignments: Set = None,
    out: Annotated[Path | None, typer.Option(help="Draw the model into this SVG file.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Show a model: inputs, layers, output shapes, parameters; with --out as a drawing."""
    from acz.zoo.config import load_config, parse_overrides

    config = load_config(model, parse_overrides(assignments or []))
    spec = config.spec
    if out is not None:
        from acz.foundation.errors import SpecError
        from acz.foundation.files.atomic import write_text_whole
        from acz.model.drawing import draw

        if out.suffix != ".svg":
            raise SpecError(f"a model is drawn as SVG; --out must end in .svg, got {out}")
        write_text_whole(out, draw(spec, config.name, config.description))
    if as_json:
        print_json(
            {
                "name": config.name,
                "spec_hash": spec.hash,
                "model": spec.to_dict(),
                "layers": [
                    {"path": s.path, "type": s.layer.type, "input": s.input_shape, "output": s.output_shape}
                    for s in spec.layout
                ],
                "parameters": {path: {"shape": p.shape, "role": p.role} for path, p in spec.parameters.items()},
                "parameter_count": spec.parameter_count,
                **({"drawing": str(out)} if out else {}),
            }
        )
        return
    if out is not None:
        print(f"{config.name}: drawn in {out}")
        return
    print(f"{config.name}: {config.description}\n{config.source}\nspec {spec.hash}\n")
    rows = [
        [name, " x ".join(map(str, entry.resolve())), entry.dtype + (", frames vary" if entry.has_frames else "")]
        for name, entry in spec.inputs.items()
    ]
    print_table(["input", "shape", "numbers"], rows)
    print()
    rows = []
    for step in spec.layout:
        settings = step.layer.model_dump(exclude_unset=True, exclude={"type"})
        rows.append(
            [
                step.path,
                step.layer.type,
                " x ".join(map(str, step.output_shape)),
                f"{sum(p.size for p in step.parameters.values()):,}",
                ", ".join(
                    [f"{key} {value}" for key, value in settings.items()]
                    + ([f"each bag of {step.bag} frames"] if step.bag else [])
                ),
            ]
        )
    print_table(["layer", "type", "output", "parameters", "settings"], rows, right={3})
    print()
    rows = [[path, " x ".join(map(str, p.shape)), f"{p.size:,}", p.role] for path, p in spec.parameters.items()]
    print_table(["parameter", "shape", "numbers", "role"], rows, right={2})
    print(f"\n{spec.parameter_count:,} parameters; output: {spec.output} over {spec.width:,}")


def backends(as_json: Json = False) -> None:
    """List the backends: what is installed, versions, devices found, and what each can do."""
    from concurrent.futures import ThreadPoolExecutor

    from acz.backend.registry import infos, installed
    from acz.backend.worker import Worker
    from acz.foundation.errors import AczError
    from acz.foundation.progress import progress

    here = installed()

    def ask(name: str) -> dict[str, Any]:
        if name not in here:
            return {"installed": False, "problem": f'not installed; pip install "{infos()[name].install}"'}
        try:
            with Worker(name) as worker:
                found, _ = worker.run("acz.backend.worker:describe")
            return {"installed": True, **found}
        except AczError as error:
            return {"installed": True, "problem": str(error)}

    names = list(infos())
    here = ["numpy", *here]
    found: dict[str, dict[str, Any]] = {}
    with progress() as shown, ThreadPoolExecutor(len(names)) as pool:
        for name, about in zip(names, pool.map(ask, names), strict=True):
            found[name] = about
            shown("asking each backend in a process of its own", len(found), len(names))
    if as_json:
        print_json(found)
        return
    rows = []
    for name, about in found.items():
        if "problem" in about:
            rows.append([name, "", "", "", about["problem"]])
            continue
        versions = ", ".join(f"{key} {value}" for key, value in about["versions"].items())
        can = about["capabilities"]
        notes = "; ".join(f"{key}: {value}" for key, value in can.items() if key != "devices")
        rows.append([name, versions, ", ".join(about["devices"]), can["devices"], notes])
    print_table(["backend", "versions", "devices here", "devices of this build", "notes"], rows)

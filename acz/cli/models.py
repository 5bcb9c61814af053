"""The commands `acz models`, `acz layers`, `acz show` and `acz backends`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from acz.cli.options import (
    Json,
    Set,
    given_overrides,
    layer_names,
    model_names,
    print_json,
    print_table,
    print_text,
)


def models(
    pattern: Annotated[
        str, typer.Argument(help="A part of a name, or wildcards: 'flash*', '*:tiny'.", autocompletion=model_names)
    ] = "*",
    long: Annotated[bool, typer.Option("--long", help="Print everything that is known of each model.")] = False,
    as_json: Json = False,
) -> None:
    """List the models of the zoo, with their parameters and a published figure. --long prints everything.

    Variants, such as :tiny, are listed where the pattern has a colon. The compression of a form is the number of
    parameters of its file's main model, divided by its own.
    """
    from acz.api.models import compression, differences, list_models, load_config

    configs = [load_config(name) for name in list_models(pattern)]
    ratios = {config.name: compression(config) for config in configs}
    if as_json:
        print_json(
            [
                {
                    "name": config.name,
                    "parameters": config.spec.parameter_count,
                    **({} if ratios[config.name] is None else {"compression": ratios[config.name]}),
                    "inputs": {name: list(entry.resolve()) for name, entry in config.spec.inputs.items()},
                    "outputs": config.spec.width,
                    "description": config.description,
                    "source": config.source,
                    **({"difference": config.difference} if config.difference else {}),
                    **({"published": config.published.model_dump()} if config.published else {}),
                    "spec_hash": config.spec.hash,
                }
                for config in configs
            ]
        )
        return
    shown = [c for c in configs if ":" in pattern or ":" not in c.name or ratios[c.name] is not None] or configs
    if long:
        for config in shown:
            _print_long(config, ratios[config.name])
        return
    rows: list[list[str]] = []
    family = ""
    for config in sorted(shown, key=lambda config: config.name.rpartition("/")[0]):
        folder, _, name = config.name.rpartition("/")
        if folder != family:
            rows += [["", "", "", ""]] * bool(rows) + [[f"{folder}/", "", "", ""]]
            family = folder
        ratio, main = ratios[config.name], ":" not in name
        form = "variant" if ratio is None else f"form; compression {ratio:.1f}"
        figure = config.published.headline if config.published else ""
        rows.append([f"  {name}", f"{config.spec.parameter_count:,}", config.description if main else form, figure])
    print_table(["model", "parameters", "what", "published"], rows, right={1})
    print()
    for names, difference in differences(shown).items():
        print_text(f"{names}: {difference}.")
    print_text("'acz models --long' has sources and all figures; 'acz models :' has variants such as :tiny, too.")


def _print_long(config: Any, ratio: float | None) -> None:
    """Print everything that a configuration says of its model."""
    spec = config.spec
    inputs = [f"{name} {' x '.join(map(str, entry.resolve()))}" for name, entry in spec.inputs.items()]
    print(config.name)
    for label, text in {
        "what": config.description,
        "parameters": f"{spec.parameter_count:,}",
        "compression": "" if ratio is None else f"{ratio:.1f}",
        "inputs": ", ".join(inputs),
        "output": f"{spec.output} over {spec.width:,}",
        "source": config.source,
        "difference": config.difference,
        "published": f"{config.published} ({config.published.source})" if config.published else "",
        "forms": ", ".join(config.forms),
        "variants": ", ".join(config.variants),
        "spec": spec.hash,
    }.items():
        if text:
            print_text(f"{label}: {text}", indent=2)
    print()


def layers(
    name: Annotated[
        str | None,
        typer.Argument(
            help="The type of a layer, a part of one, or wildcards: 'vlad', '*gating'. Prints formulas and settings.",
            show_default="all, a line each",
            autocompletion=layer_names,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the layers of models with their settings. With NAME print its formula, and each setting with its values.

    docs/adding-a-model.md says how a YAML file names layers and settings.
    """
    from acz.api.models import list_layers

    listed = list_layers(name or "*")
    if as_json:
        print_json([layer.to_json() for layer in listed.values()])
        return
    if name is None:
        rows = [
            [layer.type, layer.summary, ", ".join(s.name for s in layer.settings if "." not in s.name)]
            for layer in listed.values()
        ]
        print_table(["layer", "what", "settings"], rows)
        print()
        print_text("'acz layers NAME' has a layer's formula, and the values, default and meaning of each setting.")
        return
    for layer in listed.values():
        print(layer.type)
        for paragraph in _paragraphs(layer.formula):
            print()
            for line in paragraph:
                print_text(line, indent=2)
        print()
        rows = [[s.name, s.values, s.default or "required", s.meaning] for s in layer.settings]
        if rows:
            print_table(["setting", "values", "default", "meaning"], rows)
        else:
            print("It has no settings.")
        print()


def _paragraphs(text: str) -> list[list[str]]:
    """The paragraphs of a docstring, each a list of its lines or of its points."""
    paragraphs = []
    for paragraph in text.split("\n\n"):
        lines: list[str] = []
        for line in paragraph.splitlines():
            if lines and not re.match(r"- |Parameters:|Source:|[\w\[\], ]+ = ", line):
                lines[-1] += f" {line.strip()}"
            else:
                lines.append(line)
        paragraphs.append(lines)
    return paragraphs


def show(
    model: Annotated[
        str,
        typer.Argument(
            help="A name from 'acz models', or a YAML file. ':tiny' selects a variant.", autocompletion=model_names
        ),
    ],
    assignments: Set = None,
    out: Annotated[Path | None, typer.Option(help="Draw the model to this SVG file.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Show the inputs, layers, output shapes and parameters of a model, or draw it with --out."""
    from acz.api.models import draw_model, load_config

    overrides = given_overrides(assignments)
    config = load_config(model, overrides)
    spec = config.spec
    if out is not None:
        draw_model(model, out, overrides)
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
    print_text(f"{config.name}: {config.description}")
    print_text(config.source)
    if config.difference:
        print_text(f"difference: {config.difference}")
    if config.published:
        print_text(f"published: {config.published} ({config.published.source})")
    print(f"spec {spec.hash}\n")
    rows = [
        [name, " x ".join(map(str, entry.resolve())), entry.dtype + (", frames vary" if entry.has_frames else "")]
        for name, entry in spec.inputs.items()
    ]
    print_table(["input", "shape", "numbers"], rows)
    print()
    rows = []
    for placed in spec.layout:
        settings = placed.layer.model_dump(exclude_unset=True, exclude={"type"})
        rows.append(
            [
                placed.path,
                placed.layer.type,
                " x ".join(map(str, placed.output_shape)),
                f"{sum(p.size for p in placed.parameters.values()):,}",
                ", ".join(
                    [f"{key} {value}" for key, value in settings.items()]
                    + ([f"each bag of {placed.bag} frames"] if placed.bag else [])
                ),
            ]
        )
    print_table(["layer", "type", "output", "parameters", "settings"], rows, right={3})
    print()
    rows = [[path, " x ".join(map(str, p.shape)), f"{p.size:,}", p.role] for path, p in spec.parameters.items()]
    print_table(["parameter", "shape", "numbers", "role"], rows, right={2})
    print(f"\n{spec.parameter_count:,} parameters; output: {spec.output} over {spec.width:,}")


def backends(
    add: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name the --python in which a backend lives.", show_default=False),
    ] = None,
    python: Annotated[
        Path | None,
        typer.Option(
            help="With --add: the interpreter of an environment with acz and the framework.", show_default=False
        ),
    ] = None,
    create: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Make an environment with a backend in --folder, by pip, and add it.",
            show_default=False,
        ),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="With --create: the folder of the new environment.", show_default=False)
    ] = None,
    remove: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Forget the other environment of a backend; it stays on disk.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the backends with versions, devices and capabilities, or the reason why a backend cannot run.

    Frameworks that don't fit into one environment live in several. --add names the environment of a backend, and commands
    that need the backend run there. So does the variable ACZ_PYTHON_NAME, as in ACZ_PYTHON_MINDSPORE.
    """
    from acz.api.models import add_backend, create_backend, list_backends, remove_backend
    from acz.foundation.errors import SpecError

    if len([name for name in (add, create, remove) if name]) > 1:
        raise SpecError("give one of --add, --create and --remove")
    if bool(add) != bool(python) or bool(create) != bool(folder):
        raise SpecError("type --add NAME --python PATH, or --create NAME --folder DIR")
    if add and python:
        add_backend(add, python)
    if create and folder:
        create_backend(create, folder)
    if remove:
        remove_backend(remove)
    states = list_backends()
    if as_json:
        print_json({name: state.to_json() for name, state in states.items()})
        return
    rows = []
    for state in states.values():
        place = [state.name, state.python or "this", state.acz]
        if state.problem:
            rows.append([*place, "", "", "", state.problem])
            continue
        versions = ", ".join(f"{key} {value}" for key, value in state.versions.items())
        notes = "; ".join(f"{key}: {value}" for key, value in state.capabilities.items() if key != "devices")
        rows.append([*place, versions, ", ".join(state.devices), state.capabilities["devices"], notes])
    print_table(["backend", "environment", "acz", "versions", "devices here", "devices of this build", "notes"], rows)

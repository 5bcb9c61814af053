"""`acz data show`: one video of a data set, and what a model looks at in it, as a picture."""

from __future__ import annotations

from pathlib import Path

from acz.backend.build import build
from acz.backend.registry import find_backend
from acz.data.flash_mnist.labels import is_flash_mnist
from acz.data.flash_mnist.videos import Frames
from acz.data.folder import made_of
from acz.data.registry import open_split
from acz.foundation.errors import DataError
from acz.foundation.files.atomic import write_whole
from acz.foundation.progress import progress
from acz.studies.reports.attention import add_look, look, take_video
from acz.studies.reports.strip import draw_strip
from acz.training.run_folder import open_checkpoint


def show_video(
    folder: Path,
    split: str,
    number: int,
    out: Path,
    run: Path | None = None,
    mnist: Path | None = None,
    backend: str = "numpy",
    threads: int = 1,
) -> dict[str, str | int]:
    """Write the picture; gives the video's number, label and what the run predicts.

    Raises DataError (the data, images that are needed or other ones), CheckpointError, MissingError (backend, matplotlib).
    """
    if out.suffix != ".png":
        raise DataError(f"a video is drawn as PNG; --out must end in .png, got {out}")
    examples, made = open_split(folder, split), made_of(folder)
    spec = None
    if run is not None:
        checkpoint, _, _ = open_checkpoint(run)
        spec = checkpoint.spec
        examples.require(spec)
    video, label = take_video(examples, number, made, list(spec.inputs) if spec else [])
    with progress() as shown:
        shown.line(f"drawing video {number} of {folder}/{split}")
        if is_flash_mnist(made):
            video.pixels = Frames(folder, mnist).of(split, number, int(label))
        if spec is not None:
            found = find_backend(backend)
            found.set_threads(threads)
            model = build(spec, backend, checkpoint.parameters)
            output, weights = look(found, model, spec, examples, [number])
            add_look(video, spec, made, output[0], {path: value[0] for path, value in weights.items()})
        content = draw_strip(video)
        write_whole(out, lambda temporary: temporary.write_bytes(content))
    return {"picture": str(out), "video": number, "label": video.label, "predicted": video.predicted}

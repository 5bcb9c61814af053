"""The README in the metadata of the package, where links into this repository lead nowhere unless they are absolute.

pyproject.toml names this file as a hook of the build.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

try:
    from hatchling.metadata.plugin.interface import MetadataHookInterface
except ImportError:  # outside of a build
    MetadataHookInterface = object

LINK = re.compile(r"\[(?P<text>[^\]\n]*(?:\n[^\]\n]*)?)\]\((?P<path>(?!https?://|#|mailto:)[^)\s]+)\)")


def with_absolute_links(text: str, source: str | None) -> str:
    """Make the links of a page into this repository absolute.

    Args:
        text: The page, in Markdown.
        source: The address of the files of the repository, which a path can follow. Without one, the path itself is
            printed behind the words of the link.
    """

    def replaced(match: re.Match[str]) -> str:
        words, path = match["text"], match["path"]
        if source:
            return f"[{words}]({source.rstrip('/')}/{path})"
        return words if words == path else f"{words} (`{path}`)"

    return LINK.sub(replaced, text)


class Readme(MetadataHookInterface):
    """The hook. The address of the repository's files is `Source` in [project.urls], where there is one."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        source = metadata.get("urls", {}).get("Source")
        metadata["readme"] = {"content-type": "text/markdown", "text": with_absolute_links(text, source)}

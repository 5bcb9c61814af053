"""Parts of a self-contained HTML page. It loads nothing, and its policy tells the browser so."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from html import escape

STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #16191d; --quiet: #555d68; --line: #d5d9df; --soft: #f4f5f7; --link: #0a58a8;
  --run0: #0072b2; --run1: #d55e00; --run2: #00875f; --run3: #b4508a; --run4: #8a6d00; --run5: #3b8ec9; --run6: #7a3fc0; --run7: #5a6472; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171b; --ink: #e8eaed; --quiet: #a6adb8; --line: #3a4049; --soft: #1e2228; --link: #7fb8f0;
  --run0: #4aa8e0; --run1: #ff8a3c; --run2: #2fc796; --run3: #ec9bc8; --run4: #e5c04a; --run5: #9fd3f5; --run6: #b99cf0; --run7: #aeb6c2; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0.5rem 0; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 0.6rem; padding-top: 0.6rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.4rem 0 0.4rem; }
a { color: var(--link); }
nav ul { display: flex; flex-wrap: wrap; gap: 0.2rem 1.1rem; list-style: none; margin: 0; padding: 0; }
.quiet, figcaption, caption { color: var(--quiet); font-size: 0.9rem; }
.key { display: flex; flex-wrap: wrap; gap: 0.2rem 1.2rem; list-style: none; padding: 0; }
.key svg { width: 2rem; height: 0.8rem; margin-right: 0.4rem; vertical-align: middle; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); gap: 1rem; }
figure { margin: 0 0 1rem; min-width: 0; break-inside: avoid; }
.chart { display: block; width: 100%; height: auto; }
.chart text { font-size: 13px; fill: var(--quiet); }
.chart .grid { stroke: var(--line); }
polyline { fill: none; stroke-linejoin: round; }
img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
.scroll { overflow-x: auto; margin: 0.6rem 0 1rem; }
table { border-collapse: collapse; font-size: 0.92rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: 0.3rem; max-width: calc(100vw - 2rem); }
th, td { padding: 0.25rem 0.7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, .words { text-align: left; }
thead th { background: var(--soft); }
pre { background: var(--soft); padding: 0.8rem; overflow-x: auto; font-size: 0.88rem; border-radius: 4px; }
.number { font-size: 1.05rem; font-weight: 600; }
.note { border-left: 3px solid var(--line); padding-left: 0.8rem; color: var(--quiet); }
@media print { body { max-width: none; font-size: 10pt; } nav { display: none; } .scroll { overflow: visible; }
  th, td { white-space: normal; padding: 0.15rem 0.4rem; } pre { white-space: pre-wrap; } h2 { break-after: avoid; }
  :root { color-scheme: light; --ground: #fff; --ink: #000; --quiet: #444; --line: #bbb; --soft: #f4f5f7;
    --run0: #0072b2; --run1: #d55e00; --run2: #00875f; --run3: #b4508a; --run4: #8a6d00; --run5: #3b8ec9; --run6: #7a3fc0; --run7: #5a6472; }
  details::details-content { content-visibility: visible; block-size: auto; } }
""" + "\n".join(f".run{n} {{ stroke: var(--run{n}); }}" for n in range(8))

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""The browser may load nothing, so a name in a run cannot bring in code or addresses."""


def page(title: str, lead: str, sections: Iterable[tuple[str, str, str]]) -> str:
    """Write a whole page.

    Args:
        title: Plain text.
        lead: HTML under the title.
        sections: Name, heading (plain text) and content (HTML) of each section.
    """
    sections = list(sections)
    links = "".join(f'<li><a href="#{name}">{escape(heading)}</a></li>' for name, heading, _ in sections)
    body = "\n".join(
        f'<section id="{name}" aria-labelledby="{name}-heading">\n<h2 id="{name}-heading">{escape(heading)}</h2>\n{content}\n</section>'
        for name, heading, content in sections
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>{STYLE}
</style>
</head>
<body>
<header>
<h1>{breakable(title)}</h1>
{lead}
<nav aria-label="Sections"><ul>{links}</ul></nav>
</header>
<main>
{body}
</main>
</body>
</html>
"""


def table(caption: str, headers: Sequence[str], rows: Iterable[Sequence[str]], words: Iterable[int] = ()) -> str:
    """Write a table. All arguments are plain text.

    Args:
        caption: The caption.
        headers: The headings of the columns. The first column names the rows.
        rows: The cells of each row.
        words: The numbers of other columns that hold text, which is aligned left.
    """
    words = set(words)
    kinds = [' class="words"' if column in words else "" for column in range(len(headers))]
    head = "".join(f'<th scope="col"{kind}>{escape(text)}</th>' for kind, text in zip(kinds, headers, strict=True))
    lines = []
    for first, *rest in rows:
        cells = "".join(f"<td{kind}>{escape(text)}</td>" for kind, text in zip(kinds[1:], rest, strict=True))
        lines.append(f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>')
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def figure(content: str, caption: str) -> str:
    """Write content with a caption under it."""
    return f"<figure>{content}<figcaption>{escape(caption)}</figcaption></figure>"


def picture(png: bytes, alt: str) -> str:
    """Write a PNG picture into the page."""
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def breakable(text: str) -> str:
    """Escape text, and allow a narrow window to break its long names."""
    return re.sub("([/_])", r"\1<wbr>", escape(text))


def note(text: str) -> str:
    """Write a remark: why a part is missing, or how to read one."""
    return f'<p class="note">{escape(text)}</p>'


def folded(summary: str, content: str) -> str:
    """Write content that is hidden until its summary is clicked."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"

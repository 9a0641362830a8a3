"""What every page of fedlung has in common: its look, its template engine, and a policy that lets nothing in or out.

A page is one file that asks the network for nothing and runs nothing. Its content security policy forbids everything
but the page's own style sheet, which it names by hash, and images that are within the page: whatever got through the
template's escaping could neither run nor load. The style sheet is a Python string, because Flower's app bundle takes no
other file.
"""

from __future__ import annotations

import base64
import hashlib

from jinja2 import DictLoader, Environment, StrictUndefined

INK, SOFT, LINE, PAPER, TINT = "#1d2733", "#5b6876", "#d9dfe6", "#ffffff", "#f4f6f9"
ACCENT = "#14507a"
APART, APART_TINT = "#b4480f", "#fdf3ec"  # what stands apart from the rest

COLOURS = f"""
:root {{ --ink: {INK}; --soft: {SOFT}; --line: {LINE}; --paper: {PAPER}; --tint: {TINT}; --accent: {ACCENT};
  --apart: {APART}; --apart-tint: {APART_TINT}; }}
"""

HOUSE_STYLE = (
    COLOURS
    + """\
* { box-sizing: border-box; }
html { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  color: var(--ink); background: var(--tint); -webkit-text-size-adjust: 100%; }
body { margin: 0; }
main, header .inner, footer { max-width: 1240px; margin: 0 auto; padding: 0 24px; }
header { background: var(--paper); border-bottom: 1px solid var(--line); }
header .inner { padding-top: 30px; padding-bottom: 26px; }
.banner { background: #ffcf33; color: #251c00; border-bottom: 3px solid #8a6a00; text-align: center;
  padding: 9px 20px; font-weight: 600; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.banner strong { letter-spacing: .14em; margin-right: .6em; }
.kicker { color: var(--soft); font-size: 13px; margin: 0 0 4px; }
h1 { font-size: 27px; line-height: 1.2; margin: 0 0 6px; font-weight: 650; letter-spacing: -.01em; }
h2 { font-size: 18px; margin: 0 0 6px; font-weight: 650; }
p { margin: 0 0 10px; max-width: 78ch; }
.lead { color: var(--soft); margin-bottom: 0; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 8px; padding: 22px 26px;
  margin: 20px 0; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(210px, 1fr)); gap: 14px; margin: 20px 0 0;
  padding: 0; }
.cards div { border: 1px solid var(--line); border-radius: 8px; padding: 12px 16px; background: var(--paper); }
.cards div.apart { border-color: var(--apart); background: var(--apart-tint); }
.cards dt { color: var(--soft); font-size: 13px; }
.cards dd { margin: 0; font-variant-numeric: tabular-nums; }
.cards dd.figure { font-size: 25px; line-height: 1.25; font-weight: 650; }
.cards dd.range { color: var(--soft); font-size: 13px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 13.5px; }
caption { text-align: left; color: var(--soft); padding-bottom: 8px; font-size: 13px; max-width: calc(100vw - 104px); }
th, td { text-align: right; padding: 7px 6px; border-bottom: 1px solid var(--line); vertical-align: top;
  white-space: nowrap; }
th { font-weight: 600; }
thead th { white-space: normal; color: var(--soft); font-size: 12.5px; border-bottom: 2px solid var(--line);
  vertical-align: bottom; }
th:first-child, td:first-child, th.text, td.text { text-align: left; }
td.wrap { white-space: normal; text-align: left; }
tbody tr:last-child th, tbody tr:last-child td { border-bottom: 0; }
td small, th small { display: block; color: var(--soft); font-size: 11px; line-height: 1.3; font-weight: 400; }
.aside { color: var(--soft); font-size: 13px; margin: 12px 0 0; max-width: 100ch; }
figure { margin: 0; }
figcaption { font-size: 13px; color: var(--soft); max-width: 100ch; margin-top: 6px; }
figcaption b { color: var(--ink); }
img { display: block; max-width: 100%; height: auto; }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: 4px 18px; margin: 0; font-size: 13.5px; }
dl.facts dt { color: var(--soft); } dl.facts dd { margin: 0; overflow-wrap: anywhere; }
details summary { cursor: pointer; color: var(--accent); font-size: 13.5px; margin: 12px 0 6px; }
code { font: 12.5px ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
footer { color: var(--soft); font-size: 13px; padding-bottom: 34px; }
@media print { html { background: #fff; font-size: 11px; } section { border: 0; padding: 10px 0; margin: 0; }
  h2, caption { break-after: avoid; } figure, tr, .aside, .cards div, .facts { break-inside: avoid; }
  main, header .inner, footer { max-width: none; padding-left: 0; padding-right: 0; }
  table { font-size: 10px; } th, td { padding: 4px 5px; } .scroll { overflow: visible; } @page { margin: 14mm; } }
"""
)


def content_policy(style: str) -> str:
    """The policy of a page with this style sheet."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


def template_environment(page: str) -> Environment:
    """Jinja with ``page`` as "page.html", everything escaped; a name that is not there is an error."""
    # The name ends in .html so that autoescaping could not be lost by a change of its rule; it is on for all.
    return Environment(
        loader=DictLoader({"page.html": page}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def data_uri(content: bytes, kind: str) -> str:
    """An image within the page; ``kind`` such as "jpeg" or "svg+xml"."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"

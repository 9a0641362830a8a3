"""The report's colours and its style sheet. A Python string, because Flower's app bundle takes no other file."""

INK, SOFT, LINE, PAPER, TINT = "#1d2733", "#5b6876", "#d9dfe6", "#ffffff", "#f4f6f9"
ACCENT = "#14507a"  # what is seen in training
APART, APART_TINT = "#b4480f", "#fdf3ec"  # what is held out, and nothing else

COLOURS = f"""
:root {{ --ink: {INK}; --soft: {SOFT}; --line: {LINE}; --paper: {PAPER}; --tint: {TINT}; --accent: {ACCENT};
  --apart: {APART}; --apart-tint: {APART_TINT}; }}
"""

STYLE = (
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
.cards dd.figure.small { font-size: 18px; }
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
tr.apart th, tr.apart td, td.right, .cards div.apart { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
tr.apart th, tr.apart td { background: var(--apart-tint); }
tr.apart th:first-child { box-shadow: inset 3px 0 0 var(--apart); }
tbody.summary tr:first-child th, tbody.summary tr:first-child td { border-top: 2px solid var(--line); }
tbody.summary th { font-weight: 500; }
table.reasons { margin-top: 22px; } .reasons th.reason { font-weight: 400; padding-left: 20px; }
.reasons tbody + tbody tr:first-child th { border-top: 1px solid var(--line); }
td small, th small { display: block; color: var(--soft); font-size: 11px; line-height: 1.3; font-weight: 400; }
.role { display: inline-block; font-size: 11px; font-weight: 600; color: var(--apart); border: 1px solid var(--apart);
  border-radius: 3px; padding: 0 5px; margin-left: 6px; white-space: nowrap; }
tbody th .role { display: block; width: max-content; margin: 3px 0 0; }
.made-up { color: #6b5200; border-color: #8a6a00; }
sup { color: var(--soft); font-size: 10px; line-height: 0; margin-left: 1px; }
.undefined { color: var(--soft); font-style: italic; }
.notes { margin: 10px 0 0; padding: 0 0 0 22px; color: var(--soft); font-size: 13px; }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: 22px; }
.grid { display: flex; flex-wrap: wrap; gap: 20px 20px; }
.aside { color: var(--soft); font-size: 13px; margin: 12px 0 0; max-width: 100ch; }
.absences { margin-top: 22px; }
figure { margin: 0; }
figcaption { font-size: 13px; color: var(--soft); max-width: 100ch; margin-top: 6px; }
figcaption b { color: var(--ink); }
img { display: block; max-width: 100%; height: auto; }
.beside { display: flex; flex-wrap: wrap; gap: 8px 30px; align-items: flex-start; }
.beside figcaption { flex: 1 1 300px; margin-top: 16px; }
.panel { width: 216px; }
.panel figcaption b { display: block; }
.confusion { width: auto; }
.confusion td, .confusion th { text-align: center; padding: 5px 9px; white-space: nowrap; }
.confusion tbody td, .confusion tbody tr:last-child td { border: 1px solid var(--line); }
.confusion thead *, .confusion tbody th { border: 0; }
.confusion tbody th { text-align: left; padding-left: 0; }
.confusion tfoot td { text-align: left; border: 0; padding: 6px 0 0; color: var(--soft); font-size: 13px;
  white-space: normal; }
.confusion td.right { background: #eaf2f8; font-weight: 600; }
.confusion caption { color: var(--ink); font-weight: 650; font-size: 14px; padding-bottom: 2px; }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: 4px 18px; margin: 0; font-size: 13.5px; }
dl.facts dt { color: var(--soft); } dl.facts dd { margin: 0; overflow-wrap: anywhere; }
ul.said { margin: 0; padding-left: 20px; max-width: 84ch; } ul.said li { margin-bottom: 7px; }
details summary { cursor: pointer; color: var(--accent); font-size: 13.5px; margin: 12px 0 6px; }
code { font: 12.5px ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
footer { color: var(--soft); font-size: 13px; padding-bottom: 34px; }
@media (max-width: 820px) { .two { grid-template-columns: 1fr; } }
@media print { html { background: #fff; font-size: 11px; } section { border: 0; padding: 10px 0; margin: 0; }
  h2, caption { break-after: avoid; } figure, tr, .aside, .confusion, .cards div, .facts { break-inside: avoid; }
  main, header .inner, footer { max-width: none; padding-left: 0; padding-right: 0; }
  table { font-size: 10px; } th, td { padding: 4px 5px; } .scroll { overflow: visible; } @page { margin: 14mm; } }
"""
)

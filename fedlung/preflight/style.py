"""The preflight page's own part of its style sheet; the rest is every page's."""

from __future__ import annotations

from fedlung.webpage import HOUSE_STYLE

STYLE = (
    HOUSE_STYLE
    + """\
:root { --pass: #1d6b3a; --warn: #7a5200; --fail: #a63a0a; }
.level { display: inline-block; font-size: 11px; font-weight: 650; letter-spacing: .04em; border: 1px solid;
  border-radius: 3px; padding: 0 6px; background: var(--paper); }
.level.pass { color: var(--pass); } .level.warn { color: var(--warn); } .level.fail { color: var(--fail); }
.cards div.fail { border-color: var(--fail); } .cards div.warn { border-color: #c9a24a; }
.cards div dd, .cards div dt { color: var(--soft); } .cards dd.figure { color: var(--ink); }
.cards div.fail dd.figure { color: var(--fail); } .cards div.warn dd.figure { color: var(--warn); }
.cards div.pass dd.figure { color: var(--pass); }
ul.findings { list-style: none; margin: 0; padding: 0; max-width: 90ch; }
ul.findings li { margin: 0 0 12px; } ul.findings p { margin: 2px 0 0; }
.mend { color: var(--soft); }
td.wrap { min-width: 220px; } td.code, td.level-cell { text-align: left; }
.plots { display: flex; flex-wrap: wrap; gap: 22px 48px; align-items: flex-start; }
table.bars { width: auto; } .bars caption { color: var(--ink); font-weight: 650; font-size: 14px; }
.bars th, .bars td { border: 0; padding: 2px 8px 2px 0; font-weight: 400; vertical-align: middle; }
.bars rect { fill: var(--accent); } .bars svg { display: block; }
section h3 { font-size: 13.5px; margin: 14px 0 4px; font-weight: 650; }
ul.tags { list-style: none; margin: 0; padding: 0; columns: 260px; column-gap: 36px; font-size: 13px; }
ul.tags li { display: flex; justify-content: space-between; gap: 12px; border-bottom: 1px solid var(--line);
  padding: 2px 0; break-inside: avoid; }
.series { display: grid; grid-template-columns: repeat(auto-fill, minmax(272px, 1fr)); gap: 18px; margin-top: 14px; }
.series article { border: 1px solid var(--line); border-radius: 8px; overflow: hidden; content-visibility: auto;
  contain-intrinsic-size: auto 420px; }
.series article.fail { border-color: var(--fail); }
.series .shown { background: #000; display: flex; justify-content: center; align-items: center; min-height: 120px;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.series .shown p { color: #cfd6de; margin: 0; font-size: 13px; }
.series .body { padding: 10px 14px 14px; font-size: 13px; }
.series h3 { margin: 0 0 2px; font-size: 15px; display: flex; justify-content: space-between; align-items: center; }
.series .facts-line { color: var(--soft); margin: 0 0 6px; }
.series ul { margin: 6px 0 0; padding: 0; list-style: none; } .series li { margin-top: 8px; overflow-wrap: anywhere; }
@media print { .series article { break-inside: avoid; content-visibility: visible; }
  .series { grid-template-columns: repeat(3, 1fr); gap: 8px; } .series .body { font-size: 9px; } }
"""
)

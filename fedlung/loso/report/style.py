"""What this page's style sheet has beyond a run report's: wide tables, seen cells, and paper on its side."""

from __future__ import annotations

from fedlung.evaluation.report.style import STYLE

LOSO_STYLE = (
    STYLE
    + """\
tbody.kind th.kind { color: var(--soft); font-weight: 500; font-size: 12.5px; padding-top: 12px; border-bottom: 0; }
tbody th[scope=row] { white-space: normal; min-width: 128px; max-width: 210px; overflow-wrap: anywhere; }
th.over-sites, td.over-sites { border-left: 2px solid var(--line); padding-left: 10px; }
td.seen { background: var(--tint); print-color-adjust: exact; -webkit-print-color-adjust: exact; }
td b { font-weight: 700; }
h2 .role, h3 .role { vertical-align: 2px; font-weight: 600; }
h3 { font-size: 14.5px; margin: 22px 0 4px; font-weight: 650; }
section.apart { border-color: var(--apart); border-left-width: 4px; }
.forest { overflow-x: auto; } .forest img { min-width: 860px; margin: 8px 0; }
.folds td, .folds th { padding: 3px 6px; } .folds th[scope=row] { max-width: none; font-weight: 400; }
@media print { @page { size: A4 landscape; margin: 11mm; } td small, th small { font-size: 8.5px; }
  thead th, tbody.kind th.kind { font-size: 9.5px; } .forest { overflow: visible; } .forest img { min-width: 0; }
  section.apart { border-left: 3px solid var(--apart); padding-left: 10px; }
  th[scope=row] { max-width: 180px; } h3 { break-after: avoid; } .scroll, tbody.kind { break-inside: avoid; }
  caption, figcaption, .notes { font-size: 10.5px; } section > p { break-after: avoid; }
  td, th { padding: 2px 5px; } ul.said { max-width: none; } ul.said li { margin-bottom: 3px; } }
"""
)

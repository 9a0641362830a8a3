"""The report's own part of its style sheet; the rest is every page's. What is held out stands apart."""

from __future__ import annotations

from fedlung.webpage import HOUSE_STYLE

STYLE = (
    HOUSE_STYLE
    + """\
.cards dd.figure.small { font-size: 18px; }
tr.apart th, tr.apart td, td.right, .cards div.apart { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
tr.apart th, tr.apart td { background: var(--apart-tint); }
tr.apart th:first-child { box-shadow: inset 3px 0 0 var(--apart); }
tbody.summary tr:first-child th, tbody.summary tr:first-child td { border-top: 2px solid var(--line); }
tbody.summary th { font-weight: 500; }
table.reasons { margin-top: 22px; } .reasons th.reason { font-weight: 400; padding-left: 20px; }
.reasons tbody + tbody tr:first-child th { border-top: 1px solid var(--line); }
.role { display: inline-block; font-size: 11px; font-weight: 600; color: var(--apart); border: 1px solid var(--apart);
  border-radius: 3px; padding: 0 5px; margin-left: 6px; white-space: nowrap; }
tbody th .role { display: block; width: max-content; margin: 3px 0 0; }
.made-up { color: #6b5200; border-color: #8a6a00; }
sup { color: var(--soft); font-size: 10px; line-height: 0; margin-left: 1px; }
.undefined { color: var(--soft); font-style: italic; }
.notes { margin: 10px 0 0; padding: 0 0 0 22px; color: var(--soft); font-size: 13px; }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: 22px; }
.grid { display: flex; flex-wrap: wrap; gap: 20px 20px; }
.absences { margin-top: 22px; }
.beside { display: flex; flex-wrap: wrap; gap: 8px 30px; align-items: flex-start; }
.beside figcaption { flex: 1 1 300px; margin-top: 16px; }
.panel { width: 216px; }
.diagrams { margin-top: 18px; }
.operating thead tr + tr th { text-align: right; }
thead th.over { text-align: center; border-bottom: 1px solid var(--line); }
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
ul.said { margin: 0; padding-left: 20px; max-width: 84ch; } ul.said li { margin-bottom: 7px; }
@media (max-width: 820px) { .two { grid-template-columns: 1fr; } }
@media print { .confusion { break-inside: avoid; } }
"""
)

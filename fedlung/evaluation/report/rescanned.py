"""The page's section on what another scanner would cost the source sites, where a run has rescanned them."""

RESCANNED_SECTION = """
{% if j.rescanned %}
<section aria-labelledby="rescanned"><h2 id="rescanned">Why is it worse? The source sites through another scanner</h2>
{% set notes = new_notes() %}
<div class="scroll"><table>
<caption>What another scanner would cost the source sites: {{ j.rescanned.definition }}.</caption>
<thead><tr>{{ heads(['Site', 'AUC as scanned', 'AUC rescanned', 'Cost', 'p, paired']) }}</tr></thead><tbody>
{% for row in j.rescanned.rows %}
<tr><th scope="row">{{ row.site }}</th>{{ cell(row.auc, notes) }}{{ cell(row.rescanned, notes) }}
{{ cell(row.cost.difference, notes, signed=true) }}
<td>{{ '–' if row.cost.p_value is none else row.cost.p_value | number }}</td></tr>
{% endfor %}</tbody><tbody class="summary">
<tr><th scope="row">Mean of sources</th><td></td><td></td>{{ cell(j.rescanned.cost, notes, signed=true) }}<td></td></tr>
<tr><th scope="row">Gap</th><td></td><td></td>{{ cell(j.gap.auc, notes, signed=true) }}<td></td></tr>
<tr><th scope="row">Share of the gap</th><td></td><td></td>{{ cell(j.rescanned.share, notes) }}<td></td></tr>
</tbody></table></div>
{{ footnotes(notes) }}
<p class="aside">This is what such scanning would cost where scans are good. It does not show that the scanner is the
cause at a site that does worse: another cause could cost as much. A virtual scanner makes thin slices thick and never
thick ones thin, and what blur, the window or 8 bits took away it does not bring back.</p>
</section>
{% endif %}
"""

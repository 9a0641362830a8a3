"""The page's sections on parts of the examples, and on nodules found in whole scans; each only where there is any."""

SUBGROUPS = """
{% if j.subgroups %}
<section aria-labelledby="subgroups"><h2 id="subgroups">Subgroups</h2>
{% set notes = new_notes() %}
<div class="scroll"><table class="reasons parts">
<caption>AUC in parts of the same test examples, with patients and positives / negatives. Together: of the sites that
tell of the part. Sensitivity and specificity are at the frozen threshold. Many parts are looked at here, and one in
twenty intervals leaves out the truth by chance alone.</caption>
<thead><tr>{{ heads(['Part']) }}{% for site in j.sites %}
<th scope="col">{{ site.name }}</th>{% endfor %}{{ heads(['Together']) }}</tr></thead>
{% for title, levels in subgroups %}
<tbody><tr><th scope="rowgroup" colspan="{{ j.sites | length + 2 }}">{{ title }}</th></tr>
{% for level, rows in levels %}
<tr><th scope="row" class="reason">{{ level }}</th>
{% for row in rows %}{{ part_cell(row, notes) }}{% endfor %}</tr>
{% endfor %}</tbody>
{% endfor %}</table></div>
{{ footnotes(notes) }}
{% if j.size_standardised %}
{% set notes = new_notes() %}
<div class="scroll diagrams"><table>
<caption>AUC as it is, and as it would be with one mix of nodule sizes at every site: {{ j.size_standardised.definition
}}{% if j.size_standardised.weights %} ({% for level, weight in j.size_standardised.weights.items() %}
{{ level_words['size', level] }}: {{ weight | percent }}{{ ', ' if not loop.last }}{% endfor %}; they are
{{ j.size_standardised.share | percent }} of the sources' mix){% endif %}.</caption>
<thead><tr>{{ heads(['Site', 'AUC', 'AUC, sizes standardised']) }}</tr></thead><tbody>
{% for row in j.sites if row.name in j.size_standardised.sites %}
<tr class="{{ 'apart' if row.role == 'held-out' }}"><th scope="row">{{ name(row) }}</th>{{ cell(row.auc, notes) }}
{{ cell(j.size_standardised.sites[row.name], notes) }}</tr>
{% endfor %}</tbody><tbody class="summary"><tr><th scope="row">Gap</th>{{ cell(j.gap.auc, notes, signed=true) }}
{{ cell(j.size_standardised.gap, notes, signed=true) }}</tr></tbody></table></div>
{{ footnotes(notes) }}
{% endif %}
</section>
{% endif %}
"""

DETECTION = """
{% if j.detection %}
<section aria-labelledby="detection"><h2 id="detection">Finding nodules in whole scans</h2>
{% set notes = new_notes() %}
<div class="scroll"><table class="operating">
<caption>Sensitivity by false positives a scan, and their mean (CPM): {{ j.detection.definition }}.</caption>
<thead><tr><th scope="col" rowspan="2">Site</th><th scope="col" rowspan="2">Scans<small>patients</small></th>
<th scope="col" rowspan="2">Nodules<small>never found</small></th><th scope="col" rowspan="2">CPM</th>
<th scope="colgroup" colspan="7" class="over">Sensitivity at false positives a scan</th></tr>
<tr>{{ heads(['1/8', '1/4', '1/2', '1', '2', '4', '8']) }}</tr></thead>
{% for row in j.detection.rows %}
{% if row.site is none %}<tbody class="summary">{% elif loop.first %}<tbody>{% endif %}
<tr class="{{ 'apart' if row.site in j.held_out }}"><th scope="row">{{ row.site or 'All pooled' }}
{%- if row.site in j.held_out %}<span class="role">held out</span>{% endif %}</th>
{% if row.reason %}<td>–</td><td>–</td>{% else %}<td>{{ row.num_scans }}<small>{{ row.num_patients }}</small></td>
<td>{{ row.num_nodules }}<small>{{ row.num_never_found }}</small></td>{% endif %}{{ cell(row.cpm, notes) }}
{% for found in row.sensitivities.values() %}{{ cell(found, notes) }}{% endfor %}</tr>
{% if loop.last or j.detection.rows[loop.index].site is none %}</tbody>{% endif %}
{% endfor %}</table></div>
{{ footnotes(notes) }}
<div class="grid diagrams">
{% for row in j.detection.rows %}
<figure class="panel">{{ image(pictures.froc[row.site]) }}
<figcaption><b>{{ row.site or 'All pooled' }}</b>
CPM {{ with_reason(row.cpm) }}{% if not row.reason %}<br>{{ row.num_nodules }} nodules in {{ row.num_scans }}
scans{% endif %}</figcaption></figure>
{% endfor %}</div>
<p class="aside">Free-response ROC: the axis of false positives is logarithmic from 1/8 to 8. A curve that ends has no
candidate left; from there on its sensitivity stays.</p>
</section>
{% endif %}
"""

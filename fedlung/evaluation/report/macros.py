"""What the sections of the report's page are made of: cells with notes, rows of sites, cards."""

MACROS = """
{% macro image(picture) %}
<img src="{{ picture.src }}" alt="{{ picture.alt }}" width="{{ picture.width }}" height="{{ picture.height }}">
{% endmacro %}
{% macro cell(found, notes, signed=false) %}
<td>{% if found.value is none %}<span class="undefined">undefined</span><sup>{{ notes.mark(found.reason) }}</sup>
{%- else %}{{ found.value | number(signed=signed) }}
{%- if found.reason %}<sup>{{ notes.mark(found.reason) }}</sup>{% endif %}
{%- if found.low is not none %}<small>{{ found | interval(signed=signed) }}</small>{% endif %}
{%- endif %}</td>
{% endmacro %}
{% macro counts(row) %}
<td>{{ row.num_patients }}<small>{{ row.num_positive }} / {{ row.num_negative }}</small>
<small>{{ row.prevalence | percent }} positive</small></td>
{% endmacro %}
{% macro examples(row) %}
{{ row.num_patients }} patient{{ 's' if row.num_patients != 1 }}, {{ row.num_positive }} pos. /
{{ row.num_negative }} neg.
{%- endmacro %}
{% macro with_reason(found) %}
{{ found.value | number }} {% if found.low is none %}({{ found.reason }}){% else %}{{ found | interval }}{% endif %}
{%- endmacro %}
{% macro footnotes(notes) %}
{% if notes.reasons %}
<ol class="notes">{% for reason in notes.reasons %}<li>{{ reason }}</li>{% endfor %}</ol>
{% endif %}
{% endmacro %}
{% macro name(row) %}
{{ row.name }}{% if row.role == 'held-out' %}<span class="role">held out</span>{% endif %}
{% if row.synthetic and synthetic_sites != 'all sites' %}<span class="role made-up">synthetic</span>{% endif %}
{% endmacro %}
{% macro card(title, found, of, signed=false) %}
<dt>{{ title }}</dt>
<dd class="figure{{ ' small' if found.value is none }}">{{ found.value | number(signed=signed) }}</dd>
<dd class="range">{% if found.low is none %}{{ found.reason }}{% else %}{{ j.confidence | percent }} interval
{{ found | interval(signed=signed) }}{% endif %}<br>{{ of }}
{%- if found.low is not none and found.reason %}; {{ found.reason }}{% endif %}</dd>
{% endmacro %}
{% macro heads(titles) %}{% for title in titles %}<th scope="col">{{ title }}</th>{% endfor %}{% endmacro %}
{% macro threshold(found) %}
{% if found.probability is none %}none: {{ found.reason }}{% else %}threshold {{ found.probability | number }}
{%- endif %}
{%- endmacro %}
{% macro operating_head(rate, found) %}
<th scope="colgroup" colspan="2" class="over">Frozen for {{ rate }} .90<small>{{ threshold(found) }}</small></th>
{% endmacro %}
{% macro part_cell(row, notes) %}
<td>{% if row is none %}–{% elif not row.num_patients %}<span class="undefined">none</span><sup>
{{- notes.mark(row.auc.reason) }}</sup>{% else %}{% if row.auc.value is none %}<span class="undefined">undefined</span>
{%- else %}{{ row.auc.value | number }}{% endif %}
{%- if row.auc.reason %}<sup>{{ notes.mark(row.auc.reason) }}</sup>{% endif %}
<small>{{ row.auc | interval }}</small><small>{{ row.num_patients }}: {{ row.num_positive }} / {{ row.num_negative }}
</small>{% if row.sensitivity.value is not none %}<small>sens. {{ row.sensitivity.value | number }}</small>{% endif %}
{%- if row.specificity.value is not none %}<small>spec. {{ row.specificity.value | number }}</small>{% endif %}
{%- endif %}</td>
{% endmacro %}
{% macro listed(row, keys, notes, signed=false) %}
{% for key in keys %}{{ cell(row[key], notes, signed=signed) }}{% endfor %}
{% endmacro %}
{% macro body(keys, notes) %}
<tbody>
{% for row in j.sites %}
<tr class="{{ 'apart' if row.role == 'held-out' }}"><th scope="row">{{ name(row) }}</th>{{ counts(row) }}
{{ listed(row, keys, notes) }}</tr>
{% endfor %}
</tbody>
<tbody class="summary">
<tr><th scope="row">Mean of sources</th><td></td>{{ listed(j.mean_sources, keys, notes) }}</tr>
<tr><th scope="row">Sources pooled</th>{{ counts(j.pooled_sources) }}{{ listed(j.pooled_sources, keys, notes) }}</tr>
<tr><th scope="row">All pooled</th>{{ counts(j.pooled) }}{{ listed(j.pooled, keys, notes) }}</tr>
<tr><th scope="row">Gap</th><td></td>{{ listed(j.gap, keys, notes, signed=true) }}</tr>
</tbody>
{% endmacro %}
{% macro calibration_cells(row, floor, notes) %}
{{ cell(row.ece, notes) }}<td>{% if floor is not none %}{{ floor | number }}{% endif %}</td>
{{ listed(row, ('calibration_slope', 'calibration_intercept', 'brier'), notes) }}
{% endmacro %}
"""

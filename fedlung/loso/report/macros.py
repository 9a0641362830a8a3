"""What the page's tables are made of, beside what a run's report has."""

LOSO_MACROS = """
{% macro h2(id, title) %}
<h2 id="{{ id }}">{{ title }}
{%- if j.synthetic %} <span class="role made-up">synthetic</span>{% endif %}</h2>
{% endmacro %}
{% macro site_heads(sizes=true) %}
{% for site, size in j.sites.items() %}
<th scope="col">{{ site }}{% if sizes %}<small>{{ size.num_patients }} patients</small>
<small>{{ size.num_positive }} / {{ size.num_negative }}</small>{% endif %}</th>
{% endfor %}
{% endmacro %}
{% macro undefined(found, notes) %}
<span class="undefined">undefined</span><sup>{{ notes.mark(found.reason) }}</sup>
{%- endmacro %}
{% macro td(kind='') %}<td{% if kind %} class="{{ kind }}"{% endif %}>{% endmacro %}
{% macro told(found, notes, signed=false, kind='') %}
{{ td(kind) }}{% if found.value is none %}{{ undefined(found, notes) }}
{%- else %}{{ found.value | number(signed=signed) }}
{%- if found.reason %}<sup>{{ notes.mark(found.reason) }}</sup>{% endif %}
{%- if found.low is not none %}<small>{{ found | interval(signed=signed) }}</small>{% endif %}
{%- endif %}
{%- if kind == 'seen' %}<small>seen</small>{% endif %}</td>
{% endmacro %}
{% macro kind_head(title, columns) %}
<tr><th class="kind" scope="rowgroup" colspan="{{ columns }}">{{ title }}</th></tr>
{% endmacro %}
{% macro estimates(by_site, notes, signed=false) %}
{% for site in j.sites %}
{% if site in by_site %}{{ told(by_site[site], notes, signed=signed) }}{% else %}<td>–</td>{% endif %}
{% endfor %}
{% endmacro %}
{% macro unseen_cells(row, notes) %}
{% for site in j.sites %}{{ told(row.unseen[site].estimate, notes) }}{% endfor %}
{{ told(row.unseen_mean.estimate, notes, kind='over-sites') }}
{% endmacro %}
{% macro worst(row, notes) %}
{% if row.kind == 'without pixels' %}<td>–</td>{% elif row.worst_site is none %}{{ told(row.worst, notes) }}{% else %}
<td>{{ row.worst.value | number }}<small>{{ row.worst_site }}</small></td>{% endif %}
{% endmacro %}
{% macro trained_cells(row, notes) %}
{% if row.kind == 'without pixels' %}<td>–</td><td>–</td>{% else %}
{{ told(row.source_mean.estimate, notes) }}{{ told(row.gap, notes, signed=true) }}
{% endif %}
{% endmacro %}
{% macro difference(found, notes, adjusted=none, kind='') %}
{% set shown = found.difference %}
{{ td(kind) }}{% if shown.value is none %}{{ undefined(shown, notes) }}
{%- else %}
{% if adjusted is not none and adjusted < 1 - j.confidence %}<b>{{ shown.value | number(signed=true) }}</b>
{%- else %}{{ shown.value | number(signed=true) }}{% endif %}
{%- if shown.reason %}<sup>{{ notes.mark(shown.reason) }}</sup>{% endif %}
{%- if shown.low is not none %}<small>{{ shown | interval(signed=true) }}</small>
<small>p {{ found.p_value | p_value }}</small>{% endif %}
{%- if adjusted is not none %}<small>adjusted {{ adjusted | p_value }}</small>{% endif %}
{%- endif %}</td>
{% endmacro %}
{% macro tried_cell(tried, notes) %}
{{ td('seen' if tried.is_chosen) }}{% if tried.validation is none %}{{ undefined(tried, notes) }}
{%- else %}{{ tried.validation | number }}
{%- if tried.reason %}<sup>{{ notes.mark(tried.reason) }}</sup>{% endif %}
{%- if tried.rule != j.config['evaluate.select'] %}<small>{{ tried.rule }}</small>{% endif %}
{%- if tried.is_chosen %}<small>chosen</small>{% endif %}
{%- endif %}</td>
{% endmacro %}
{% macro by_seed(cell, kind='') %}
{{ td(kind) }}{% for value in cell.values %}{{ value | number }}{{ ' ' if not loop.last }}{% endfor %}
{% if cell.seeds.sd is not none %}<small>sd {{ cell.seeds.sd | number }}</small>{% endif %}</td>
{% endmacro %}
{% macro differences(rows, notes) %}
{% for title, kind_rows in by_kind(rows) %}
<tbody class="kind">{{ kind_head(title, j.sites | length + 2) }}
{% for row in kind_rows %}
<tr><th scope="row">{{ row.name }}</th>
{% for site in j.sites %}{{ difference(row.to_reference[site], notes, row.adjusted_p[site]) }}{% endfor %}
{{ difference(row.to_reference['mean'], notes, row.adjusted_p['mean'], kind='over-sites') }}</tr>
{% endfor %}</tbody>
{% endfor %}
{% endmacro %}
"""

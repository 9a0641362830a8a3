"""The page's sections on parts of the examples, on whole scans and on adapted models; each only where there is any."""

SIZE_STRATA = """
{% macro part_cell(found, notes) %}
<td>{% if found.auc.estimate.value is none %}{{ undefined(found.auc.estimate, notes) }}
{%- else %}{{ found.auc.estimate.value | number }}
{%- if found.auc.estimate.reason %}<sup>{{ notes.mark(found.auc.estimate.reason) }}</sup>{% endif %}
{%- if found.auc.estimate.low is not none %}<small>{{ found.auc.estimate | interval }}</small>{% endif %}
{%- endif %}
{%- if found.num_patients %}<small>{{ found.num_patients }} patients</small>
<small>{{ found.num_positive }} / {{ found.num_negative }}</small>{% endif %}</td>
{% endmacro %}
{% macro parts_table(parts, caption) %}
{% set notes = new_notes() %}
<div class="scroll"><table>
<caption>{{ caption }}</caption>
<thead><tr><th scope="col">{{ j.reference }}</th>{{ site_heads(sizes=false) }}</tr></thead>
{% for title, levels in parts %}
<tbody class="kind">{{ kind_head(title, j.sites | length + 1) }}
{% for level, part in levels %}
<tr><th scope="row">{{ level }}</th>
{% for site in j.sites %}{{ part_cell(part.sites[site], notes) }}{% endfor %}</tr>
{% endfor %}</tbody>
{% endfor %}</table></div>
{{ footnotes(notes) }}
{% endmacro %}
{% if j.size_strata %}
<section aria-labelledby="size-strata">{{ h2('size-strata', 'Within strata of nodule size') }}
{{ parts_table(size_parts, 'AUC of ' ~ j.reference ~ ' at each unseen site within each stratum, with patients and '
'positive / negative examples. Background has no size, and stands in every stratum.') }}
{% set notes = new_notes() %}
<h3>Mean of the sites within each stratum</h3>
<div class="scroll"><table>
<caption>Defined only where every site has both classes in the stratum: a mean over fewer sites would be one over other
sites in every column.</caption>
<thead><tr><th scope="col">Method</th>
{% for level in j.size_strata.strata %}<th scope="col">{{ level_words['size', level] }}</th>{% endfor %}</tr></thead>
{% for title, rows in by_kind(j.size_strata.standardised.rows) %}
<tbody class="kind">{{ kind_head(title, j.size_strata.strata | length + 1) }}
{% for row in rows %}
<tr><th scope="row">{{ row.name }}</th>
{% for rows_by_name in stratum_rows.values() %}
{{ told(rows_by_name[row.name].unseen_mean.estimate, notes) }}{% endfor %}</tr>
{% endfor %}</tbody>
{% endfor %}</table></div>
{{ footnotes(notes) }}
{% set notes = new_notes() %}
<h3>With one mix of sizes at every site</h3>
<div class="scroll"><table>
<caption>Sum over strata of weight times AUC within the stratum; weights of Mantel and Haenszel, of all sites' examples
together, of the strata that have both classes at every unseen site
({% for level, weight in j.size_strata.weights.items() %}{{ level_words['size', level] }}: {{ weight | percent }},
{% else %}none, {% endfor %}which are {{ j.size_strata.share | percent }} of the mix). Gaps are over the strata that the
sources' test patients have as well ({{ j.size_strata.gap_share | percent }} of the mix). As it is: the sizes are the
site's own.</caption>
<thead><tr><th scope="col">Method</th>{{ site_heads(sizes=false) }}
<th scope="col" class="over-sites">Mean of the sites</th>{{ heads(['As it is', 'Gap', 'Gap as it is']) }}</tr></thead>
{% for title, rows in by_kind(j.size_strata.standardised.rows) %}
<tbody class="kind">{{ kind_head(title, j.sites | length + 5) }}
{% for row in rows %}
<tr><th scope="row">{{ row.name }}</th>{{ unseen_cells(row, notes) }}
{{ told(plain_rows[row.name].unseen_mean.estimate, notes) }}
{% if row.kind == 'without pixels' %}<td>–</td><td>–</td>{% else %}{{ told(row.gap, notes, signed=true) }}
{{ told(plain_rows[row.name].gap, notes, signed=true) }}{% endif %}</tr>
{% endfor %}</tbody>
{% endfor %}</table></div>
{{ footnotes(notes) }}
</section>
{% endif %}
"""

SUBGROUPS = """
{% if other_parts %}
<section aria-labelledby="parts">{{ h2('parts', 'Subgroups') }}
{{ parts_table(other_parts, 'AUC of ' ~ j.reference ~ ' in parts of each unseen site’s examples, with patients and '
'positive / negative examples. Many parts are looked at here, and one in twenty intervals leaves out the truth by '
'chance alone.') }}
</section>
{% endif %}
"""

SEARCHED = """
{% if j.searched %}
<section aria-labelledby="froc">{{ h2('froc', 'Finding nodules in whole scans') }}
{% set notes = new_notes() %}
<div class="scroll"><table>
<caption>CPM: mean sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false positives a scan. All scans of each unseen site;
below it its scans and nodules. Sources: the same models on the test patients' scans of the sites that trained them.
</caption>
<thead><tr><th scope="col">Method</th>
{% for site, found in j.searched.sites.items() %}<th scope="col">{{ site }}<small>{{ found.num_scans }} scans</small>
<small>{{ found.num_nodules }} nodules</small></th>{% endfor %}
<th scope="col" class="over-sites">Mean of the sites</th>{{ heads(['Sources', 'Gap']) }}</tr></thead>
{% for title, rows in by_kind(j.searched.tables['cpm'].rows) %}
<tbody class="kind">{{ kind_head(title, j.sites | length + 4) }}
{% for row in rows %}
<tr><th scope="row">{{ row.name }}</th>{{ unseen_cells(row, notes) }}{{ trained_cells(row, notes) }}</tr>
{% endfor %}</tbody>
{% endfor %}</table></div>
{{ footnotes(notes) }}
{% set notes = new_notes() %}
<h3>CPM minus {{ j.reference }}, on the same patients</h3>
<div class="scroll"><table>
<caption>Paired by patient; adjusted by Holm's method, over all rows and sites together, and over all rows for the mean.
</caption>
<thead><tr><th scope="col">Method</th>{{ site_heads(sizes=false) }}
<th scope="col" class="over-sites">Mean of the sites</th></tr></thead>
{{ differences(compared_searches, notes) }}</table></div>
{{ footnotes(notes) }}
{% set notes = new_notes() %}
<h3>Sensitivity by false positives a scan</h3>
<div class="scroll"><table>
<caption>Mean of the unseen sites; those of each site are in loso.csv.</caption>
<thead><tr>{{ heads(['Method', '1/8', '1/4', '1/2', '1', '2', '4', '8']) }}</tr></thead>
{% for title, rows in by_kind(j.searched.tables['cpm'].rows) %}
<tbody class="kind">{{ kind_head(title, 8) }}
{% for row in rows %}
<tr><th scope="row">{{ row.name }}</th>
{% for rows_by_name in rate_rows %}{{ told(rows_by_name[row.name].unseen_mean.estimate, notes) }}{% endfor %}</tr>
{% endfor %}</tbody>
{% endfor %}</table></div>
{{ footnotes(notes) }}
</section>
{% endif %}
"""

ADAPTED = """
{% if j.adapted %}
<section class="apart" aria-labelledby="adapted">{{ h2('adapted', 'Adapted to the unseen site: no longer unseen') }}
{% set notes = new_notes() %}
<div class="scroll"><table>
<caption>AUC once the models' normalization statistics were taken anew from unlabelled images of some of the site's own
patients, and below it that minus the same models as they came, on the same patients. Such a model has seen the site:
no row of it is compared with those above.</caption>
<thead><tr><th scope="col">Method</th>{{ site_heads(sizes=false) }}
<th scope="col" class="over-sites">Mean of the sites</th></tr></thead>
{% for row in j.adapted %}
<tbody><tr><th scope="row">{{ row.name }}</th>{{ unseen_cells(row, notes) }}</tr>
<tr><th scope="row">minus {{ row.method }}, not adapted</th>
{% for site in j.sites %}{{ difference(row.minus_unadapted[site], notes) }}{% endfor %}
{{ difference(row.minus_unadapted['mean'], notes, kind='over-sites') }}</tr></tbody>
{% endfor %}</table></div>
{{ footnotes(notes) }}
</section>
{% endif %}
"""

STRATA = SIZE_STRATA + SUBGROUPS + SEARCHED + ADAPTED

"""The page's sections with numbers: sites and methods, differences, gaps, the matrix, other metrics, seeds."""

HEADLINE = """
<section aria-labelledby="sites">{{ h2('sites', 'At a site that it never saw') }}
{% set notes = new_notes() %}
<div class="scroll"><table>
<caption>AUC of all patients of each site by models that never saw it: mean over {{ j.seeds | length }}
seed{{ 's' if j.seeds | length != 1 }}, with {{ j.confidence | percent }} intervals from {{ j.num_replicates }}
bootstrap replicates by patient. Below a site its patients, and positive / negative examples. Sources: the same models
on the test patients of the sites that trained them. Gap: sources minus unseen.</caption>
<thead><tr><th scope="col">Method</th>{{ site_heads() }}<th scope="col" class="over-sites">Mean of the sites</th>
<th scope="col">Seed sd<small>of the mean</small></th>{{ heads(['Worst site', 'Sources', 'Gap']) }}</tr></thead>
{% for title, rows in by_kind(auc.rows) %}
<tbody class="kind">{{ kind_head(title, j.sites | length + 6) }}
{% for row in rows %}
<tr><th scope="row">{{ row.name }}</th>{{ unseen_cells(row, notes) }}
<td>{{ '–' if row.unseen_mean.seeds.sd is none else row.unseen_mean.seeds.sd | number }}</td>
{{ worst(row, notes) }}{{ trained_cells(row, notes) }}</tr>
{% endfor %}</tbody>
{% endfor %}</table></div>
{{ footnotes(notes) }}
</section>

<section aria-labelledby="forest">{{ h2('forest', 'AUC by method and site') }}
<figure>{% for picture in pictures %}<div class="forest">{{ image(picture) }}</div>{% endfor %}
<figcaption>Each site when it is unseen, and their mean. Bars are {{ j.confidence | percent }} intervals by patient.
Squares: federated methods; diamonds: baselines; open circles: without looking at a pixel. The dashed line at .5 is
chance. Rows share their patients, so that overlapping bars do not say that two rows are alike: see the differences.
</figcaption></figure>
</section>
"""

DIFFERENCES = """
<section aria-labelledby="reference">{{ h2('reference', 'Minus ' ~ j.reference ~ ', on the same patients') }}
{% set notes = new_notes() %}
{% if compared %}
<div class="scroll"><table>
<caption>Difference in AUC to {{ j.reference }} (mean over seeds), with its {{ j.confidence | percent }} interval and
two-sided p-value, paired by patient. Adjusted: by Holm's method, over all rows and sites together, and over all rows
for the mean. Bold: adjusted p below {{ (1 - j.confidence) | number }}.</caption>
<thead><tr><th scope="col">Method</th>{{ site_heads(sizes=false) }}
<th scope="col" class="over-sites">Mean of the sites</th></tr></thead>
{{ differences(compared, notes) }}</table></div>
{{ footnotes(notes) }}
{% else %}<p>There is no row beside {{ j.reference }}.</p>{% endif %}
</section>

<section aria-labelledby="size">{{ h2('size', 'Minus what the diameter alone reaches') }}
{% if size_is_undefined %}
<p><span class="undefined">undefined</span>: background has no diameter, so that a task with background among its
negative examples cannot be ranked by it, or no site has told of it ({{ size_is_undefined }}).</p>
{% else %}
{% set notes = new_notes() %}
<div class="scroll"><table>
<caption>AUC minus that of the nodules' diameter at the same site, paired by patient. Not adjusted for their number.
</caption>
<thead><tr><th scope="col">Method</th>{{ site_heads(sizes=false) }}</tr></thead>
{% for title, rows in by_kind(trained) %}
<tbody class="kind">{{ kind_head(title, j.sites | length + 1) }}
{% for row in rows %}
<tr><th scope="row">{{ row.name }}</th>
{% for site in j.sites %}{{ difference(row.to_size[site], notes) }}{% endfor %}</tr>
{% endfor %}</tbody>
{% endfor %}</table></div>
{{ footnotes(notes) }}
{% endif %}
</section>
"""

GAPS = """
<section aria-labelledby="gaps">{{ h2('gaps', 'Gap by unseen site') }}
{% set notes = new_notes() %}
<div class="scroll"><table>
<caption>Mean AUC of the test patients of the sites that trained, minus the AUC of the site that was unseen. Other
patients on either side: a gap is the site's difficulty and the model's failure together.</caption>
<thead><tr><th scope="col">Method</th>{{ site_heads(sizes=false) }}
<th scope="col" class="over-sites">All sites</th></tr></thead>
{% for title, rows in by_kind(trained) %}
<tbody class="kind">{{ kind_head(title, j.sites | length + 2) }}
{% for row in rows %}
<tr><th scope="row">{{ row.name }}</th>{{ estimates(row.gaps, notes, signed=true) }}
{{ told(row.gap, notes, signed=true, kind='over-sites') }}</tr>
{% endfor %}</tbody>
{% endfor %}</table></div>
{{ footnotes(notes) }}
</section>

<section class="apart" aria-labelledby="oracle">{{ h2('oracle', 'Oracle: ' ~ oracle_title) }}
{% set notes = new_notes() %}
<div class="scroll"><table>
<caption>First row: AUC of the model that all sites trained, on each site's own test patients, which are fewer than
those above. Below: that model minus each method's models, which never saw the site, on the same test patients. This is
what training without the site costs; what the oracle does not reach either is the site's own difficulty.</caption>
<thead><tr><th scope="col"></th>{{ site_heads(sizes=false) }}</tr></thead>
<tbody><tr class="apart"><th scope="row">Oracle, AUC</th>
{% for site in j.sites %}{{ told(auc.oracle[site].estimate, notes) }}{% endfor %}</tr></tbody>
{% for title, rows in by_kind(trained) %}
<tbody class="kind">{{ kind_head('Oracle minus: ' ~ title | lower, j.sites | length + 1) }}
{% for row in rows %}
<tr><th scope="row">{{ row.name }}</th>{{ estimates(row.to_oracle, notes, signed=true) }}</tr>
{% endfor %}</tbody>
{% endfor %}</table></div>
{{ footnotes(notes) }}
</section>
"""

MATRIX = """
<section aria-labelledby="matrix">{{ h2('matrix', 'Every model on every site') }}
{% set notes = new_notes() %}
<div class="scroll"><table>
<caption>AUC, mean over seeds. Shaded and called seen: the site trained the model, and is judged on its own test
patients; otherwise on all of its patients.</caption>
<thead><tr><th scope="col">Model</th>{{ site_heads(sizes=false) }}</tr></thead><tbody>
{% for row in auc.matrix %}
<tr><th scope="row">{{ row.name }}</th>
{% for site in j.sites %}
{{ told(row.sites[site].estimate, notes, kind='seen' if site in row.seen else '') }}
{% endfor %}</tr>
{% endfor %}</tbody></table></div>
{{ footnotes(notes) }}
</section>
"""

OTHER_METRICS = """
<section aria-labelledby="metrics">{{ h2('metrics', 'Other metrics') }}
{% for table in others %}
{% set notes = new_notes() %}
<h3>{{ metric_titles[table.metric] }}</h3>
<div class="scroll"><table>
<caption>Of each unseen site, their mean, the sites that trained, and sources minus unseen.</caption>
<thead><tr><th scope="col">Method</th>{{ site_heads(sizes=false) }}
<th scope="col" class="over-sites">Mean of the sites</th>{{ heads(['Sources', 'Gap']) }}</tr></thead>
{% for title, rows in by_kind(table.rows) %}
<tbody class="kind">{{ kind_head(title, j.sites | length + 4) }}
{% for row in rows %}
<tr><th scope="row">{{ row.name }}</th>{{ unseen_cells(row, notes) }}{{ trained_cells(row, notes) }}</tr>
{% endfor %}</tbody>
{% endfor %}</table></div>
{{ footnotes(notes) }}
{% endfor %}
</section>
"""

SEEDS = """
<section aria-labelledby="seeds">{{ h2('seeds', 'Seed by seed') }}
<div class="scroll"><table>
<caption>AUC of each unseen site with seed{{ 's' if j.seeds | length != 1 }} {{ j.seeds | join(', ') }}, in this order;
sd is the standard deviation of the sample{{ ', which one seed does not have' if j.seeds | length == 1 }}. It is the
spread of training, and no confidence interval.</caption>
<thead><tr><th scope="col">Method</th>{{ site_heads(sizes=false) }}
<th scope="col" class="over-sites">Mean of the sites</th></tr></thead>
{% for title, rows in by_kind(trained) %}
<tbody class="kind">{{ kind_head(title, j.sites | length + 2) }}
{% for row in rows %}
<tr><th scope="row">{{ row.name }}</th>{% for site in j.sites %}{{ by_seed(row.unseen[site]) }}{% endfor %}
{{ by_seed(row.unseen_mean, kind='over-sites') }}</tr>
{% endfor %}</tbody>
{% endfor %}</table></div>
</section>
"""

TABLES = HEADLINE + DIFFERENCES + GAPS + MATRIX + OTHER_METRICS + SEEDS

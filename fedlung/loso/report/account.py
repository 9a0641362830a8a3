"""The page's sections on what the numbers were made of: chosen settings, folds, and where everything comes from."""

CHOICES = """
{% if choices %}
<section aria-labelledby="chosen">{{ h2('chosen', 'Chosen on source validation') }}
{% set notes = new_notes() %}
<div class="scroll"><table>
<caption>With each site unseen, what a method's choices reached on the validation patients of the sites that trained:
{{ j.config['evaluate.select'] }}, mean over seeds. By it alone the choice was made, for each unseen site anew and for
all seeds alike; of equals the first. Nothing of the unseen site is in it. Shaded and called chosen: what the site is
judged with above.</caption>
<thead><tr><th scope="col">Method</th>{{ site_heads(sizes=false) }}</tr></thead>
{% for method, tried in choices.items() %}
<tbody class="kind">{{ kind_head(method, j.sites | length + 1) }}
{% for settings, by_site in tried.items() %}
<tr><th scope="row"><code>{{ settings }}</code></th>
{% for site in j.sites %}{{ tried_cell(by_site[site], notes) }}{% endfor %}</tr>
{% endfor %}</tbody>
{% endfor %}</table></div>
{{ footnotes(notes) }}
</section>
{% endif %}
"""

ACCOUNT = """
<section aria-labelledby="folds">{{ h2('folds', 'The runs of the plan') }}
<p>{{ finished | length }} of {{ j.folds | length }} have finished.
{%- if absent %} What is missing is left out of the numbers above, where it is said.{% endif %}</p>
{% if absent %}
<div class="scroll"><table class="folds">
<caption>Without a result.</caption>
<thead><tr><th scope="col">Run</th><th scope="col" class="text">State</th><th scope="col" class="text">Reason</th></tr>
</thead><tbody>
{% for fold in absent %}
<tr><th scope="row">{{ fold.name }}</th><td class="text">{{ fold.state }}</td><td class="wrap">{{ fold.reason }}
</td></tr>
{% endfor %}</tbody></table></div>
{% endif %}
{% if finished %}
<div class="scroll"><table class="folds">
<caption>Finished. The round was chosen by {{ j.config['evaluate.select'] }} on the validation patients of the sites
that trained, and by nothing else; its value there is beside it. Seconds: of all rounds.</caption>
<thead><tr>{{ heads(['Run', 'Chosen round', 'On validation', 'Seconds', 'Configuration']) }}</tr></thead><tbody>
{% for fold in finished %}
<tr><th scope="row">{{ fold.name }}</th><td>{{ '–' if fold.server_round is none else fold.server_round }}</td>
<td>{{ fold.validation | number }}</td><td>{{ fold.seconds | seconds }}</td>
<td><code>{{ fold.config_fingerprint }}</code></td></tr>
{% endfor %}</tbody></table></div>
{% endif %}
</section>

<section aria-labelledby="provenance"><h2 id="provenance">Provenance</h2>
<dl class="facts">
<dt>fedlung</dt><dd>{{ j.fedlung_version }}</dd>
<dt>Seeds</dt><dd>{{ j.seeds | join(', ') }}</dd>
<dt>Reference</dt><dd>{{ j.reference }}</dd>
<dt>Configuration</dt><dd><code>{{ j.config_fingerprint }}</code></dd>
{% for row in auc.rows if row.settings %}
<dt>{{ row.name }} has otherwise</dt><dd>{% for key, value in row.settings.items() %}
<code>{{ key }} = {{ value }}</code>{{ ', ' if not loop.last }}{% endfor %}</dd>
{% endfor %}
{% for site, fingerprint in j.data_fingerprints.items() %}
<dt>Data of {{ site }}</dt><dd><code>{{ fingerprint }}</code></dd>
{% endfor %}
{% for site, versions in j.versions.items() %}
<dt>Machine of {{ site }}</dt><dd>{% for package, version in versions.items() %}
{{ package }} {{ version }}{{ ', ' if not loop.last }}{% endfor %}</dd>
{% endfor %}
</dl>
<details><summary>All settings</summary><dl class="facts">
{% for key, value in j.config.items() %}
<dt><code>{{ key }}</code></dt><dd><code>{{ value }}</code></dd>
{% endfor %}
</dl></details>
</section>
"""

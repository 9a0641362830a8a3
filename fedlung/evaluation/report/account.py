"""The page's sections on what the numbers were made of: the ledger, who trained, provenance."""

ACCOUNT = """
<section aria-labelledby="ledger"><h2 id="ledger">What there was, and what was left out and why</h2>
<div class="scroll"><table>
<caption>Series (or cubes of an archive) by site, and patients by split with positive / negative examples.</caption>
<thead><tr>{{ heads(['Site', 'Declared', 'Readable', 'Prepared', 'Left out']) }}{{ heads(splits) }}</tr></thead><tbody>
{% for ledger in j.ledgers %}
<tr class="{{ 'apart' if ledger.site in j.held_out }}"><th scope="row">{{ ledger.site }}</th>
<td>{{ ledger.num_declared }}</td><td>{{ ledger.num_readable }}</td><td>{{ ledger.num_prepared }}</td>
<td>{{ ledger.left_out.values() | sum }}</td>
{% for split in splits %}
{% set counts = ledger.splits.get(split) %}
<td>{% if counts %}{{ counts.num_patients }}<small>{{ counts.num_positive }} / {{ counts.num_negative }}</small>
{% else %}–{% endif %}</td>
{% endfor %}</tr>
{% endfor %}</tbody></table></div>
{% if not reasons.left_out %}<p class="aside">No series was left out.</p>{% endif %}
{% if reasons.values() | sum(start=[]) %}
<div class="scroll"><table class="reasons">
<caption>Why, by reason: series that are no case; files beside them that are no slices; nodules of prepared cases that
are no example of the task; and cases that are used although something about them is odd.</caption>
<thead><tr><th></th>{% for ledger in j.ledgers %}<th scope="col">{{ ledger.site }}</th>{% endfor %}</tr></thead>
{% for kind, title in reason_titles.items() if reasons[kind] %}
<tbody><tr><th scope="rowgroup" colspan="{{ j.ledgers | length + 1 }}">{{ title }}</th></tr>
{% for reason, numbers in reasons[kind] %}
<tr><th scope="row" class="reason"><code>{{ reason }}</code></th>
{% for number in numbers %}<td>{{ number }}</td>{% endfor %}</tr>
{% endfor %}</tbody>
{% endfor %}</table></div>
{% endif %}
{% if j.absences %}
<div class="scroll"><table class="absences">
<caption>Sites that were expected in a step and were not in it.</caption>
<thead><tr><th scope="col">Site</th><th scope="col" class="text">Step</th><th scope="col" class="text">Reason</th></tr>
</thead><tbody>
{% for absence in j.absences %}
<tr><th scope="row">{{ absence.site }}</th><td class="text">{{ absence.stage }}</td>
<td class="wrap">{{ absence.reason }}</td></tr>
{% endfor %}
</tbody></table></div>
{% endif %}
</section>

<section aria-labelledby="participation"><h2 id="participation">Who trained</h2>
<div class="scroll"><table>
<caption>Each site's share of each round's aggregate; below it examples, steps, training loss, seconds, and the size of
the weights that went to the site and came from it.</caption>
<thead><tr>{{ heads(['Round']) }}{{ heads(trained) }}</tr></thead><tbody>
{% for curve in j.curves %}
<tr><th scope="row">{{ curve.server_round }}</th>
{% for site in trained %}
{% set part = parts.get((curve.server_round, site)) %}
<td>{% if part %}{{ part.weight | percent }}<small>{{ part.num_examples }} ex., {{ part.num_steps }} steps, loss
{{ part.loss | number }}, {{ seconds.get((curve.server_round, site)) | seconds }}, {{ part.num_bytes | megabytes }}
</small>{% else %}
<span class="undefined">absent</span>{% endif %}</td>
{% endfor %}</tr>
{% endfor %}</tbody></table></div>
</section>

<section aria-labelledby="provenance"><h2 id="provenance">Provenance</h2>
<dl class="facts">
<dt>fedlung</dt><dd>{{ j.provenance.fedlung_version }}</dd>
<dt>Seed</dt><dd>{{ j.provenance.seed }}</dd>
<dt>Configuration</dt><dd><code>{{ j.provenance.config_fingerprint }}</code></dd>
{% for site, fingerprint in j.provenance.data_fingerprints.items() %}
<dt>Data of {{ site }}</dt><dd><code>{{ fingerprint }}</code></dd>
{% endfor %}
{% for site, versions in j.provenance.versions.items() %}
<dt>Machine of {{ site }}</dt><dd>{{ j.provenance.sources[site] }}, {{ j.provenance.devices[site] }};
{% for package, version in versions.items() %}{{ package }} {{ version }}{{ ', ' if not loop.last }}{% endfor %}</dd>
{% endfor %}
<dt>Time</dt><dd>{{ j.timings.started }} to {{ j.timings.finished }}</dd>
</dl>
<details><summary>All settings</summary><dl class="facts">
{% for key, value in j.provenance.config.items() %}
<dt><code>{{ key }}</code></dt><dd><code>{{ value }}</code></dd>
{% endfor %}
</dl></details>
</section>
"""

"""The report's page. A Python string, because Flower's app bundle takes no file with another ending."""

DEFINITIONS = (
    ("AUC", "the share of pairs of a positive and a negative example that the scores put in order, ties at half"),
    ("AUPRC", "average precision, the sum over thresholds of rise in recall times precision; chance is the prevalence"),
    ("Sensitivity (recall), specificity", "shares of the positive and of the negative examples that were called right"),
    (
        "Accuracy, precision, F1",
        "at the same frozen threshold; they move with the prevalence, so read them beside the constant answer",
    ),
    ("Brier", "mean squared difference between probability and label; lower is better"),
    ("Interval", "percentiles of a Poisson bootstrap by patient; none where over 5 % of the replicates are undefined"),
    ("Undefined", "the data cannot give the number (one class only, for example); it is neither 0 nor 0.5"),
    (
        "Scores",
        "binned at .05 on the logit scale before they leave a site; ranking metrics are exactly those of the bins",
    ),
)

PAGE = """
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
{% macro cells(row, notes, signed=false) %}
{% for key in titles %}{{ cell(row[key], notes, signed=signed) }}{% endfor %}
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
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{{ policy }}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{{ 'SYNTHETIC – ' if j.synthetic }}{{ j.task }}, held out: {{ held_out or 'none' }} – fedlung</title>
<style>{{ style }}</style>
</head>
<body>
{% if j.synthetic %}
<div class="banner" role="note"><strong>SYNTHETIC</strong>
{% if synthetic_sites == 'all sites' %}
Generated chest CT, no patients. These numbers test the software and nothing else.
{% else %}
The data of {{ synthetic_sites }} were generated. No number that includes them speaks of patients.
{% endif %}
</div>
{% endif %}
<header><div class="inner">
  <p class="kicker">fedlung {{ j.provenance.fedlung_version }} · run {{ j.timings.run }} · {{ j.timings.finished }}</p>
  <h1>{% if held_out %}How it does at {{ held_out }}, which it never saw{% else %}Site by site{% endif %}</h1>
  <p class="lead">Task “{{ j.task }}”: {{ j.task_definition }}. Weights of round {{ j.selection.server_round }}, picked
  on the source sites' validation patients only.</p>
  <dl class="cards">
    {% for row in j.sites if row.role == 'held-out' %}
    <div class="apart">{{ card('AUC at ' ~ row.name ~ ', held out', row.auc, examples(row)) }}</div>
    {% endfor %}
    {% set averaged = j.sites | selectattr('role', 'equalto', 'source') | rejectattr('auc.value', 'none') | list %}
    <div>{{ card('Mean AUC of the source sites', j.mean_sources.auc, 'sites: ' ~ averaged | length ~ ', patients: '
      ~ averaged | sum('num_patients')) }}</div>
    <div>{{ card('Gap in AUC', j.gap.auc, 'mean of the sources minus held out', signed=true) }}</div>
    {% for row in j.sites if row.name == j.worst_site.name %}
    <div>{{ card('AUC at the worst site, ' ~ row.name, row.auc, examples(row)) }}</div>
    {% else %}
    <div>{{ card('AUC at the worst site', j.worst_site.auc, '') }}</div>
    {% endfor %}
  </dl>
</div></header>
<main>

<section aria-labelledby="claims"><h2 id="claims">What can be said, and what cannot</h2>
<ul class="said">{% for claim in j.claims %}<li>{{ claim }}</li>{% endfor %}</ul>
</section>

<section aria-labelledby="sites"><h2 id="sites">Site by site</h2>
{% set notes = new_notes() %}
<div class="scroll"><table>
<caption>Test patients of each site, with {{ j.confidence | percent }} intervals from {{ j.num_replicates }} bootstrap
replicates by patient. {% if j.threshold.probability is not none %}Threshold {{ j.threshold.probability | number }}
({{ j.threshold.rule }}), frozen on {{ j.threshold.frozen_on }} ({{ j.threshold.num_patients }} patients).
{% else %}There is no threshold: {{ j.threshold.reason }}.{% endif %}</caption>
<thead><tr>{{ heads(['Site']) }}<th scope="col">Patients<small>pos / neg</small></th>{{ heads(titles.values()) }}</tr>
</thead>
<tbody>
{% for row in j.sites %}
<tr class="{{ 'apart' if row.role == 'held-out' }}"><th scope="row">{{ name(row) }}</th>{{ counts(row) }}
{{ cells(row, notes) }}</tr>
{% endfor %}
</tbody>
<tbody class="summary">
<tr><th scope="row">Mean of sources</th><td></td>{{ cells(j.mean_sources, notes) }}</tr>
<tr><th scope="row">Sources pooled</th>{{ counts(j.pooled_sources) }}{{ cells(j.pooled_sources, notes) }}</tr>
<tr><th scope="row">All pooled</th>{{ counts(j.pooled) }}{{ cells(j.pooled, notes) }}</tr>
<tr><th scope="row">Gap</th><td></td>{{ cells(j.gap, notes, signed=true) }}</tr>
</tbody></table></div>
{{ footnotes(notes) }}
<p class="aside">Gap: {{ j.gap.definition }}.</p>
</section>

<section aria-labelledby="forest"><h2 id="forest">AUC by site</h2>
<figure class="beside">{{ image(pictures.forest) }}
<figcaption>Test patients of each site. Bars are {{ j.confidence | percent }} intervals from {{ j.num_replicates }}
bootstrap replicates by patient. Squares: source sites; open diamond: held out; grey diamonds: summaries, the mean with
each site counting alike, the pooled value with each example. The dashed line at 0.5 is chance.
{% if 'size' in j.pooled.baselines %} Circle: what the nodule's diameter alone reaches.{% endif %}</figcaption></figure>
</section>

<section aria-labelledby="baselines"><h2 id="baselines">Beside what needs no network</h2>
{% set notes = new_notes() %}
<div class="scroll"><table><caption>A model that does not beat these has shown nothing.</caption>
<thead><tr>{{ heads(['Site']) }}<th scope="col">Patients<small>pos / neg</small></th>{{ heads(['AUC, model']) }}
{% for baseline in j.pooled.baselines %}{{ heads(['AUC, ' ~ baseline ~ ' alone', 'Model − ' ~ baseline]) }}{% endfor %}
{{ heads(['Accuracy, model', 'Accuracy, constant answer', 'F1, model', 'F1, always positive']) }}</tr></thead><tbody>
{% for row in j.sites %}
<tr class="{{ 'apart' if row.role == 'held-out' }}"><th scope="row">{{ name(row) }}</th>{{ counts(row) }}
{{ cell(row.auc, notes) }}
{% for baseline in j.pooled.baselines %}
{% if baseline in row.baselines %}{{ cell(row.baselines[baseline], notes) }}
{{ cell(row.advantages[baseline], notes, signed=true) }}{% else %}<td>–</td><td>–</td>{% endif %}
{% endfor %}
{{ cell(row.accuracy, notes) }}
<td>{% if row.constant.accuracy is none %}–{% else %}{{ row.constant.accuracy | number }}
<small>always {{ row.constant.answer }}</small>{% endif %}</td>
{{ cell(row.f1, notes) }}
<td>{{ '–' if row.constant.f1_of_always_positive is none else row.constant.f1_of_always_positive | number }}</td></tr>
{% endfor %}</tbody></table></div>
{{ footnotes(notes) }}
</section>

<section aria-labelledby="roc"><h2 id="roc">ROC by site</h2>
<div class="grid">
{% for row in j.sites %}
<figure class="panel">{{ image(pictures.roc[row.name]) }}
<figcaption><b>{{ name(row) }}</b>
AUC {{ with_reason(row.auc) }}<br>{{ examples(row) }}</figcaption></figure>
{% endfor %}</div>
<p class="aside">The circle is where the frozen threshold lies; its cross, the {{ j.confidence | percent }} intervals of
sensitivity and specificity there. The dashed diagonal is chance.</p>
</section>

<section aria-labelledby="confusion"><h2 id="confusion">Confusion matrices at the frozen threshold</h2>
<div class="grid">
{% for row in j.sites %}
{% if row.confusion is not none %}
<table class="confusion"><caption>{{ name(row) }}</caption>
<thead><tr><td></td>{{ heads(['called pos.', 'called neg.']) }}</tr></thead><tbody>
<tr><th scope="row">positive<small>n = {{ row.num_positive }}</small></th>
<td class="right">{{ row.confusion.true_positive }}</td><td>{{ row.confusion.false_negative }}</td></tr>
<tr><th scope="row">negative<small>n = {{ row.num_negative }}</small></th>
<td>{{ row.confusion.false_positive }}</td><td class="right">{{ row.confusion.true_negative }}</td></tr>
</tbody><tfoot><tr><td colspan="3">Sensitivity {{ with_reason(row.sensitivity) }}<br>
Specificity {{ with_reason(row.specificity) }}</td></tr></tfoot></table>
{% else %}
<p><b>{{ row.name }}</b><br><span class="undefined">undefined: {{ row.sensitivity.reason }}</span></p>
{% endif %}
{% endfor %}</div>
<p class="aside">Counts of examples, n of them in each class; shaded: called right. {{ j.confidence | percent }}
intervals by patient.</p>
</section>

{% if pictures.curves %}
<section aria-labelledby="curves"><h2 id="curves">Learning curves</h2>
<div class="two">
{% for title, picture in pictures.curves.items() %}
<figure>{{ image(picture) }}<figcaption><b>{{ title }}</b> by round</figcaption></figure>
{% endfor %}
</div>
<p class="aside">Solid: source sites on their validation patients, n of them.{% if held_out %} Dashed: {{ held_out }} on
its test patients, drawn to be looked at and never used for selection.{% endif %} Dotted: round
{{ j.selection.server_round }}, selected by the rule “{{ j.selection.definition }}”
({{ j.selection.value | number }} over {{ j.selection.sites | join(', ') }}). Without intervals: the rounds of one run
are no repetitions.</p>
</section>
{% endif %}

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
<caption>Each site's share of each round's aggregate; below it examples, steps, training loss and seconds.</caption>
<thead><tr>{{ heads(['Round']) }}{{ heads(trained) }}</tr></thead><tbody>
{% for curve in j.curves %}
<tr><th scope="row">{{ curve.server_round }}</th>
{% for site in trained %}
{% set part = parts.get((curve.server_round, site)) %}
<td>{% if part %}{{ part.weight | percent }}<small>{{ part.num_examples }} ex., {{ part.num_steps }} steps, loss
{{ part.loss | number }}, {{ seconds.get((curve.server_round, site)) | seconds }}</small>{% else %}
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

<section aria-labelledby="definitions"><h2 id="definitions">Definitions</h2>
<dl class="facts">{% for term, meaning in definitions %}<dt>{{ term }}</dt><dd>{{ meaning }}</dd>{% endfor %}</dl>
</section>
</main>
<footer>Research software; no medical device. The same numbers are in report.json and report.csv.</footer>
</body>
</html>
"""

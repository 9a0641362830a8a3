"""The report's page. A Python string, because Flower's app bundle takes no file with another ending."""

from fedlung.evaluation.report.account import ACCOUNT
from fedlung.evaluation.report.adapted import ADAPTED_SECTION
from fedlung.evaluation.report.macros import MACROS
from fedlung.evaluation.report.results import RESULTS

DEFINITIONS = (
    ("AUC", "the share of pairs of a positive and a negative example that the scores put in order, ties at half"),
    ("AUPRC", "average precision, the sum over thresholds of rise in recall times precision; chance is the prevalence"),
    ("Sensitivity (recall), specificity", "shares of the positive and of the negative examples that were called right"),
    (
        "Accuracy, precision, F1",
        "at the same frozen threshold; they move with the prevalence, so read them beside the constant answer",
    ),
    (
        "At .90",
        "sensitivity at the threshold with a specificity of at least .90 on source validation, and the other way "
        "around; at a site the held rate comes out as it will",
    ),
    (
        "Carried over",
        "precision π·sens / (π·sens + (1 − π)·(1 − spec)) at the reference prevalence π; AUPRC with that precision",
    ),
    (
        "Subgroups",
        "parts of the same test examples; a patient weighs in a part as in the whole. Background has no size and no "
        "texture, and stands beside the nodules of each of their levels. A site with a floor on patients keeps smaller "
        "parts to itself, and a larger one where the rest would give the small one away",
    ),
    (
        "CPM",
        "mean sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false positives a scan, linear between thresholds (LUNA16)",
    ),
    ("Brier", "mean squared difference between probability and label; lower is better"),
    (
        "ECE",
        "sum over 15 groups of equal mass (a score bin is never divided) of share of examples times |mean probability "
        "− share of positives|, scores at their bins' centres; few examples alone make it larger than 0, and its "
        "bootstrap replicates larger still: they are moved to have the error shown as their mean",
    ),
    (
        "Calibration slope, intercept",
        "logistic regression of the label on the logit, by maximum likelihood; a slope below 1: scores too extreme",
    ),
    ("Interval", "percentiles of a Poisson bootstrap by patient; none where over 5 % of the replicates are undefined"),
    ("Undefined", "the data cannot give the number (one class only, for example); it is neither 0 nor 0.5"),
    (
        "Scores",
        "binned at .05 on the logit scale before they leave a site; ranking metrics are exactly those of the bins",
    ),
)

SUMMARY = """
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
{{ body(titles, notes) }}</table></div>
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
"""

DEFINITIONS_AND_END = """
<section aria-labelledby="definitions"><h2 id="definitions">Definitions</h2>
<dl class="facts">{% for term, meaning in definitions %}<dt>{{ term }}</dt><dd>{{ meaning }}</dd>{% endfor %}</dl>
</section>
</main>
<footer>Research software; no medical device. The same numbers are in report.json and report.csv.</footer>
</body>
</html>
"""

PAGE = MACROS + SUMMARY + RESULTS + ADAPTED_SECTION + ACCOUNT + DEFINITIONS_AND_END

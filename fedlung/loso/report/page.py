"""The page of a leave-one-site-out run: its head, its end and its definitions. Strings, as the run report's are."""

from fedlung.evaluation.report.macros import MACROS
from fedlung.loso.report.account import ACCOUNT, CHOICES
from fedlung.loso.report.macros import LOSO_MACROS
from fedlung.loso.report.strata import STRATA
from fedlung.loso.report.tables import TABLES

DEFINITIONS = (
    ("Unseen", "the site trained nothing, chose no round and froze no threshold of the models it is judged by"),
    ("AUC", "the share of pairs of a positive and a negative example that the scores put in order, ties at half"),
    ("Mean of the sites", "each unseen site counts alike, whatever its number of patients"),
    ("Worst site", "the lowest AUC; the lowest of several noisy numbers is too low on average"),
    ("Gap", "mean over the sites that trained, on their test patients, minus the unseen site"),
    (
        "Interval",
        "percentiles of a Poisson bootstrap by patient, of the mean over seeds; a patient weighs alike in every run, "
        "so that differences are paired. It holds other patients of these sites, not other sites or seeds",
    ),
    ("p-value", "two-sided, from the same replicates: the level at which the interval begins to hold 0"),
    ("Adjusted", "Holm's p-value: the chance of even one false difference in the whole table stays below the level"),
    ("Pooled training", "one machine has the patients of all sites but the unseen one; the same local loop"),
    ("Each site alone", "models that one site trained; the mean of their values, not of their scores"),
    ("Ensemble", "the mean logit of the models that the other sites trained alone"),
    ("Uniform weights", "the reference with every site weighing alike in the aggregate"),
    (
        "Protocol alone",
        "ranks by the share of positives that a slice thickness and kernel together have at the other sites; where a "
        "site tells of one of them only, by that",
    ),
    (
        "One mix of sizes",
        "AUC within each stratum of size, weighed alike at every site: a site with other sizes is no harder by them",
    ),
    ("CPM", "mean sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false positives a scan, by LUNA16's rules of a hit"),
    ("Frozen", "set on the source sites' validation, before any test patient was scored"),
    ("Undefined", "the data cannot give the number (one class only, for example); it is neither 0 nor 0.5"),
)

HEAD = """
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{{ policy }}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{{ 'SYNTHETIC – ' if j.synthetic }}{{ j.task }}, each site left out in turn – fedlung</title>
<style>{{ style }}</style>
</head>
<body>
{% if j.synthetic %}
<div class="banner" role="note"><strong>SYNTHETIC</strong>
Generated chest CT is in these numbers. They test the software, and no number here speaks of patients.
</div>
{% endif %}
<header><div class="inner">
  <p class="kicker">fedlung {{ j.fedlung_version }} · leave-one-site-out · {{ j.sites | length }} sites ·
  {{ j.seeds | length }} seed{{ 's' if j.seeds | length != 1 }}</p>
  <h1>How it does at a site that it never saw</h1>
  <p class="lead">Task “{{ j.task }}”: {{ j.task_definition }}. Every site was left out in turn; rounds and thresholds
  were picked on the other sites' validation patients only.</p>
  <dl class="cards">
  {% for row in auc.rows if row.name == j.reference %}
    <div class="apart">{{ card('Mean AUC at unseen sites, ' ~ row.name, row.unseen_mean.estimate,
      'sites: ' ~ j.sites | length ~ ', patients: ' ~ j.sites.values() | sum('num_patients')) }}</div>
    <div>{{ card('AUC at its worst site' ~ (', ' ~ row.worst_site if row.worst_site else ''), row.worst,
      'the lowest of ' ~ j.sites | length ~ ' sites') }}</div>
    <div>{{ card('Mean AUC at the sites that trained', row.source_mean.estimate, 'their test patients') }}</div>
    <div>{{ card('Gap in AUC', row.gap, 'sources minus unseen', signed=true) }}</div>
  {% endfor %}
  </dl>
</div></header>
<main>

<section aria-labelledby="claims"><h2 id="claims">What can be said, and what cannot</h2>
<ul class="said">{% for claim in j.claims %}<li>{{ claim }}</li>{% endfor %}</ul>
</section>
"""

END = """
<section aria-labelledby="definitions"><h2 id="definitions">Definitions</h2>
<dl class="facts">{% for term, meaning in definitions %}<dt>{{ term }}</dt><dd>{{ meaning }}</dd>{% endfor %}</dl>
</section>
</main>
<footer>Research software; no medical device. The same numbers are in loso.json and loso.csv.</footer>
</body>
</html>
"""

PAGE = MACROS + LOSO_MACROS + HEAD + TABLES + STRATA + CHOICES + ACCOUNT + END

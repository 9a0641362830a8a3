"""The page's sections on how the model did, after the table of sites."""

from fedlung.evaluation.report.parts import DETECTION, SUBGROUPS
from fedlung.evaluation.report.rescanned import RESCANNED_SECTION

OPERATING = """
<section aria-labelledby="operating"><h2 id="operating">At a specificity, and at a sensitivity, of .90</h2>
{% set notes = new_notes() %}
<div class="scroll"><table class="operating">
<caption>Two more thresholds, frozen on the same source validation; what comes of them at each site. A site at which the
held rate is not near .90 scores higher or lower than the sources did.</caption>
<thead><tr><th scope="col" rowspan="2">Site</th><th scope="col" rowspan="2">Patients<small>pos / neg</small></th>
{{ operating_head('specificity', points.spec90) }}{{ operating_head('sensitivity', points.sens90) }}</tr>
<tr>{{ heads(['Sensitivity', 'Specificity', 'Sensitivity', 'Specificity']) }}</tr></thead>
{{ body(operating_keys, notes) }}</table></div>
{{ footnotes(notes) }}
</section>

<section aria-labelledby="prevalence"><h2 id="prevalence">Carried over to one prevalence</h2>
{% set notes = new_notes() %}
<div class="scroll"><table>
<caption>Precision and AUPRC move with the prevalence, so that as they stand they do not compare sites. Carried over: as
they would be {% if j.reference_prevalence is none %}at a common prevalence, of which there is none{% else %}where
{{ j.reference_prevalence | percent }} are positive, as in the source sites' validation{% endif %}, each class scoring
as it does at the site.</caption>
<thead><tr>{{ heads(['Site']) }}<th scope="col">Patients<small>pos / neg</small></th>
{{ heads(['Precision', 'Precision, carried over', 'AUPRC', 'AUPRC, carried over']) }}</tr></thead>
{{ body(('precision', 'precision_adjusted', 'auprc', 'auprc_adjusted'), notes) }}</table></div>
{{ footnotes(notes) }}
</section>
"""

CROSS_CHECK = """
<section aria-labelledby="delong"><h2 id="delong">The intervals of AUC, cross-checked</h2>
{% set notes = new_notes() %}
<div class="scroll"><table>
<caption>DeLong's interval beside the bootstrap's. It takes examples as independent; where the examples of one patient
are alike it is too narrow, and the bootstrap by patient holds. Where patients have one example each, the two should
agree.</caption>
<thead><tr>{{ heads(['Site']) }}<th scope="col">Patients<small>pos / neg</small></th>
{{ heads(['AUC, bootstrap by patient', 'AUC, DeLong']) }}</tr></thead><tbody>
{% for row in j.sites %}
<tr class="{{ 'apart' if row.role == 'held-out' }}"><th scope="row">{{ name(row) }}</th>{{ counts(row) }}
{{ cell(row.auc, notes) }}{{ cell(row.auc_delong, notes) }}</tr>
{% endfor %}</tbody></table></div>
{{ footnotes(notes) }}
</section>
"""

BASELINES_AND_ROC = """
<section aria-labelledby="baselines"><h2 id="baselines">Beside what needs no network</h2>
{% set notes = new_notes() %}
{% set baselines = j.pooled.baselines | reject('in', ('adapted', 'rescanned')) | list %}
<div class="scroll"><table><caption>A model that does not beat these has shown nothing.</caption>
<thead><tr>{{ heads(['Site']) }}<th scope="col">Patients<small>pos / neg</small></th>{{ heads(['AUC, model']) }}
{% for baseline in baselines %}{{ heads(['AUC, ' ~ baseline ~ ' alone', 'Model − ' ~ baseline]) }}{% endfor %}
{{ heads(['Accuracy, model', 'Accuracy, constant answer', 'F1, model', 'F1, always positive']) }}</tr></thead><tbody>
{% for row in j.sites %}
<tr class="{{ 'apart' if row.role == 'held-out' }}"><th scope="row">{{ name(row) }}</th>{{ counts(row) }}
{{ cell(row.auc, notes) }}
{% for baseline in baselines %}
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
"""

CALIBRATION = """
<section aria-labelledby="calibration"><h2 id="calibration">Calibration: does a probability mean what it says?</h2>
{% set notes = new_notes() %}
<div class="scroll"><table>
<caption>Calibration error in 15 groups of equal mass, and the logistic regression of the label on the model's logit: a
calibrated model has slope 1 and intercept 0. By chance: the error that a calibrated model with these scores would have,
examples taken as independent.</caption>
<thead><tr>{{ heads(['Site']) }}<th scope="col">Patients<small>pos / neg</small></th>
{{ heads(['ECE', 'ECE by chance', 'Slope', 'Intercept', 'Brier']) }}</tr></thead><tbody>
{% for row in j.sites %}
<tr class="{{ 'apart' if row.role == 'held-out' }}"><th scope="row">{{ name(row) }}</th>{{ counts(row) }}
{{ calibration_cells(row, row.ece_floor, notes) }}</tr>
{% endfor %}</tbody><tbody class="summary">
<tr><th scope="row">Mean of sources</th><td></td>{{ calibration_cells(j.mean_sources, none, notes) }}</tr>
<tr><th scope="row">Sources pooled</th>{{ counts(j.pooled_sources) }}
{{ calibration_cells(j.pooled_sources, j.pooled_sources.ece_floor, notes) }}</tr>
<tr><th scope="row">All pooled</th>{{ counts(j.pooled) }}
{{ calibration_cells(j.pooled, j.pooled.ece_floor, notes) }}</tr>
</tbody></table></div>
{{ footnotes(notes) }}
<div class="grid diagrams">
{% for row in j.sites %}
<figure class="panel">{{ image(pictures.reliability[row.name]) }}
<figcaption><b>{{ name(row) }}</b>
{% if row.reliability %}{{ examples(row) }}{% else %}<span class="undefined">undefined: {{ row.ece.reason }}</span>
{% endif %}</figcaption></figure>
{% endfor %}</div>
<p class="aside">Dots: groups of equal mass by rising score, each of at least about ten examples; bars,
{{ j.confidence | percent }} intervals. A dot at 0 or 1 without a bar has examples of one class only, which is no
certainty. Line: the regression. Dashed: calibrated. The counts of single groups, in report.json, and of confusion
matrices may be of fewer than 11 patients: before a report leaves the coordinator, see what the sites' rules of
disclosure say of such cells.</p>
</section>
"""

CURVES = """
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
"""

RESULTS = CROSS_CHECK + OPERATING + BASELINES_AND_ROC + CALIBRATION + SUBGROUPS + RESCANNED_SECTION + DETECTION + CURVES

"""The page's section on test-time adaptation, where a run has adapted its model to a held-out site."""

ADAPTED_SECTION = """
{% if adaptations %}
<section aria-labelledby="adapted"><h2 id="adapted">After adaptation to the held-out site: another model</h2>
{% set notes = new_notes() %}
<div class="scroll"><table>
<caption>Normalization statistics taken anew from images of the site's own test patients, whose labels played no part.
Both columns are of the same test patients, those among them. An adapted model has seen the site: its AUC does not say
how the model does where it has never been.</caption>
<thead><tr>{{ heads(['Site']) }}<th scope="col">Patients<small>pos / neg</small></th>{{ heads(['AUC, model']) }}
{{ heads(['AUC, ' ~ adaptations.label, 'Model − adapted']) }}</tr></thead><tbody>
{% for row in adaptations.rows %}
<tr class="apart"><th scope="row">{{ name(row) }}</th>{{ counts(row) }}{{ cell(row.auc, notes) }}
{{ cell(row.baselines.adapted, notes) }}{{ cell(row.advantages.adapted, notes, signed=true) }}</tr>
{% endfor %}</tbody></table></div>
{{ footnotes(notes) }}
</section>
{% endif %}
"""

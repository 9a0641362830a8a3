"""The preflight page. A Python string, because Flower's app bundle takes no file with another ending."""

PAGE = """
{% macro level(name) %}<span class="level {{ name | lower }}">{{ name }}</span>{% endmacro %}
{% macro bars(title, counts) %}
{% set most = counts.values() | max %}
<table class="bars"><caption>{{ title }}</caption><tbody>
{% for label, count in counts.items() %}
<tr><th scope="row">{{ label }}</th><td>{{ count }}</td>
<td><svg width="160" height="10" aria-hidden="true">
<rect width="{{ (160 * count / (most or 1)) | round(1) }}" height="10"></rect></svg></td></tr>
{% endfor %}</tbody></table>
{% endmacro %}
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{{ policy }}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{{ 'SYNTHETIC – ' if check.synthetic }}Preflight – fedlung</title>
<style>{{ style }}</style>
</head>
<body>
{% if check.synthetic %}
<div class="banner" role="note"><strong>SYNTHETIC</strong> Generated chest CT, no patients.</div>
{% endif %}
<header><div class="inner">
  <p class="kicker">fedlung {{ version }} · preflight · {{ made }} · stays at the site: it has pictures of patients</p>
  <h1>{{ 'This site can join' if check.can_join else 'This site cannot join yet' }}</h1>
  <p class="lead">{{ check.series | length }} series and {{ num_ignored }} other file{{ 's' if num_ignored != 1 }} were
  looked at; every series was read whole, as a run would read it.</p>
  <dl class="cards">
    <div class="pass"><dt>Pass</dt><dd class="figure">{{ check.count('PASS') }}</dd>
    <dd>series as they should be</dd></div>
    <div class="{{ 'warn' if check.count('WARN') }}"><dt>Warn</dt><dd class="figure">{{ check.count('WARN') }}</dd>
    <dd>series used; somebody should look</dd></div>
    <div class="{{ 'fail' if check.count('FAIL') }}"><dt>Fail</dt><dd class="figure">{{ check.count('FAIL') }}</dd>
    <dd>series left out</dd></div>
    <div><dt>Patients</dt><dd class="figure">{{ check.num_patients }}</dd><dd>with a series that can be used</dd></div>
    <div><dt>Nodules</dt><dd class="figure">{{ num_nodules }}</dd><dd>on the grid of those series</dd></div>
  </dl>
</div></header>
<main>

<section aria-labelledby="verdict"><h2 id="verdict">The site as a whole</h2>
<ul class="findings">
{% for finding in check.findings %}
<li>{{ level(finding.level) }} <code>{{ finding.code }}</code>
<p>{{ finding.sentence | sentence }}</p><p class="mend">{{ finding.remedy }}</p></li>
{% else %}
<li>{{ level('PASS') }} Nothing stands against it.</li>
{% endfor %}</ul>
</section>

{% if reasons %}
<section aria-labelledby="mend"><h2 id="mend">What was found, and what to do</h2>
<div class="scroll"><table>
<caption>By code and mend, the gravest first. FAIL: the series is left out. WARN: it is used. Series go by their number
on this page; the table beside it says where they lie.</caption>
<thead><tr><th scope="col">Level</th><th scope="col" class="text">Code</th><th scope="col">Series</th>
<th scope="col" class="text">What to do</th><th scope="col" class="text">Which</th></tr></thead><tbody>
{% for reason in reasons %}
<tr><td>{{ level(reason.level) }}</td><th scope="row" class="text"><code>{{ reason.code }}</code></th>
<td>{{ reason.numbers | length }}</td><td class="wrap">{{ reason.remedy }}</td>
<td class="wrap">{% for number in reason.numbers[:40] %}<a href="#s{{ number }}">#{{ number }}</a>
{{ ', ' if not loop.last }}{% endfor %}{{ ' …' if reason.numbers | length > 40 }}</td></tr>
{% endfor %}</tbody></table></div>
</section>
{% endif %}

<section aria-labelledby="distributions"><h2 id="distributions">What the site has</h2>
<div class="plots">
{{ bars('Slice thickness in mm', thicknesses) }}
{{ bars('Reconstruction kernel', kernels) }}
{{ bars('Nodules by diameter in mm', sizes) }}
</div>
<p class="aside">Series that can be used, and the nodules on their grids; the diameter is that of the sphere of equal
volume, as the annotations give it. A kernel of a name that is not known by heart is counted as “other”.</p>
</section>

<section aria-labelledby="needs"><h2 id="needs">What a run will need, and what the machine has</h2>
<dl class="facts">
{% for term, value in needs %}<dt>{{ term }}</dt><dd>{{ value }}</dd>{% endfor %}
</dl>
{% if check.estimate %}
<p class="aside">An estimate: measured on {{ check.estimate.num_measured }} series and a few steps of training on this
machine as busy as it was; the others are taken to be like them.</p>
{% endif %}
</section>

{% if phi %}
<section aria-labelledby="phi"><h2 id="phi">Tags that may identify somebody</h2>
<p class="aside">Tags of DICOM PS3.15 Annex E with a value, and in how many of the series that can be used. The values
are not kept, and fedlung sends no header.</p>
{% for kind, tags in phi.items() %}
<h3>{{ kind }}</h3>
<ul class="tags">{% for tag, count in tags %}<li>{{ tag }} <b>{{ count }}</b></li>{% endfor %}</ul>
{% endfor %}
</section>
{% endif %}

{% if ignored %}
<section aria-labelledby="ignored"><h2 id="ignored">Files that are no slices of a series</h2>
<div class="scroll"><table>
<caption>Looked at and not used.</caption>
<thead><tr><th scope="col">Code</th><th scope="col">Files</th><th scope="col" class="text">What to do</th></tr></thead>
<tbody>
{% for code, count, remedy in ignored %}
<tr><th scope="row"><code>{{ code }}</code></th><td>{{ count }}</td><td class="wrap">{{ remedy }}</td></tr>
{% endfor %}</tbody></table></div>
</section>
{% endif %}

<section aria-labelledby="series"><h2 id="series">Series by series</h2>
<p class="aside">The slice through the largest nodule, else through the middle of the lungs; lung window (centre −600,
width 1500 HU). Rings: annotated nodules that this slice cuts. Rows and columns are shown as they are stored.</p>
<div class="series">
{% for one in shown %}
<article id="s{{ one.number }}" class="{{ one.level | lower }}" aria-labelledby="h{{ one.number }}">
<div class="shown">{% if one.picture %}<img loading="lazy" decoding="async" src="{{ one.picture | jpeg }}"
alt="Series {{ one.number }}: {{ one.picture_says }}" width="256">{% else %}<p>no picture</p>{% endif %}</div>
<div class="body"><h3 id="h{{ one.number }}">#{{ one.number }} {{ level(one.level) }}</h3>
{% if one.level != 'FAIL' %}
<p class="facts-line">{{ one.num_slices }} slices, {{ one | thickness }}; {{ one | nodules }};
{{ one.picture_says }}</p>
{% endif %}
{% if one.findings %}<ul>{% for finding in one.findings %}
<li><code>{{ finding.code }}</code> {{ finding.sentence | sentence }}
<span class="mend">{{ finding.remedy }}</span></li>
{% endfor %}</ul>{% endif %}
</div></article>
{% endfor %}
</div></section>
</main>
<footer>Research software; no medical device. Nothing on this page is sent to anybody.</footer>
</body>
</html>
"""

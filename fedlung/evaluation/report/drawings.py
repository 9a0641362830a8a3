"""The report's figures as inline SVG: templates that draw what ``figures.py`` has placed."""

DRAWINGS = """
{% macro forest_plot(f, title) %}
<svg viewBox="0 0 {{ f.width }} {{ f.height }}" width="{{ f.width }}" height="{{ f.height }}" role="img"
  aria-label="{{ title }}">
  {% for tick in f.ticks %}
  <line class="{{ 'chance' if tick.label == '0.5' else 'gridline' }}" x1="{{ tick.position }}" x2="{{ tick.position }}"
    y1="8" y2="{{ f.bottom }}"/>
  <text class="faint" x="{{ tick.position }}" y="{{ f.bottom + 17 }}" text-anchor="middle">{{ tick.label }}</text>
  {% endfor %}
  <line class="axis" x1="{{ f.left }}" x2="{{ f.right }}" y1="{{ f.bottom }}" y2="{{ f.bottom }}"/>
  <text class="faint" x="{{ (f.left + f.right) / 2 }}" y="{{ f.bottom + 34 }}" text-anchor="middle">AUC</text>
  {% for row in f.rows %}
  <g class="{{ 'apart' if row.kind == 'held-out' else row.kind }}">
    <text x="0" y="{{ row.y + 4 }}">{{ row.name }}{{ ' (held out)' if row.kind == 'held-out' }}</text>
    {% if row.low is not none %}
    <line class="whisker" x1="{{ row.low }}" x2="{{ row.high }}" y1="{{ row.y }}" y2="{{ row.y }}"/>
    {% endif %}
    {% if row.size is not none %}
    <circle class="size" cx="{{ row.size }}" cy="{{ row.y }}" r="4"/>
    {% endif %}
    {% if row.x is not none %}
    {% if row.kind == 'source' %}
    <rect class="mark" x="{{ row.x - 4.5 }}" y="{{ row.y - 4.5 }}" width="9" height="9"/>
    {% else %}
    <path class="mark" d="M{{ row.x - 6.5 }} {{ row.y }}l6.5 -6.5l6.5 6.5l-6.5 6.5z"/>
    {% endif %}
    {% endif %}
    <text x="{{ f.right + 22 }}" y="{{ row.y + 4 }}">{{ row.text }}</text>
  </g>
  {% endfor %}
</svg>
{% endmacro %}

{% macro roc_panel(r, side) %}
<svg viewBox="-22 -6 {{ side + 34 }} {{ side + 32 }}" width="{{ side + 34 }}" height="{{ side + 32 }}" role="img"
  aria-label="ROC curve of {{ r.name }}: AUC {{ r.auc }}">
  <g class="{{ 'apart' if r.role == 'held-out' else r.role }}">
    <rect class="axis" x="0" y="0" width="{{ side }}" height="{{ side }}"/>
    <line class="chance" x1="0" y1="{{ side }}" x2="{{ side }}" y2="0"/>
    {% if r.path %}
    <path class="roc" d="{{ r.path }}"/>
    {% else %}
    <text class="faint" x="{{ side / 2 }}" y="{{ side / 2 - 6 }}" text-anchor="middle">undefined</text>
    {% endif %}
    {% if r.point %}
    <circle class="at" cx="{{ r.point[0] }}" cy="{{ r.point[1] }}" r="4.5"/>
    {% endif %}
  </g>
  <text class="faint" x="-4" y="{{ side + 14 }}" text-anchor="end">0</text>
  <text class="faint" x="-4" y="8" text-anchor="end">1</text>
  <text class="faint" x="{{ side }}" y="{{ side + 14 }}" text-anchor="end">1</text>
  <text class="faint" x="{{ side / 2 }}" y="{{ side + 14 }}" text-anchor="middle">1 − specificity</text>
  <text class="faint" transform="translate(-8 {{ side / 2 }}) rotate(-90)" text-anchor="middle">sensitivity</text>
</svg>
{% endmacro %}

{% macro curves_panel(c, selection) %}
<svg viewBox="0 0 {{ c.width }} {{ c.height }}" width="{{ c.width }}" height="{{ c.height }}" role="img"
  aria-label="{{ c.title }} over the rounds; round {{ selection }} was selected">
  {% for tick in c.y_ticks %}
  <line class="gridline" x1="{{ c.left }}" x2="{{ c.right }}" y1="{{ tick.position }}" y2="{{ tick.position }}"/>
  <text class="faint" x="{{ c.left - 7 }}" y="{{ tick.position + 4 }}" text-anchor="end">{{ tick.label }}</text>
  {% endfor %}
  {% for tick in c.x_ticks %}
  <text class="faint" x="{{ tick.position }}" y="{{ c.bottom + 17 }}" text-anchor="middle">{{ tick.label }}</text>
  {% endfor %}
  <line class="axis" x1="{{ c.left }}" x2="{{ c.right }}" y1="{{ c.bottom }}" y2="{{ c.bottom }}"/>
  <text class="faint" x="{{ (c.left + c.right) / 2 }}" y="{{ c.bottom + 36 }}" text-anchor="middle">round</text>
  <line class="selected" x1="{{ c.selected }}" x2="{{ c.selected }}" y1="{{ c.top - 8 }}" y2="{{ c.bottom }}"/>
  {% for line in c.lines %}
  <g class="{{ line.kind }} {{ 'c' ~ line.colour if line.kind == 'source' }}">
    <path class="curve" d="{{ line.path }}"/>
    <text class="label" x="{{ c.right + 4 }}" y="{{ line.end[1] + 4 }}">{{ line.name }}</text>
  </g>
  {% endfor %}
</svg>
{% endmacro %}
"""

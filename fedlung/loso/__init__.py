"""Leave-one-site-out: how does a model do at a hospital that it never saw?

``plan`` says which runs it takes, ``results`` what they have shown together, ``report`` shows it.
"""

"""One hospital on its own disk: its file, its secret, its cases, and what only its own user may read."""

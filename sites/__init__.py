"""What runs in a hospital, and nothing more."""

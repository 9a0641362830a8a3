"""Starting federations, on one machine or between machines. Knows Flower's programs, not its API."""

"""What can be picked: base models and losses."""

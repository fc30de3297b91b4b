"""Programs that look for inputs that break a promise: one target a file, `python -m fuzz TARGET` runs it."""

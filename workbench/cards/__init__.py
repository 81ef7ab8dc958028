"""The model card of a run, and the plain script that repeats it."""

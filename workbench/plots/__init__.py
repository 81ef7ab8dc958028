"""Figures: a record in, a plotly figure out. One plot a file; colours and sizes come from `theme`."""

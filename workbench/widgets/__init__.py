"""Panels: windows on the functions below them. Traits in, traits out; no knowledge of their own."""

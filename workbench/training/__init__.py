"""Runs: a folder each, a process each, and a handle that reads them."""

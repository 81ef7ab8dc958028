"""Embedding spaces: vectors of a fixed list of texts under one model, and what can be computed from them."""

"""The shipped data set: a glossary of machine learning, and the views that are built from it."""

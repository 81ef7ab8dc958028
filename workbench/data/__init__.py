"""Tables of texts: loading, roles, token statistics, and the shipped glossary."""

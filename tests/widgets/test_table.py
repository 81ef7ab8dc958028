"""Tables in the panels."""

from __future__ import annotations

import re

from workbench.widgets.table import table


def test_the_head_of_a_column_of_numbers_stands_over_its_numbers() -> None:
    html = table(["text", "n"], ([text, n] for n, text in enumerate("ab", 1200)))
    assert re.findall(r"<th scope='col'( class='wb-number')?[^>]*>(\w+)", html) == [
        ("", "text"),
        (" class='wb-number'", "n"),
    ]
    assert html.count("<td class='wb-number'>1,20") == 2

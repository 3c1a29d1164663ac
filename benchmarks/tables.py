"""Tables as text and as Markdown."""

from __future__ import annotations


def text_table(headings: tuple[str, ...], body: list[list[str]]) -> str:
    lines = [list(headings), *body]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def markdown_table(headings: tuple[str, ...], body: list[list[str]]) -> str:
    rule = ["---"] + ["---:"] * (len(headings) - 1)
    return "\n".join("| " + " | ".join(line) + " |" for line in [list(headings), rule, *body])

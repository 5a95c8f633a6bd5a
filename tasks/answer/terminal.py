"""The result at the terminal."""

from __future__ import annotations

from tasks.answer.commands import commands
from tasks.answer.doubts import doubts
from tasks.answer.sharing import in_short
from tasks.lift.result import LiftResult


def terminal(result: LiftResult) -> str:
    """Return verdict, answer, what may be shared, the first doubt and what to do, a line each."""
    lines = [f"verdict  {result.verdict}", f"answer   {result.answer}", f"         {result.advice}"]
    if result.sharing:
        lines.append(f"share    {in_short(result.sharing)}")
    against, todo = doubts(result), commands(result)
    if against:
        more = f" ({len(against) - 1} more in the report)" if len(against) > 1 else ""
        lines.append(f"doubt    {against[0]}{more}")
    if todo:
        lines.append(f"next     {todo[0].line}")
    lines += [
        f"collapse GAN {seed}: {', '.join(gan.collapsed)}"
        for seed, gan in result.gans.items()
        if gan.collapsed and not result.folds
    ]
    return "\n".join(lines)

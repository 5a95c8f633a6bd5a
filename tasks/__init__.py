"""The stages of the line, each started as ``python -m tasks.NAME``, and what they are made of."""

import sys

if sys.argv[0] == "-m":  # so it reads while Python looks for the stage, which takes seconds to load
    from tasks.contracts.parent import die_with_parent

    die_with_parent()

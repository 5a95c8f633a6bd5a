"""What a fork server imports before all else: it ends with the process that started it."""

from tasks.contracts.parent import die_with_parent

die_with_parent()

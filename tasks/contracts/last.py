"""What a fork server imports after all else: what is loaded by now stays shared by its forks.

The collector would write into every object, so that each process had pages of its own.
"""

import gc

gc.collect()
gc.freeze()

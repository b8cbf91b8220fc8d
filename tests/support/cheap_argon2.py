"""The admin module with argon2 of half a millisecond: `python -m tests.support.cheap_argon2`.

Nothing else differs, and it is no setting of the module: what an installation has cannot be made
weaker. Hashes made before keep their own cost.
"""

from functools import partial
from typing import Final

from artstore.admin import app
from artstore.admin.__main__ import main
from artstore.admin.services.identity.hashing import Cost, SecretHasher

CHEAP: Final = Cost(memory_kib=1024, passes=1, parallelism=1)

if __name__ == "__main__":
    app.SecretHasher = partial(SecretHasher, CHEAP)  # type: ignore[misc,assignment]
    main()

"""`python -m artstore.local`: the supervisor in the background. For `artstore up --detach`."""

import sys

from artstore.core.clock import SystemClock
from artstore.local.stack import daemon

if __name__ == "__main__":
    sys.exit(daemon(sys.argv[1:], SystemClock()))

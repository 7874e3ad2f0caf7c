"""`python -m jaxem` is the command `jaxem`."""

import sys

from .cli import main


sys.exit(main())

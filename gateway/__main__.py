"""`python -m gateway` is the same program as `tidegate`."""

import sys

from gateway.cli.main import main

sys.exit(main())

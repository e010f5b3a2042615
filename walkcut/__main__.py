"""`python -m walkcut` is the `walkcut` command."""

import sys

from walkcut.app.cli import main

sys.exit(main())

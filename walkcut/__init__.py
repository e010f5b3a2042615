"""walkcut: segment pictures by cutting the random walk that a diffusion model's attention takes over them."""

import lazy_loader

from walkcut import eyes as eyes
from walkcut import lab as lab  # both register names, and import nothing of what these name

__version__ = "0.1.0"

# names are imported on first use, so that `walkcut --help` does not wait for torch
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

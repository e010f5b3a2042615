"""One file for each family of eyes: how its weights are read into a `walkcut.backbone.Backbone`.

The core asks for a family by its name, and imports none of them itself.
"""

from walkcut.registry import EYES, NOISES

EYES["embedded"] = "walkcut.eyes.embedded:read"
EYES["stable-diffusion"] = "walkcut.eyes.stable:read"
EYES["vision"] = "walkcut.eyes.vision:read"
NOISES["inversion"] = "walkcut.eyes.inversion:views"

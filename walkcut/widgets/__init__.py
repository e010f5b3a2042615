"""Interactive figures: one ES module each, shown through an HTML output, so that they need no kernel and no network.

`live` alone needs a kernel: the same figures as anywidgets, and controls that call Python.
"""

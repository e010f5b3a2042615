"""Interactive figures: one ES module each, shown through an HTML output, so that they need no kernel and no network.

With a kernel they tell Python what is selected, and the controls of `live` call it; without one, those show recordings.
"""

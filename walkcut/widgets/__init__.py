"""Interactive figures: one ES module each, shown through an HTML output, so that they need no kernel and no network."""

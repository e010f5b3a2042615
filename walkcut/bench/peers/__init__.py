"""Methods that others published, each written small from its paper's description."""

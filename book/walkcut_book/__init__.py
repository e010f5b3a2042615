"""What only the pages of the book compute: numbers picked out of results, pictures made to fail, chains to watch.

It is installed with `walkcut`, so that a chapter runs alone, and imports it; `walkcut` never imports this package.
"""

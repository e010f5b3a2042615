"""From files to files, for one picture or a million: outputs, batches, processes, the command line."""

"""A photograph in, a photograph out: the colorizer, the files of a run, stages in threads."""

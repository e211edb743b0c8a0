"""Files: photographs read and written, what their metadata and profiles say, folders of them, and whole files only."""

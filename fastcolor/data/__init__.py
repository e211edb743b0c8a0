"""Files that come with the package: fitted color bins, trained networks, sample photographs."""

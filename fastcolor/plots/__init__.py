"""Pictures of results: contact sheets and maps, and plots with axes."""

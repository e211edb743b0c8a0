"""From JSON to report, chart and README."""

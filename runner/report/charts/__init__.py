"""Pictures of a report, as SVG in the colours of the page that they stand in."""

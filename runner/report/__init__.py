"""How a result is told: summary.json, tables, the line for ATC."""

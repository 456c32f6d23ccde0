"""How a result is told: summary.json, the terminal, report.html, MLflow, from one set of sections."""

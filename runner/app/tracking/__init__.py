"""A job's events as one MLflow run, logged beside the job. MLflow is a reader: everything is on disk before it is asked."""

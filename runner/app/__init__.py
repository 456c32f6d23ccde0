"""The edge: command line, configuration, progress, MLflow. Nothing below knows Hydra or MLflow."""

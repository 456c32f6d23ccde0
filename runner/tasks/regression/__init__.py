"""Numbers that a model tells, such as places of keypoints, judged by how far they are from the true ones."""

"""What a model does, judged by the measure of its task: boxes, class maps, texts, embeddings, numbers."""

"""Training: one loop for all models; checkpoints resized, predicted with and averaged."""

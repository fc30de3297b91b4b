"""Everything that needs torch: the model, its objectives, training, and distillation to a vocabulary."""

"""The ColorUNet: its shape, its layers, its weights on disk, and its way from luma to logits."""

"""Methods for pre-trained backbones with adapters."""

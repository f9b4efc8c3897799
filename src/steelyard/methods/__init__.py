"""Named methods, one a file: a generator of stages whose keyword arguments are its settings.

There is no registry: `ldam-drw` on the command line is the function `ldam_drw` of `steelyard.methods.ldam_drw`.
"""

CONTROLS = ("ce", "drw", "la", "balanced-softmax", "mixup-bs", "posthoc-la")
"""What every comparison should hold beside the method under test; reports mark them.

Plain cross-entropy; deferred inverse frequency (how much of a weighting's gain is deferral); the two simplest strong losses;
mixup with one of them (how much is just mixup); a moved threshold of plain cross-entropy (how much is just the threshold).
"""

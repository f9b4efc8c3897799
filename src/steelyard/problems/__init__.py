"""Problems: named benchmarks, one a file, and anything that a user has, by path or in memory.

A problem is a function returning a task; `load` makes one of whatever it is given.
"""

from steelyard.problems._catalogue import About, catalogue
from steelyard.problems._fingerprint import fingerprint
from steelyard.problems._kinds import function_of as kind_function
from steelyard.problems._kinds import kind_of, kinds
from steelyard.problems._load import assemble, load
from steelyard.problems._settings import ProblemSettings

__all__ = ["About", "ProblemSettings", "assemble", "catalogue", "fingerprint", "kind_function", "kind_of", "kinds", "load"]

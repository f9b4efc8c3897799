"""Point clouds: what one is, reading and writing LAS, LAZ, PLY and text, and a synthetic forest."""

from steelyard.data.clouds.cloud import Cloud
from steelyard.data.clouds.files import list_clouds, read_cloud, write_cloud
from steelyard.data.clouds.forest import forest

__all__ = ["Cloud", "forest", "list_clouds", "read_cloud", "write_cloud"]

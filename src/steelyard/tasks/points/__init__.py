"""Point clouds: geometric features, geodesic pieces, samples of equal size, and the task made of them."""

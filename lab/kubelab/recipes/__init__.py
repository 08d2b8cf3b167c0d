"""What the lab builds, one file per kind of thing."""

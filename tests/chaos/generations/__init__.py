"""The chaos proof of the journal: replicas, Redis and connections are broken while stock SDK clients buy images."""

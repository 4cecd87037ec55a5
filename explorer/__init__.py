"""What happened on a deployment, for people: an index of its events, and pages that draw it."""

"""What `gainsay bench` measures, one file per subject."""

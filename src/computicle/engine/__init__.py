"""What has finished: operations go in, completions come out."""

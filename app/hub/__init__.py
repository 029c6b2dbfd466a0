"""Models of the Hugging Face Hub in the studio: found, looked at and downloaded, with each visitor's own rights."""
